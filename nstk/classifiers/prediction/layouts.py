"""How predictions lie in a file: records that can be told apart, and read again, one by one."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nstk.classifiers.prediction.job import Prediction

LONGEST = 2**20
"""Bytes that a record may have."""

_FACTS = ("sha256", "classifier")
_WORDS = ("label", "probability")

Known = tuple[str, str, str]
"""Path, digest of the image and digest of the classifier, as a record says them."""


class Layout(Protocol):
    """How predictions lie in a file."""

    @property
    def beginning(self) -> bytes:
        """The first bytes of every such file."""

    @property
    def heading(self) -> bytes:
        """The record before the first image's; empty where there is none."""

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        """One record, with its line break."""

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The whole records of a file behind its heading; one that breaks off is left out."""

    def read(self, record: bytes) -> Known:
        """What a record is about.

        Raises:
            ValueError: If it is none of ours.
            KeyError: Likewise.
        """


@dataclass(frozen=True)
class CsvLayout:
    """One row for each image: path, label, probability, the next ones, strangeness, digests.

    Attributes:
        places: How many of the likeliest classes each row has.
        several: Whether an image may have several labels, or none; those it is given stand in a
            column of their own, as a manifest has them.
    """

    places: int
    several: bool = False
    beginning = b"path,"

    @property
    def heading(self) -> bytes:
        """The names of the columns."""
        more = [f"{word}_{n}" for n in range(2, self.places + 1) for word in _WORDS]
        given = ["labels"] if self.several else []
        return _row(["path", *given, *_WORDS, *more, "ood_score", *_FACTS])

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        """One row."""
        more = [cell for pair in prediction.top[1:] for cell in pair]
        given = ["|".join(prediction.labels)] if self.several else []
        answer = [*given, prediction.label, prediction.probability, *more, prediction.ood_score]
        return _row([prediction.path, *answer, prediction.digest, classifier])

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The rows; a path may have line breaks, between quotes."""
        row: list[bytes] = []
        size = quotes = 0
        for line in lines:
            row.append(line)
            size += len(line)
            quotes += line.count(b'"')
            if size > LONGEST:
                raise ValueError(f"it is longer than {LONGEST} bytes")
            if quotes % 2 == 0 and line.endswith(b"\n"):
                yield b"".join(row)
                row, size, quotes = [], 0, 0

    def read(self, record: bytes) -> Known:
        """What a row is about."""
        text = io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")
        try:
            [cells] = csv.reader(text)
        except csv.Error as error:
            raise ValueError(str(error)) from error
        if len(cells) != 2 + self.several + 2 * self.places + len(_FACTS):
            raise ValueError(f"it has {len(cells)} cells")
        return cells[0], cells[-2], cells[-1]


@dataclass(frozen=True)
class JsonLinesLayout:
    """One JSON object for each image, as ``nstk predict --json`` has them, with digests.

    Attributes:
        places: How many of the likeliest classes each has.
        several: Whether an image may have several labels, or none.
    """

    places: int
    several: bool = False
    beginning = b'{"path": '
    heading = b""

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        """One line."""
        facts = dict(zip(_FACTS, (prediction.digest, classifier), strict=True))
        line = json.dumps(prediction.describe(several=self.several) | facts, ensure_ascii=False)
        # Names that are no text have lone surrogates, and become their escapes in JSON.
        return line.encode("utf-8", "backslashreplace") + b"\n"

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines."""
        return (line for line in lines if line.endswith(b"\n"))

    def read(self, record: bytes) -> Known:
        """What a line is about."""
        entry = json.loads(record)
        if not isinstance(entry, dict):
            raise ValueError("it is no object")
        if len(entry["top"]) != self.places:
            raise ValueError(f"it names {len(entry['top'])} classes, not {self.places}")
        return str(entry["path"]), str(entry["sha256"]), str(entry["classifier"])

    def recall(self, record: bytes) -> Prediction:
        """The prediction that a line was written of.

        Raises:
            ValueError: If it is none of ours.
            KeyError: Likewise.
            TypeError: Likewise.
        """
        entry = json.loads(record)
        label, ood_score = str(entry["label"]), entry["ood_score"]
        top = tuple((str(each["label"]), float(each["probability"])) for each in entry["top"])
        named = (label,) if label == top[0][0] else ()
        return Prediction(
            path=Path(entry["path"]),
            label=label,
            probability=float(entry["probability"]),
            labels=tuple(map(str, entry["labels"])) if self.several else named,
            top=top,
            digest=str(entry["sha256"]),
            ood_score=None if ood_score is None else float(ood_score),
        )


def _row(cells: Sequence[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")
