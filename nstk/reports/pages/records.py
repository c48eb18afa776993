"""The files of a report beside its page: figures as JSON, and texts."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from nstk.errors import OutputError
from nstk.storage.files import atomic_write, check_writable


def check_folder(folder: str | Path, names: Iterable[str]) -> None:
    """Check, before any long work, that a report can be written.

    Args:
        folder: The report's folder; it may exist or not.
        names: The files that it will contain.

    Raises:
        OutputError: If no file can be written there, or the folder cannot be made.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose a folder for the report.")
    for path in [folder / name for name in names] if folder.exists() else [folder]:
        check_writable(path)


def write_record(record: Mapping[str, object], path: Path) -> Path:
    """Write figures as one JSON object; NaN and infinity become null.

    Args:
        record: Plain values; floats are written with six digits.
        path: The file.

    Raises:
        OutputError: If it cannot be written.
    """
    text = json.dumps(_plain(record), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    return write_text(text, path)


def write_text(text: str, path: Path) -> Path:
    """Write a text in UTF-8, atomically.

    Raises:
        OutputError: If it cannot be written.
    """

    def write(target: Path) -> None:
        target.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")

    return atomic_write(path, write)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
