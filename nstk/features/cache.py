"""Features on disk, stored by content, so that no image passes through the network twice.

A shard holds one kind of row for each image: the features of one network at one size for one crop.
It is a folder of files that never change once they are written. Each file has the digests of some
images, a check of each row, and the rows, and is named by the digest of its own bytes. So several
processes may add to a shard at once without locks (a name appears when its file is complete, and
equal content has an equal name), and caches are merged by copying files.

Opening a shard reads the digests alone: a sorted index of 16 bytes an image, from which a row is
read by itself and checked. A million images need some tens of megabytes and a second.

A file is three arrays in NumPy's format, one after the other, read without pickle. The modification
time of a file is that of its last use; when the cache exceeds its limit, the least recently used
files are removed first, but none of the current run.
"""

import hashlib
import json
import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nstk.errors import OutputError
from nstk.storage.array_files import read_array, read_header
from nstk.storage.files import atomic_write, make_folder
from nstk.storage.files import find_cache_folder as find_cache_folder
from nstk.types import Array, Json

LIMIT = 4 * 2**30
"""Largest size of the cache on disk, in bytes."""

_FORMAT = "features-2"
_EXTENSION = ".rows"
_DIGEST, _CHECK = 32, 8
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
        self._began = time.time()

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
                _trim(self._root, self._limit, self._began)


@dataclass(frozen=True)
class _RowFile:
    """A file of rows: where its digests, checks and rows begin, and what a row is."""

    path: Path
    starts: tuple[int, int, int]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, path: Path) -> tuple["_RowFile", Array]:
        """Read the headers and the digests ``(n, 32)``; ValueError if the file is damaged."""
        with path.open("rb") as file:
            room = path.stat().st_size
            digests = read_array(file, room)
            starts = [file.tell() - digests.nbytes]
            for _ in range(2):
                shape, fortran_order, dtype = read_header(file)
                starts.append(file.tell())
                file.seek(dtype.itemsize * math.prod(shape), os.SEEK_CUR)
                if fortran_order or shape[0] != len(digests):
                    raise ValueError("its arrays do not fit together")
            if file.tell() != room or digests.shape[1:] != (_DIGEST,) or digests.dtype != np.uint8:
                raise ValueError("it has another length than its headers claim")
        return cls(path, (starts[0], starts[1], starts[2]), shape[1:], dtype), digests

    def read(self, number: int, digest: bytes) -> Array | None:
        """A row, or None if it is that of another image; ValueError if it is damaged."""
        size = self.dtype.itemsize * math.prod(self.shape)
        with self.path.open("rb") as file:
            found, check, row = (
                _read_at(file, start + number * length, length)
                for start, length in zip(self.starts, (_DIGEST, _CHECK, size), strict=True)
            )
        if found != digest:
            return None
        if _check(digest, row) != check:
            raise ValueError("a row does not match its check")
        return np.frombuffer(row, self.dtype).reshape(self.shape)


class CacheShard:
    """The rows of one kind; thread-safe. Without a folder nothing is stored."""

    def __init__(self, folder: Path | None, on_notice: Callable[[str], None]) -> None:
        self._folder = folder
        self._on_notice = on_notice
        self._lock = threading.Lock()
        self._files: list[_RowFile | None] = []
        self._used: set[int] = set()
        keys, owners, numbers = [np.empty(0, np.uint64)], [0], [np.empty(0, np.uint32)]
        for path in _list_files(folder) if folder else ():
            with self._discard_damaged(path):
                file, digests = _RowFile.open(path)
                keys.append(_keys(digests))
                self._files.append(file)
                owners.append(len(digests))
                numbers.append(np.arange(len(digests), dtype=np.uint32))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys, kind="stable")
        files = np.repeat(np.arange(len(owners), dtype=np.uint32), owners) - np.uint32(1)
        self._keys = all_keys[order]
        self._places = files[order], np.concatenate(numbers)[order]
        self._pending: dict[bytes, Array] = {}
        self._written_at = time.monotonic()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, digest: str) -> Array | None:
        """The row of an image from disk, by the SHA-256 of its file; None without an intact one."""
        wanted = bytes.fromhex(digest)
        [key] = _keys(np.frombuffer(wanted, np.uint8)[np.newaxis])
        at = int(np.searchsorted(self._keys, key))
        while at < len(self._keys) and self._keys[at] == key:
            index, number = (int(places[at]) for places in self._places)
            file, row = self._files[index], None
            if file is not None:
                with self._discard_damaged(file.path, index):
                    row = file.read(number, wanted)
            if row is not None:
                self._mark_used(index)
                return row
            at += 1
        return None

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

    def _mark_used(self, index: int) -> None:
        file = self._files[index]
        if index not in self._used and file is not None:
            self._used.add(index)
            with suppress(OSError):
                os.utime(file.path)

    @contextmanager
    def _discard_damaged(self, path: Path, index: int | None = None) -> Iterator[None]:
        """Remove a file that turns out to be damaged; another process may have removed it."""
        try:
            yield
        except OSError:
            return
        except (ArithmeticError, IndexError, TypeError, ValueError):
            if index is not None:
                self._files[index] = None
            with suppress(OSError):
                path.unlink()
            self._on_notice(
                f"{path} was damaged; it is removed and its features are computed again."
            )


def merge_caches(sources: Iterable[Path], target: Path) -> int:
    """Copy the rows of several caches into one; return the number of files that were new.

    Raises:
        OutputError: If a folder is not a cache, or the target cannot be written.
    """
    copied = 0
    for source in sources:
        root = source / _FORMAT
        if not root.is_dir():
            raise OutputError(f"{source} holds no features; give folders made by `cache`.")
        for path in sorted(root.glob(f"*/*{_EXTENSION}")):
            copy = target / _FORMAT / path.relative_to(root)
            if copy.exists():
                continue
            make_folder(copy.parent, parents=True)
            atomic_write(copy, partial(shutil.copyfile, path))
            copied += 1
    return copied


def _keys(digests: Array) -> npt.NDArray[np.uint64]:
    """The end of each digest ``(n, 32)`` as a number to sort by."""
    ends = np.ascontiguousarray(digests[:, -8:])
    keys: npt.NDArray[np.uint64] = ends.view(">u8").reshape(-1).astype(np.uint64)
    return keys


def _check(digest: bytes, row: bytes) -> bytes:
    return hashlib.blake2b(digest + row, digest_size=_CHECK).digest()


def _read_at(file: IO[bytes], start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _list_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"*{_EXTENSION}"))
    except OSError:
        return []


def _write_rows(folder: Path, rows: Mapping[bytes, Array]) -> None:
    file = BytesIO()
    stacked = np.stack([*rows.values()])
    checks = b"".join(
        _check(digest, row.tobytes()) for digest, row in zip(rows, stacked, strict=True)
    )
    for packed, width in ((b"".join(rows), _DIGEST), (checks, _CHECK)):
        np.save(file, np.frombuffer(packed, np.uint8).reshape(-1, width), allow_pickle=False)
    np.save(file, stacked, allow_pickle=False)
    content = file.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{secrets.token_hex(8)}.tmp"
    try:
        temporary.write_bytes(content)
        os.replace(temporary, folder / f"{hashlib.sha256(content).hexdigest()}{_EXTENSION}")
    finally:
        temporary.unlink(missing_ok=True)


def _trim(root: Path, limit: int, began: float) -> None:
    """Remove the least recently used files until the others fit, but none of this run."""
    files = []
    for path in root.glob("*/*"):
        with suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    excess = sum(size for _, size, _ in files) - limit
    for used, size, path in sorted(files):
        if excess <= 0 or used >= began:
            break
        with suppress(OSError):
            path.unlink()
            excess -= size
