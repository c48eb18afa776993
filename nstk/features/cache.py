"""Features on disk, kept by content, so that no command looks at an image twice.

A shelf holds one kind of row for each image: what one network at one size sees in one view. It
is a folder of files that never change once they are written. Each has the digests of some
images and their rows, and is named by the digest of its own bytes. So several processes may add
to a shelf at once without locks (a name appears when its file is whole, and the same content is
the same name), and damage is noticed when a file is read.

Files are two arrays in NumPy's format one after the other, read without pickle. The time of a
file is that of its last use; where the cache has grown beyond its limit, the files that were used
longest ago go first.
"""

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.storage.array_files import read_array
from nstk.storage.files import find_cache_folder as find_cache_folder

LIMIT = 4 * 2**30
"""How many bytes the cache may take on disk."""

_FORMAT = "features-1"
_EXTENSION = ".rows"
_ROWS_PER_FILE = 1024
_SECONDS_PER_FILE = 30.0
"""At most so much work is lost when a process is killed."""

Row = npt.NDArray[Any]


class FeatureCache:
    """Rows of numbers by the content of images, on disk or, without a folder, nowhere.

    A folder that cannot be written, or a full disk, ends the writing and is told as a notice;
    what was computed is then kept in memory by whoever computed it, as it is anyway.

    Args:
        folder: Where the cache is or is to be made; None keeps nothing.
        limit: How many bytes it may take.
    """

    def __init__(self, folder: str | Path | None = None, *, limit: int = LIMIT) -> None:
        self._root = None if folder is None else Path(folder) / _FORMAT
        self._limit = limit
        self._shelves: dict[str, CacheShard] = {}
        self._notices: list[str] = []

    @property
    def notices(self) -> tuple[str, ...]:
        """What went wrong with the cache, one sentence each, told once; never an error."""
        return tuple(dict.fromkeys(self._notices))

    def shelf(self, recipe: Mapping[str, Any]) -> "CacheShard":
        """Give the shelf of all rows that were made in one way.

        Args:
            recipe: What a row depends on apart from the image; plain JSON.
        """
        name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]
        if name not in self._shelves:
            folder = self._root / name if self._root else None
            self._shelves[name] = CacheShard(folder, self._notices.append)
        return self._shelves[name]

    def close(self) -> None:
        """Write what is not yet written, and drop what was used longest ago beyond the limit."""
        for shelf in self._shelves.values():
            shelf.write()
        if self._root:
            with suppress(OSError):
                _trim(self._root, self._limit)


class CacheShard:
    """The rows of one kind; thread-safe.

    Args:
        folder: Where they lie; None keeps nothing.
        tell: Takes the notice of what went wrong.
    """

    def __init__(self, folder: Path | None, tell: Any) -> None:
        self._folder = folder
        self._tell = tell
        self._lock = threading.Lock()
        self._places: dict[bytes, Path] = {}
        for path in _list_files(folder) if folder else ():
            self._places.update(dict.fromkeys(self._list_keys(path), path))
        self._read: dict[Path, dict[bytes, Row]] = {}
        self._new: dict[bytes, Row] = {}
        self._written = time.monotonic()

    def find(self, digest: str) -> Row | None:
        """Give the row of an image that the disk had, or None where there is none that is whole.

        Args:
            digest: SHA-256 of the file's content, in hexadecimal digits.
        """
        key = bytes.fromhex(digest)
        with self._lock:
            place = self._places.get(key)
            if place is None:
                return None
            if place not in self._read:
                self._read[place] = self._load(place)
            return self._read[place].get(key)

    def add(self, digest: str, row: Row) -> None:
        """Keep the row of an image.

        Args:
            digest: SHA-256 of the file's content, in hexadecimal digits.
            row: Of one shape and dtype on all the shelf.
        """
        with self._lock:
            self._new[bytes.fromhex(digest)] = row
            late = time.monotonic() - self._written >= _SECONDS_PER_FILE
            full = len(self._new) >= _ROWS_PER_FILE
        if full or late:
            self.write()

    def write(self) -> None:
        """Write the rows that are new."""
        with self._lock:
            rows, self._new, self._written = self._new, {}, time.monotonic()
            if not rows or self._folder is None:
                return
            try:
                _write_rows(self._folder, rows)
            except OSError as error:
                self._folder = None
                self._tell(
                    f"The feature cache cannot be written ({error.strerror or error}); "
                    "features are kept in memory only, and the next run computes them anew."
                )

    def _load(self, place: Path) -> dict[bytes, Row]:
        try:
            content = place.read_bytes()
        except OSError:  # Another process may have dropped it, to make room.
            return {}
        if hashlib.sha256(content).hexdigest() != place.stem:
            self._discard(place)
            return {}
        with suppress(OSError):
            os.utime(place)
        file = BytesIO(content)
        try:
            keys, rows = read_array(file, len(content)), read_array(file, len(content))
            return {key.tobytes(): row for key, row in zip(keys, rows, strict=True)}
        except (TypeError, ValueError):
            self._discard(place)
            return {}

    def _list_keys(self, place: Path) -> list[bytes]:
        """Which images a file has rows of, read off its beginning."""
        try:
            with place.open("rb") as file:
                return [key.tobytes() for key in read_array(file, place.stat().st_size)]
        except OSError:
            return []
        except (TypeError, ValueError):
            self._discard(place)
            return []

    def _discard(self, place: Path) -> None:
        with suppress(OSError):
            place.unlink()
        self._tell(f"{place} was damaged; it is removed and its features are computed anew.")


def _list_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"*{_EXTENSION}"))
    except OSError:
        return []


def _write_rows(folder: Path, rows: Mapping[bytes, Row]) -> None:
    file = BytesIO()
    keys = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    np.save(file, keys, allow_pickle=False)
    np.save(file, np.stack([*rows.values()]), allow_pickle=False)
    content = file.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{secrets.token_hex(8)}.tmp"
    try:
        temporary.write_bytes(content)
        os.replace(temporary, folder / f"{hashlib.sha256(content).hexdigest()}{_EXTENSION}")
    finally:
        temporary.unlink(missing_ok=True)


def _trim(root: Path, limit: int) -> None:
    """Remove the files that were used longest ago until the others fit."""
    found = []
    for path in root.glob("*/*"):
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    excess = sum(size for _, size, _ in found) - limit
    for _, size, path in sorted(found):
        if excess <= 0:
            break
        with suppress(OSError):
            path.unlink()
            excess -= size
