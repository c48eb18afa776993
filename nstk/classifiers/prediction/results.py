"""Predictions on disk: a CSV or JSONL file that grows by complete lines and can be resumed."""

import csv
import io
import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Self

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.layouts import LAYOUTS, MAX_RECORD, Layout
from nstk.classifiers.prediction.prediction import Prediction
from nstk.errors import OutputError
from nstk.storage.files import append_record, check_replaceable, check_writable
from nstk.storage.locks import FileGuard
from nstk.storage.remote import as_path

_DIGEST_DIGITS = 16
_THRESHOLD = " unsure below "


def identify_classifier(classifier: Classifier, abstain_below: float | None) -> str:
    """The classifier of a record, with the threshold of its labels."""
    threshold = "" if abstain_below is None else f"{_THRESHOLD}{abstain_below}"
    return classifier.digest[:_DIGEST_DIGITS] + threshold


def check_results(path: str | Path, *, resume: bool = False) -> None:
    """Refuse, before any long work, a path that is none for a file of predictions."""
    if Path(path).suffix not in LAYOUTS:
        raise OutputError(
            f"{path}: the extension is not .csv, .jsonl or .parquet; use one of these."
        )
    if resume:
        check_writable(path)
    else:
        check_replaceable(path, *LAYOUTS[Path(path).suffix].marks)


class ResultsFile:
    """A file of predictions that consists of complete lines at all times; a context manager.

    Every line is written immediately, and removed again if only a part of it fits on the disk. It
    has digests of the image and of the classifier, so that an interrupted run can be resumed with
    the same classifier. Nothing is written before the first prediction; then an older file is
    replaced, unless the run resumes it. Two runs cannot write to one file.

    Args:
        path: File that ends in ``.csv`` or ``.jsonl``.
        classifier: The classifier.
        top: Number of the most likely classes in each prediction.
        abstain_below: See `nstk.predict`; a file with another value cannot be resumed.
        resume: Continue the file.
        sharded: Whether it holds one shard: its lines have positions, by which they are merged.
        advice: What to do if that is not possible.

    Raises:
        OutputError: If the file cannot be written, or cannot be resumed because it is something
            else, of another classifier, or in use.
    """

    def __init__(
        self,
        path: str | Path,
        classifier: Classifier,
        *,
        top: int = 5,
        abstain_below: float | None = None,
        resume: bool = False,
        sharded: bool = False,
        advice: str = "write to another file, or leave out `resume` to replace it",
    ) -> None:
        self._advice = advice
        self.path = Path(path)
        check_results(self.path, resume=resume)
        columns = min(top, len(classifier.classes))
        self._layout: Layout = LAYOUTS[self.path.suffix](columns, classifier.multi_label, sharded)
        self._classifier = identify_classifier(classifier, abstain_below)
        self._file: io.FileIO | None = None
        self._lock: FileGuard | None = None
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
        """Paths and digests of the images in the file when it was opened."""
        return self._done

    def append(self, prediction: Prediction) -> None:
        """Write one prediction; if the disk is full, earlier lines stay."""
        line = self._layout.write(prediction, self._classifier)
        self._append(line if self._size else self._layout.heading + line)

    def write_heading(self) -> None:
        """Write a file without predictions."""
        if not self._size:
            self._append(self._layout.heading)

    def _append(self, content: bytes) -> None:
        file = self._file or self._open()
        try:
            if not os.fstat(file.fileno()).st_nlink:
                raise FileNotFoundError(0, "it was removed while it was written")
            self._size = append_record(file, self._size, content)
        except OSError as error:
            raise self._write_error(error) from error

    def sync(self) -> None:
        """Wait until all lines have reached the disk."""
        if self._file is None:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._write_error(error) from error

    def close(self) -> None:
        """Sync and close the file."""
        try:
            self.sync()
        finally:
            file, self._file = self._file, None
            if file is not None:
                file.close()
            lock, self._lock = self._lock, None
            if lock is not None:
                lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> io.FileIO:
        try:
            self._lock = FileGuard(self.path)
            self._file = file = io.FileIO(self.path, "a+")
        except BlockingIOError as error:
            self.close()
            raise OutputError(
                f"Another run is writing {self.path}; wait for its end, or write to another file."
            ) from error
        except OSError as error:
            raise self._write_error(error) from error
        return file

    def _read(self) -> None:
        """Read the existing records; a truncated one at the end will be overwritten."""
        try:
            with self.path.open("rb") as file:
                beginning = file.read(len(self._layout.beginning))
                if not self._layout.beginning.startswith(beginning):
                    raise self._resume_error("it is not a file of predictions")
                file.seek(0)
                records = self._layout.split(iter(partial(file.readline, MAX_RECORD), b""))
                heading = next(records, b"") if self._layout.heading else b""
                if heading and heading != self._layout.heading:
                    raise self._resume_error("it has other columns, because `top` was different")
                self._size += len(heading)
                for number, record in enumerate(records, start=1):
                    self._add_record(number, record)
        except ValueError as error:
            raise self._resume_error(f"a record is invalid ({error})") from error
        except OSError as error:
            raise self._resume_error(f"it cannot be read ({error.strerror})") from error

    def _add_record(self, number: int, record: bytes) -> None:
        try:
            path, digest, classifier = self._layout.read(record)
        except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
            raise self._resume_error(f"record {number} is invalid ({error})") from error
        if classifier != self._classifier:
            (then, threshold_then), (now, threshold_now) = (
                each.partition(_THRESHOLD)[::2] for each in (classifier, self._classifier)
            )
            raise self._resume_error(
                f"record {number} is by the classifier {then}, not {now}"
                if then != now
                else f"`abstain_below` is {threshold_now or None} and was {threshold_then or None}"
            )
        self._done.add((as_path(path), digest))
        self._size += len(record)

    def _write_error(self, error: OSError) -> OutputError:
        return OutputError(
            f"Cannot write {self.path}: {error.strerror or error}; "
            "free disk space or choose another folder, and `resume`."
        )

    def _resume_error(self, reason: str) -> OutputError:
        return OutputError(f"{self.path}: cannot resume it: {reason}; {self._advice}.")
