"""Formats of prediction files: records that can be appended, separated and parsed one by one."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nstk.classifiers.prediction.prediction import Prediction

MAX_RECORD = 2**20
"""Largest size of a record in bytes."""

_ID_COLUMNS = ("sha256", "classifier")
_TOP_COLUMNS = ("label", "probability")

RecordKey = tuple[str, str, str]
"""Path, digest of the image and digest of the classifier of a record."""


class Layout(Protocol):
    """A format of prediction files."""

    @property
    def beginning(self) -> bytes:
        """The first bytes of every file of the format."""

    @property
    def heading(self) -> bytes:
        """The record before that of the first image; may be empty."""

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        """Format one record, with its line break."""

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Split lines into the complete records of a file; a truncated one is left out."""

    def read(self, record: bytes) -> RecordKey:
        """Parse the key of a record.

        Raises:
            ValueError: If it is not a record of the format.
            KeyError: Likewise.
        """


@dataclass(frozen=True)
class CsvLayout:
    """One row for each image: path, label, probability, the next classes, OOD score, digests.

    Attributes:
        top: Number of the most likely classes in each row.
        multi_label: Whether an image may have several labels, or none; the column ``labels`` then
            has them in the format of manifests.
    """

    top: int
    multi_label: bool = False
    beginning = b"path,"
    marks = ("ood_score,sha256,classifier",)

    @property
    def heading(self) -> bytes:
        """The names of the columns."""
        more = [f"{name}_{n}" for n in range(2, self.top + 1) for name in _TOP_COLUMNS]
        given = ["labels"] if self.multi_label else []
        return _row(["path", *given, *_TOP_COLUMNS, *more, "ood_score", *_ID_COLUMNS])

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        """See `Layout.write`."""
        more = [cell for pair in prediction.top[1:] for cell in pair]
        given = ["|".join(prediction.labels)] if self.multi_label else []
        values = [*given, prediction.label, prediction.probability, *more, prediction.ood_score]
        return _row([prediction.path, *values, prediction.digest, classifier])

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """See `Layout.split`; a quoted path may have line breaks."""
        row: list[bytes] = []
        size = quotes = 0
        for line in lines:
            row.append(line)
            size += len(line)
            quotes += line.count(b'"')
            if size > MAX_RECORD:
                raise ValueError(f"it is longer than {MAX_RECORD} bytes")
            if quotes % 2 == 0 and line.endswith(b"\n"):
                yield b"".join(row)
                row, size, quotes = [], 0, 0

    def read(self, record: bytes) -> RecordKey:
        """See `Layout.read`."""
        text = io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")
        try:
            [cells] = csv.reader(text)
        except csv.Error as error:
            raise ValueError(str(error)) from error
        if len(cells) != 2 + self.multi_label + 2 * self.top + len(_ID_COLUMNS):
            raise ValueError(f"it has {len(cells)} cells")
        return cells[0], cells[-2], cells[-1]


@dataclass(frozen=True)
class JsonLinesLayout:
    """One JSON object for each image, as in ``nstk predict --json``, with digests.

    Attributes:
        top: Number of the most likely classes in each object.
        multi_label: Whether an image may have several labels, or none.
    """

    top: int
    multi_label: bool = False
    beginning = b'{"path": '
    marks = ('"sha256": ', '"classifier": ')
    heading = b""

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        """See `Layout.write`."""
        facts = dict(zip(_ID_COLUMNS, (prediction.digest, classifier), strict=True))
        line = json.dumps(
            prediction.to_dict(multi_label=self.multi_label) | facts, ensure_ascii=False
        )
        # File names that are not valid text have lone surrogates, which are escaped in JSON.
        return line.encode("utf-8", "backslashreplace") + b"\n"

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """See `Layout.split`."""
        return (line for line in lines if line.endswith(b"\n"))

    def read(self, record: bytes) -> RecordKey:
        """See `Layout.read`."""
        entry = json.loads(record)
        if not isinstance(entry, dict):
            raise ValueError("it is not an object")
        if len(entry["top"]) != self.top:
            raise ValueError(f"it has {len(entry['top'])} classes, not {self.top}")
        return str(entry["path"]), str(entry["sha256"]), str(entry["classifier"])

    def parse(self, record: bytes) -> Prediction:
        """Parse the prediction of a line.

        Raises:
            ValueError: If it is not a record of the format.
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
            labels=tuple(map(str, entry["labels"])) if self.multi_label else named,
            top=top,
            digest=str(entry["sha256"]),
            ood_score=None if ood_score is None else float(ood_score),
        )


def _row(cells: Sequence[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")
