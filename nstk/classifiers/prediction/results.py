"""Predictions on disk: a CSV or JSONL file that grows by complete lines and can be resumed."""

import csv
import io
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.prediction import Prediction
from nstk.errors import OutputError
from nstk.storage.files import FileGuard, append_record, check_replaceable, check_writable

MAX_RECORD = 2**20
"""Largest size of a record in bytes."""

_DIGEST_DIGITS = 16
_THRESHOLD = " unsure below "

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
    beginning = b"path,"
    marks = ("ood_score,sha256,classifier",)

    @property
    def heading(self) -> bytes:
        more = [f"{name}_{n}" for n in range(2, self.top + 1) for name in _TOP_COLUMNS]
        given = ["labels"] if self.multi_label else []
        return _row(["path", *given, *_TOP_COLUMNS, *more, "ood_score", *_ID_COLUMNS])

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        more = [cell for pair in prediction.top[1:] for cell in pair]
        given = ["|".join(prediction.labels)] if self.multi_label else []
        values = [*given, prediction.label, prediction.probability, *more, prediction.ood_score]
        return _row([prediction.path, *values, prediction.digest, classifier])

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
        if len(cells) != 2 + self.multi_label + 2 * self.top + len(_ID_COLUMNS):
            raise ValueError(f"it has {len(cells)} cells")
        return cells[0], cells[-2], cells[-1]


@dataclass(frozen=True)
class JsonLinesLayout:
    """One JSON object for each image, as in ``nstk predict --json``, with digests."""

    top: int
    multi_label: bool = False
    beginning = b'{"path": '
    marks = ('"sha256": ', '"classifier": ')
    heading = b""

    def write(self, prediction: Prediction, classifier: str) -> bytes:
        facts = dict(zip(_ID_COLUMNS, (prediction.digest, classifier), strict=True))
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


Layout = CsvLayout | JsonLinesLayout

_LAYOUTS: dict[str, type[Layout]] = {".csv": CsvLayout, ".jsonl": JsonLinesLayout}


def check_results(path: str | Path, *, resume: bool = False) -> None:
    """Refuse, before any long work, a path that is none for a file of predictions."""
    if Path(path).suffix not in _LAYOUTS:
        raise OutputError(f"{path}: the extension is not .csv or .jsonl; use one of these.")
    if resume:
        check_writable(path)
    else:
        check_replaceable(path, *_LAYOUTS[Path(path).suffix].marks)


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
        advice: str = "write to another file, or leave out `resume` to replace it",
    ) -> None:
        self._advice = advice
        self.path = Path(path)
        check_results(self.path, resume=resume)
        columns = min(top, len(classifier.classes))
        self._layout: Layout = _LAYOUTS[self.path.suffix](columns, classifier.multi_label)
        threshold = "" if abstain_below is None else f"{_THRESHOLD}{abstain_below}"
        self._classifier = classifier.digest[:_DIGEST_DIGITS] + threshold
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
        file = self._file or self._open()
        try:
            if not os.fstat(file.fileno()).st_nlink:
                raise FileNotFoundError(0, "it was removed while it was written")
            content = line if self._size else self._layout.heading + line
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
        self._done.add((Path(path), digest))
        self._size += len(record)

    def _write_error(self, error: OSError) -> OutputError:
        return OutputError(
            f"Cannot write {self.path}: {error.strerror or error}; "
            "free disk space or choose another folder, and `resume`."
        )

    def _resume_error(self, reason: str) -> OutputError:
        return OutputError(f"{self.path}: cannot resume it: {reason}; {self._advice}.")
