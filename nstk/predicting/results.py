"""Predictions on disk: a CSV or JSONL file that grows by whole lines and can be gone on with."""

import csv
import io
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from nstk.errors import OutputError
from nstk.finetuning.classifier import Classifier
from nstk.media.files import check_writable
from nstk.predicting.job import Prediction

_FACTS = ("sha256", "classifier")
_WORDS = ("label", "probability")
_DIGITS = 16

Known = tuple[str, str, str]
"""Path, digest of the picture and digest of the classifier, as a record says them."""


class Layout(Protocol):
    """How predictions lie in a file."""

    @property
    def beginning(self) -> bytes:
        """The first bytes of every such file."""

    @property
    def heading(self) -> bytes:
        """The record before the first picture's; empty where there is none."""

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
    """One row for each picture: path, labels and probabilities, likeliest first, and digests.

    Attributes:
        places: How many of the likeliest classes each row has.
        several: Whether a picture may have several labels, or none; those it is given stand in a
            column of their own, as a manifest has them.
    """

    places: int
    several: bool = False
    beginning = b"path,"

    @property
    def heading(self) -> bytes:
        """The names of the columns."""
        more = [f"{word}_{n}" for n in range(2, self.places + 1) for word in _WORDS]
        return _row(["path", *(["labels"] if self.several else []), *_WORDS, *more, *_FACTS])

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        """One row."""
        cells = [cell for pair in prediction.top for cell in pair]
        given = ["|".join(prediction.labels)] if self.several else []
        return _row([prediction.path, *given, *cells, prediction.digest, classifier])

    def split(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The rows; a path may have line breaks, between quotes."""
        row = b""
        for line in lines:
            row += line
            if row.count(b'"') % 2 == 0 and row.endswith(b"\n"):
                yield row
                row = b""

    def read(self, record: bytes) -> Known:
        """What a row is about."""
        [cells] = csv.reader(io.StringIO(record.decode("utf-8", "surrogateescape"), newline=""))
        if len(cells) != 1 + self.several + 2 * self.places + len(_FACTS):
            raise ValueError(f"it has {len(cells)} cells")
        return cells[0], cells[-2], cells[-1]


_WORDS = ("label", "probability")


@dataclass(frozen=True)
class JsonLinesLayout:
    """One JSON object for each picture, as ``nstk predict --json`` has them, with digests.

    Attributes:
        places: How many of the likeliest classes each has.
        several: Whether a picture may have several labels, or none.
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


_LAYOUTS: dict[str, Callable[[int, bool], Layout]] = {".csv": CsvLayout, ".jsonl": JsonLinesLayout}


def check_results(path: str | Path) -> None:
    """Refuse, before any long work, a place where no file of predictions can be written.

    Args:
        path: Where it is to grow.

    Raises:
        OutputError: If the ending names no format, or no file can be written there.
    """
    if Path(path).suffix not in _LAYOUTS:
        raise OutputError(f"{path} does not end in .csv or .jsonl; give it one of these endings.")
    check_writable(path)


class ResultsFile:
    """A file of predictions that is whole at every moment; a context manager.

    Every line is written at once and taken back if the disk refuses a part of it. Each names the
    picture's and the classifier's content by digests, so that a run which was interrupted can go
    on, with the same classifier only. Nothing is written before the first prediction; then an
    older file is replaced, unless the run goes on with it.

    Args:
        path: Ends in ``.csv`` or ``.jsonl``.
        classifier: Whose predictions these are.
        top: How many of the likeliest classes each prediction names.
        resume: Go on with what the file has.

    Raises:
        OutputError: If no such file can be written there, or what stands there to be gone on
            with is something else or of another classifier.
    """

    def __init__(
        self, path: str | Path, classifier: Classifier, *, top: int = 5, resume: bool = False
    ) -> None:
        self.path = Path(path)
        check_results(self.path)
        places = min(top, len(classifier.classes))
        self._layout: Layout = _LAYOUTS[self.path.suffix](places, classifier.multi_label)
        self._classifier = classifier.digest[:_DIGITS]
        self._file: io.FileIO | None = None
        self._size = 0
        self._done: set[tuple[Path, str]] = set()
        if resume and self.path.exists():
            self._read()

    @property
    def done(self) -> Collection[tuple[Path, str]]:
        """Paths and digests of the pictures that the file had when it was opened."""
        return self._done

    def append(self, prediction: Prediction) -> None:
        """Write one prediction.

        Raises:
            OutputError: If the disk refuses, or the file was removed; what was written before
                stays.
        """
        line = self._layout.write(prediction, self._classifier)
        try:
            if self._file is None:
                self._file = io.FileIO(self.path, "r+" if self._size else "w")
                self._file.truncate(self._size)
            if not os.fstat(self._file.fileno()).st_nlink:
                raise FileNotFoundError(0, "it was removed while it was written")
            self._write(self._file, line if self._size else self._layout.heading + line)
        except OSError as error:
            raise OutputError(
                f"Cannot write {self.path}: {error.strerror or error}; "
                "make room or choose another place, and go on with --resume."
            ) from error

    def close(self) -> None:
        """Let go of the file, when it has reached the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, file: io.FileIO, content: bytes) -> None:
        rest = memoryview(content)
        try:
            file.seek(self._size)
            while rest:
                rest = rest[file.write(rest) :]
            self._size += len(content)
        except BaseException:
            file.truncate(self._size)
            raise

    def _read(self) -> None:
        """Read what is there; what breaks off at the end will be written over."""
        try:
            with self.path.open("rb") as file:
                beginning = file.read(len(self._layout.beginning))
                if not self._layout.beginning.startswith(beginning):
                    raise self._refuse("does not begin as one")
                file.seek(0)
                records = self._layout.split(file)
                if self._layout.heading:
                    self._take_heading(next(records, b""))
                for number, record in enumerate(records, start=1):
                    self._take(number, record)
        except OSError as error:
            raise self._refuse(f"cannot be read ({error.strerror})") from error

    def _take_heading(self, heading: bytes) -> None:
        if heading and heading != self._layout.heading:
            raise self._refuse("has other columns, so --top was another")
        self._size += len(heading)

    def _take(self, number: int, record: bytes) -> None:
        try:
            path, digest, classifier = self._layout.read(record)
        except (ValueError, KeyError, TypeError) as error:
            raise self._refuse(f"record {number} is none ({error})") from error
        if classifier != self._classifier:
            raise self._refuse(
                f"record {number} is by the classifier {classifier}, not {self._classifier}"
            )
        self._done.add((Path(path), digest))
        self._size += len(record)

    def _refuse(self, reason: str) -> OutputError:
        return OutputError(
            f"{self.path}: cannot go on with it as a file of predictions: {reason}; "
            "write to another file, or leave --resume out to replace it."
        )


def _row(cells: Sequence[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")
