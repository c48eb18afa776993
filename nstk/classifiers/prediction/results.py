"""Predictions on disk: a CSV or JSONL file that grows by whole lines and can be gone on with."""

import io
import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.job import Prediction
from nstk.classifiers.prediction.layouts import LONGEST, CsvLayout, JsonLinesLayout, Layout
from nstk.errors import OutputError
from nstk.storage.files import check_writable
from nstk.storage.locks import try_lock

_DIGITS = 16
_DOUBT = " unsure below "

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
    image's and the classifier's content by digests, so that a run which was interrupted can go
    on, with the same classifier only. Nothing is written before the first prediction; then an
    older file is replaced, unless the run goes on with it. No two runs write to one file.

    Args:
        path: Ends in ``.csv`` or ``.jsonl``.
        classifier: Whose predictions these are.
        top: How many of the likeliest classes each prediction names.
        abstain_below: See `nstk.predict`; predictions made otherwise are not gone on with.
        resume: Go on with what the file has.
        advice: What can be done where that is not possible.

    Raises:
        OutputError: If no such file can be written there, or what stands there to be gone on
            with is something else, of another classifier, or in use.
    """

    def __init__(
        self,
        path: str | Path,
        classifier: Classifier,
        *,
        top: int = 5,
        abstain_below: float | None = None,
        resume: bool = False,
        advice: str = "write to another file, or leave --resume out to replace it",
    ) -> None:
        self._advice = advice
        self.path = Path(path)
        check_results(self.path)
        places = min(top, len(classifier.classes))
        self._layout: Layout = _LAYOUTS[self.path.suffix](places, classifier.multi_label)
        doubt = "" if abstain_below is None else f"{_DOUBT}{abstain_below}"
        self._classifier = classifier.digest[:_DIGITS] + doubt
        self._file: io.FileIO | None = None
        self._size = 0
        self._done: set[tuple[Path, str]] = set()
        if resume and self.path.exists():
            try:
                self._open()
                self._read()
            except BaseException:
                self.close()
                raise

    @property
    def done(self) -> Collection[tuple[Path, str]]:
        """Paths and digests of the images that the file had when it was opened."""
        return self._done

    def append(self, prediction: Prediction) -> None:
        """Write one prediction.

        Raises:
            OutputError: If the disk refuses, or the file was removed; what was written before
                stays.
        """
        line = self._layout.write(prediction, self._classifier)
        file = self._file or self._open()
        try:
            if not os.fstat(file.fileno()).st_nlink:
                raise FileNotFoundError(0, "it was removed while it was written")
            self._write(file, line if self._size else self._layout.heading + line)
        except OSError as error:
            raise self._give_up(error) from error

    def sync(self) -> None:
        """Wait until all that was written has reached the disk.

        Raises:
            OutputError: If the disk refuses after all.
        """
        if self._file is None:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._give_up(error) from error

    def close(self) -> None:
        """Let go of the file, when it has reached the disk.

        Raises:
            OutputError: If the disk refuses after all.
        """
        try:
            self.sync()
        finally:
            file, self._file = self._file, None
            if file is not None:
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> io.FileIO:
        try:
            self._file = file = io.FileIO(self.path, "a+")
            try_lock(file.fileno())
        except BlockingIOError as error:
            self.close()
            raise OutputError(
                f"Another run is writing {self.path}; wait for its end, or write to another file."
            ) from error
        except OSError as error:
            raise self._give_up(error) from error
        return file

    def _write(self, file: io.FileIO, content: bytes) -> None:
        """Add what belongs together behind all that is whole, completely or not at all."""
        rest = memoryview(content)
        try:
            if file.seek(0, os.SEEK_END) != self._size:
                file.truncate(self._size)
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
                records = self._layout.split(iter(partial(file.readline, LONGEST), b""))
                if self._layout.heading:
                    self._take_heading(next(records, b""))
                for number, record in enumerate(records, start=1):
                    self._take(number, record)
        except ValueError as error:
            raise self._refuse(f"a record is none ({error})") from error
        except OSError as error:
            raise self._refuse(f"cannot be read ({error.strerror})") from error

    def _take_heading(self, heading: bytes) -> None:
        if heading and heading != self._layout.heading:
            raise self._refuse("has other columns, so --top was another")
        self._size += len(heading)

    def _take(self, number: int, record: bytes) -> None:
        try:
            path, digest, classifier = self._layout.read(record)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._refuse(f"record {number} is none ({error})") from error
        if classifier != self._classifier:
            (then, doubted), (now, doubts) = (
                each.partition(_DOUBT)[::2] for each in (classifier, self._classifier)
            )
            raise self._refuse(
                f"record {number} is by the classifier {then}, not {now}"
                if then != now
                else f"--abstain-below is {doubts or 'not given'} and was {doubted or 'not given'}"
            )
        self._done.add((Path(path), digest))
        self._size += len(record)

    def _give_up(self, error: OSError) -> OutputError:
        return OutputError(
            f"Cannot write {self.path}: {error.strerror or error}; "
            "make room or choose another place, and go on with --resume."
        )

    def _refuse(self, reason: str) -> OutputError:
        return OutputError(
            f"{self.path}: cannot go on with it as a file of predictions: {reason}; {self._advice}."
        )
