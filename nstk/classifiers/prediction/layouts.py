"""How a prediction is written as a line: CSV, or a JSON object."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nstk.classifiers.prediction.prediction import Prediction
from nstk.storage.remote import as_path
from nstk.types import Json

MAX_RECORD = 2**20
"""Largest size of a record in bytes."""

_ID_COLUMNS = ("sha256", "classifier")
_TOP_COLUMNS = ("label", "probability")


@dataclass(frozen=True)
class CsvLayout:
    """One row for each image; if it may have several labels, ``labels`` has them as in manifests.

    `split` leaves out a truncated row. `read` returns the path and the digests of the image and of
    the classifier, or fails with ValueError, KeyError, TypeError or csv.Error.
    """

    top: int
    multi_label: bool = False
    sharded: bool = False
    beginning = b"path,"
    marks = ("ood_score,sha256,classifier",)
    position = re.compile(rb",([0-9]+)(?=\r\n\Z)")

    @property
    def heading(self) -> bytes:
        more = [f"{name}_{n}" for n in range(2, self.top + 1) for name in _TOP_COLUMNS]
        given = ["labels"] if self.multi_label else []
        place = ["position"] if self.sharded else []
        return _row(["path", *given, *_TOP_COLUMNS, *more, "ood_score", *_ID_COLUMNS, *place])

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        more = [cell for pair in prediction.top[1:] for cell in pair]
        given = ["|".join(prediction.labels)] if self.multi_label else []
        values = [*given, prediction.label, prediction.probability, *more, prediction.ood_score]
        place = [prediction.position] if self.sharded else []
        return _row([prediction.path, *values, prediction.digest, classifier, *place])

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        row: list[bytes] = []
        size = quotes = 0  # a quoted path may have line breaks
        for line in lines:
            row.append(line)
            size += len(line)
            quotes += line.count(b'"')
            if size > MAX_RECORD:
                raise ValueError(f"it is longer than {MAX_RECORD} bytes")
            if quotes % 2 == 0 and line.endswith(b"\n"):
                yield b"".join(row)
                row, size, quotes = [], 0, 0

    def read(self, record: bytes) -> tuple[str, str, str]:
        [cells] = csv.reader(io.StringIO(record.decode("utf-8", "surrogateescape"), newline=""))
        if len(cells) != 2 + self.multi_label + 2 * self.top + len(_ID_COLUMNS) + self.sharded:
            raise ValueError(f"it has {len(cells)} cells")
        digest, classifier, *_ = cells[len(cells) - self.sharded - 2 :]
        return cells[0], digest, classifier


@dataclass(frozen=True)
class JsonLinesLayout:
    """One JSON object for each image, as in ``nstk predict --json``, with digests."""

    top: int
    multi_label: bool = False
    sharded: bool = False
    beginning = b'{"path": '
    marks = ('"sha256": ', '"classifier": ')
    heading = b""
    position = re.compile(rb', "position": ([0-9]+)(?=}\n\Z)')

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        facts: dict[str, Json] = {"sha256": prediction.digest, "classifier": classifier}
        facts |= {"position": prediction.position} if self.sharded else {}
        line = json.dumps(
            prediction.to_dict(multi_label=self.multi_label) | facts, ensure_ascii=False
        )
        # File names that are not valid text have lone surrogates, which are escaped in JSON.
        return line.encode("utf-8", "backslashreplace") + b"\n"

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        return (line for line in lines if line.endswith(b"\n"))

    def read(self, record: bytes) -> tuple[str, str, str]:
        entry = json.loads(record)
        if len(entry["top"]) != self.top:
            raise ValueError(f"it has {len(entry['top'])} classes, not {self.top}")
        return str(entry["path"]), str(entry["sha256"]), str(entry["classifier"])

    def parse(self, record: bytes) -> Prediction:
        entry = json.loads(record)
        label, ood_score = str(entry["label"]), entry["ood_score"]
        top = tuple((str(each["label"]), float(each["probability"])) for each in entry["top"])
        named = (label,) if label == top[0][0] else ()
        return Prediction(
            path=as_path(entry["path"]),
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


Layout = CsvLayout | JsonLinesLayout

LAYOUTS: dict[str, type[Layout]] = {".csv": CsvLayout, ".jsonl": JsonLinesLayout}
