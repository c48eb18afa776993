"""Files that arrive in a folder, each as soon as nobody writes to it any more."""

import time
from collections.abc import Iterator
from pathlib import Path

from nstk.datasets.listing import list_files
from nstk.errors import ImageError
from nstk.settings import check_range

State = tuple[int, int, int]
"""What changes when a file does: its number, size and time of change."""


def watch_folder(folder: str | Path, *, interval: float = 1.0) -> Iterator[tuple[Path, ...]]:
    """Wait for files in a folder and below it; never ends by itself.

    The folder is looked through every ``interval`` seconds. A file has arrived when it is the
    same in two looks; a file that changes later arrives again. What is known of files that have
    gone is forgotten.

    Args:
        folder: Where to look. It may go and come back.
        interval: Seconds from one look to the next.

    Returns:
        What has arrived, in natural order, as often as anything has; those that are there
        already come first.

    Raises:
        ImageError: If there is no such folder.
        SettingsError: If the interval is out of its range.
    """
    check_range("interval", interval, 0.01, 86400)
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; create it, or check the spelling.")
    return _watch(folder, interval)


def _watch(folder: Path, interval: float) -> Iterator[tuple[Path, ...]]:
    before: dict[Path, State] = {}
    arrived: dict[Path, State] = {}
    while True:
        now = _look(folder)
        arrived = {path: state for path, state in arrived.items() if now.get(path) == state}
        whole = {
            path: state
            for path, state in now.items()
            if before.get(path) == state and path not in arrived
        }
        before = now
        if whole:
            arrived |= whole
            yield tuple(whole)
        time.sleep(interval)


def _look(folder: Path) -> dict[Path, State]:
    found = {}
    for path in list_files(folder)[0]:
        try:
            status = path.stat()
        except OSError:
            continue  # it has gone since it was listed, or is a link to nothing
        found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
