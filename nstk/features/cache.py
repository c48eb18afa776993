"""Features on disk, stored by content, so that no image passes through the network twice.

A shard holds one kind of row for each image: the features of one network at one size for one crop.
It is a folder of files that never change once they are written. Each file has the digests of some
images and their rows, and is named by the digest of its own bytes. So several processes may add to
a shard at once without locks (a name appears when its file is complete, and equal content has an
equal name), and damage is noticed when a file is read.

A file is two arrays in NumPy's format, one after the other, read without pickle. The modification
time of a file is that of its last use; when the cache exceeds its limit, the least recently used
files are removed first.
"""

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np

from nstk.storage.array_files import read_array
from nstk.storage.files import find_cache_folder as find_cache_folder
from nstk.types import Array, Json

LIMIT = 4 * 2**30
"""Largest size of the cache on disk, in bytes."""

_FORMAT = "features-1"
_EXTENSION = ".rows"
_ROWS_PER_FILE = 1024
_SECONDS_PER_FILE = 30.0
"""The most work that is lost when a process is killed."""


class FeatureCache:
    """Rows of numbers by the content of images, on disk; without a folder nothing is stored.

    If the folder cannot be written or the disk is full, the cache stops writing and adds a notice;
    the job continues with the rows that it has in memory.
    """

    def __init__(self, folder: str | Path | None = None, *, limit: int = LIMIT) -> None:
        self._root = None if folder is None else Path(folder) / _FORMAT
        self._limit = limit
        self._shards: dict[str, CacheShard] = {}
        self._notices: list[str] = []

    @property
    def notices(self) -> tuple[str, ...]:
        """Problems with the cache, one sentence each, without repetition; never an error."""
        return tuple(dict.fromkeys(self._notices))

    def shard(self, recipe: Mapping[str, Json]) -> "CacheShard":
        """The shard of all rows of one recipe: all that a row depends on apart from the image."""
        name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]
        if name not in self._shards:
            folder = self._root / name if self._root else None
            self._shards[name] = CacheShard(folder, self._notices.append)
        return self._shards[name]

    def close(self) -> None:
        """Write pending rows, and remove the least recently used files beyond the limit."""
        for shard in self._shards.values():
            shard.write()
        if self._root:
            with suppress(OSError):
                _trim(self._root, self._limit)


class CacheShard:
    """The rows of one kind; thread-safe. Without a folder nothing is stored."""

    def __init__(self, folder: Path | None, on_notice: Callable[[str], None]) -> None:
        self._folder = folder
        self._on_notice = on_notice
        self._lock = threading.Lock()
        self._paths: dict[bytes, Path] = {}
        for path in _list_files(folder) if folder else ():
            self._paths.update(dict.fromkeys(self._list_keys(path), path))
        self._loaded: dict[Path, dict[bytes, Array]] = {}
        self._pending: dict[bytes, Array] = {}
        self._written_at = time.monotonic()

    def find(self, digest: str) -> Array | None:
        """The row of an image from disk, by the SHA-256 of its file; None without an intact one."""
        key = bytes.fromhex(digest)
        with self._lock:
            path = self._paths.get(key)
            if path is None:
                return None
            if path not in self._loaded:
                self._loaded[path] = self._load(path)
            return self._loaded[path].get(key)

    def add(self, digest: str, row: Array) -> None:
        with self._lock:
            self._pending[bytes.fromhex(digest)] = row
            late = time.monotonic() - self._written_at >= _SECONDS_PER_FILE
            full = len(self._pending) >= _ROWS_PER_FILE
        if full or late:
            self.write()

    def write(self) -> None:
        with self._lock:
            rows, self._pending, self._written_at = self._pending, {}, time.monotonic()
            if not rows or self._folder is None:
                return
            try:
                _write_rows(self._folder, rows)
            except OSError as error:
                self._folder = None
                self._on_notice(
                    f"The feature cache cannot be written ({error.strerror or error}); "
                    "features are kept in memory only, and the next run computes them again."
                )

    def _load(self, path: Path) -> dict[bytes, Array]:
        try:
            content = path.read_bytes()
        except OSError:  # Another process may have removed it, to free space.
            return {}
        if hashlib.sha256(content).hexdigest() != path.stem:
            self._discard(path)
            return {}
        with suppress(OSError):
            os.utime(path)
        file = BytesIO(content)
        try:
            keys, rows = read_array(file, len(content)), read_array(file, len(content))
            return {key.tobytes(): row for key, row in zip(keys, rows, strict=True)}
        except (TypeError, ValueError):
            self._discard(path)
            return {}

    def _list_keys(self, path: Path) -> list[bytes]:
        """The images that a file has rows of, from its first array alone."""
        try:
            with path.open("rb") as file:
                return [key.tobytes() for key in read_array(file, path.stat().st_size)]
        except OSError:
            return []
        except (TypeError, ValueError):
            self._discard(path)
            return []

    def _discard(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink()
        self._on_notice(f"{path} was damaged; it is removed and its features are computed again.")


def _list_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"*{_EXTENSION}"))
    except OSError:
        return []


def _write_rows(folder: Path, rows: Mapping[bytes, Array]) -> None:
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
    """Remove the least recently used files until the others fit."""
    files = []
    for path in root.glob("*/*"):
        with suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    excess = sum(size for _, size, _ in files) - limit
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        with suppress(OSError):
            path.unlink()
            excess -= size
