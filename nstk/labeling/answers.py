"""Answers on disk: a table that grows by one line for each answer, and that `finetune` reads.

A line has the path of an image below the table's folder, its label or labels, and the time of the
answer. A later line replaces earlier ones of the same image; without a time it withdraws them. No
line is ever changed, so nothing is lost by an error, a crash or a change of mind.
"""

import csv
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from nstk.datasets.tables import ANSWERED, read_table
from nstk.errors import OutputError, SettingsError
from nstk.storage.files import append_record, check_writable
from nstk.storage.locks import FileGuard

Labels = frozenset[str]
"""The labels of one image: exactly one, or any number if images may have several."""

SEPARATOR = "|"


def check_label(label: str, *, multi_label: bool) -> str:
    """Return a label without surrounding spaces; refuse what no table can hold.

    Raises:
        SettingsError: If it is empty, has control characters, or separates labels.
    """
    name = " ".join(label.split())
    forbidden = "|;" if multi_label else ""
    if not name or not name.isprintable() or any(each in name for each in forbidden):
        rule = " without | and ;" if multi_label else ""
        raise SettingsError(f"{label!r} as a label; give a name{rule}.")
    return name


class AnswerFile:
    """The table of answers of a folder; only one process writes it at a time.

    Args:
        path: The table, NAME.csv, in the folder of the images or above it; it is created with the
            first answer.
        folder: The folder of the images.
        multi_label: Whether an image may have several labels, or none.

    Raises:
        OutputError: If it cannot be written, is in use, or is not a table of answers of this kind.

    Attributes:
        answers: The last answer for each image.
        history: Every answered image, with its answer before; what `undo` goes back through.
    """

    def __init__(self, path: str | Path, folder: str | Path, *, multi_label: bool = False) -> None:
        self.path, self.multi_label = Path(path), multi_label
        self._base = Path(os.path.abspath(path)).parent
        self._columns = ["path", "labels" if multi_label else "label", ANSWERED]
        self.answers: dict[Path, Labels] = {}
        self.history: list[tuple[Path, Labels | None]] = []
        check_answers(self.path, folder)
        try:
            self._lock = FileGuard(self.path)
        except BlockingIOError as error:
            raise OutputError(
                f"Another run is writing {self.path}; wait for its end, or give another file."
            ) from error
        try:
            self._file = io.FileIO(self.path, "a+")
        except OSError as error:
            self._lock.release()
            raise self._write_error(error) from error
        try:
            self._size = self._cut_partial_line()
            if self._size:
                self._read()
        except BaseException:
            self._file.close()
            self._lock.release()
            raise

    def append(self, image: Path, labels: Labels) -> None:
        """Write the answer for an image, and wait until it is on the disk."""
        self._write(image, labels)
        self._record(image, labels)

    def undo(self) -> Path | None:
        """Restore what was known before the last answer; return its image, None if there is none.

        This writes another line.
        """
        if not self.history:
            return None
        image, before = self.history[-1]
        self._write(image, before)
        self._withdraw(image)
        return image

    def close(self) -> None:
        self._file.close()
        if not self._size:
            self.path.unlink(missing_ok=True)
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        table = read_table(self.path)
        if table.columns != self._columns:
            raise OutputError(
                f"{self.path} has the columns {', '.join(table.columns)}, not "
                f"{', '.join(self._columns)}; give another file"
                f"{', or change `multi_label`' if ANSWERED in table.columns else ''}."
            )
        path, names, _ = self._columns
        for _, row in table.rows:
            image = self._base / row[path]
            if row[ANSWERED]:
                listed = row[names].split(SEPARATOR) if self.multi_label else [row[names]]
                self._record(image, frozenset(filter(None, listed)))
            else:
                self._withdraw(image)

    def _record(self, image: Path, labels: Labels) -> None:
        self.history.append((image, self.answers.get(image)))
        self.answers[image] = labels

    def _withdraw(self, image: Path) -> None:
        places = [place for place, (each, _) in enumerate(self.history) if each == image]
        before = self.history.pop(places[-1])[1] if places else None
        self.answers.pop(image, None)
        if before is not None:
            self.answers[image] = before

    def _write(self, image: Path, labels: Labels | None) -> None:
        now = "" if labels is None else datetime.now(UTC).isoformat(timespec="seconds")
        place = Path(os.path.relpath(image, self._base)).as_posix()
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if not self._size:
            writer.writerow(self._columns)
        writer.writerow([place, SEPARATOR.join(sorted(labels or ())), now])
        try:
            self._size = append_record(self._file, self._size, text.getvalue().encode())
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._write_error(error) from error

    def _cut_partial_line(self) -> int:
        """Cut what a killed process left of a line; return the size of the rest."""
        self._file.seek(0)
        size = self._file.read().rfind(b"\n") + 1
        self._file.truncate(size)
        return size

    def _write_error(self, error: OSError) -> OutputError:
        return OutputError(
            f"Cannot write {self.path}: {error.strerror or error}; free disk space or choose "
            "another file."
        )


def check_answers(path: Path, folder: str | Path) -> None:
    """Refuse, before any long work, a table that cannot hold the answers of a folder."""
    if path.suffix.casefold() != ".csv":
        raise OutputError(f"{path}: the extension is not .csv; give a name that ends in .csv.")
    check_writable(path)
    if not Path(folder).resolve().is_relative_to(path.absolute().parent.resolve()):
        raise OutputError(
            f"{path} is not in {folder} or above it, where `nstk finetune` looks for the images; "
            "write it there."
        )
