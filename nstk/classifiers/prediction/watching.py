"""Watching a folder for new files, each reported when it is completely written."""

import time
from collections.abc import Iterator
from pathlib import Path

from nstk.datasets.listing import list_files
from nstk.errors import ImageError
from nstk.settings import check_range

FileState = tuple[int, int, int]
"""Inode, size and modification time; one of them changes when the file does."""


def watch_folder(folder: str | Path, *, interval: float = 1.0) -> Iterator[tuple[Path, ...]]:
    """Watch a folder and its subfolders for new files, without end.

    The folder is scanned every ``interval`` seconds. A file is new when two scans find it in the
    same state; a file that changes later is new again. Removed files are dropped.

    Args:
        folder: The folder. It may disappear and come back.
        interval: Seconds between scans.

    Returns:
        Groups of new files in natural order; existing files are the first group.

    Raises:
        ImageError: If the folder does not exist.
        SettingsError: If the interval is out of range.
    """
    check_range("interval", interval, 0.01, 86400)
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; create it, or check the spelling.")
    return _watch(folder, interval)


def _watch(folder: Path, interval: float) -> Iterator[tuple[Path, ...]]:
    before: dict[Path, FileState] = {}
    arrived: dict[Path, FileState] = {}
    while True:
        now = _scan(folder)
        arrived = {path: state for path, state in arrived.items() if now.get(path) == state}
        complete = {
            path: state
            for path, state in now.items()
            if before.get(path) == state and path not in arrived
        }
        before = now
        if complete:
            arrived |= complete
            yield tuple(complete)
        time.sleep(interval)


def _scan(folder: Path) -> dict[Path, FileState]:
    found = {}
    for path in list_files(folder)[0]:
        try:
            status = path.stat()
        except OSError:
            continue  # removed since it was listed, or a dangling link
        found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
