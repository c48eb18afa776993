"""Files that are written completely or not at all, by one process at a time; their digests."""

import errno
import hashlib
import io
import math
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nstk.errors import OutputError

_RENAME_EXCHANGE = 2

_FILE_TYPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_BEGINNING = 2**20

MAX_NAME_BYTES = 255
"""Longest name of a file in the usual file systems."""


def find_cache_folder() -> Path:
    """The user's cache folder for nstk, where the operating system expects it."""
    import platformdirs

    try:
        return platformdirs.user_cache_path("nstk", appauthor=False, opinion=False)
    except RuntimeError as error:
        raise OutputError(
            "No cache folder: the user has no home folder; set HOME or XDG_CACHE_HOME to a "
            "writable folder."
        ) from error


def find_temporary_folder() -> str:
    """The folder for temporary files."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise OutputError(
            "No temporary folder: the usual ones are missing or not writable; set TMPDIR to a "
            "writable folder."
        ) from error


def make_temporary_folder() -> Path:
    """Create a private temporary folder."""
    return Path(tempfile.mkdtemp(prefix="nstk-", dir=find_temporary_folder()))


def check_writable(path: str | Path) -> None:
    """Refuse, before any long work, a path where no file can be written."""
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file to write.")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file; give the name of a file to write.")
    _check_parent(path)


def check_replaceable(path: str | Path, *marks: str) -> None:
    """Refuse, before any long work, to write over a file that nstk did not write.

    Such a file of nstk begins with a megabyte that contains all the marks; an empty one is not
    missed.
    """
    path = Path(path)
    check_writable(path)
    if not path.exists():
        return
    with _report_refusal(f"read {path}"), path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    if beginning and not all(mark.encode() in beginning for mark in marks):
        raise OutputError(
            f"{path} was not written by nstk, and would be lost; give another name, or remove it."
        )


def check_folder_writable(path: str | Path, *, member: str) -> None:
    """Refuse, before any long work, a path where no folder can be written.

    An empty folder may be replaced, and so may one with ``member``, an earlier one of the kind.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; give the name of a folder to write.")
    if path.is_dir() and any(path.iterdir()) and not (path / member).is_file():
        raise OutputError(
            f"{path} holds other files, which would be lost; give the name of a new folder."
        )
    _check_parent(path)


def _check_parent(path: Path) -> None:
    folder = _resolve(path).parent
    if not folder.exists():
        raise OutputError(f"Cannot write {path}: there is no folder {folder}; create it first.")
    if not folder.is_dir():
        raise OutputError(f"Cannot write {path}: {folder} is not a folder; choose another path.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"Cannot write {path}: the folder {folder} is not writable; choose another path or "
            "change its permissions."
        )


def make_folder(path: str | Path, *, parents: bool = False) -> Path:
    """Create a folder inside an existing one, unless it exists; or its parents as well."""
    path = Path(path)
    with _report_refusal(f"create the folder {path}"):
        path.mkdir(parents=parents, exist_ok=True)
    return path


def derive_path(path: Path, ending: str) -> Path:
    """The path with another ending than its extension: ``a.preview.png`` beside ``a.png``.

    A stem that would become too long is cut, and ends in a digest that keeps it unlike others.
    """
    stem, room = os.fsencode(path.stem), MAX_NAME_BYTES - len(os.fsencode(ending))
    if len(stem) <= room:
        return path.with_name(f"{path.stem}{ending}")
    mark = f"-{hashlib.sha256(stem).hexdigest()[:8]}"
    return path.with_name(stem[: room - len(mark)].decode(errors="ignore") + mark + ending)


def atomic_write(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Write a file completely or not at all; an older file stays until the new one is complete.

    ``write`` receives a temporary name in the same folder with the same extension. A link is
    followed to its target. OutputError if the disk refuses; nothing new is left behind.
    """
    path = Path(path)
    with _report_refusal(f"write {path}"):
        target = _resolve(path)
        check_writable(target)
        temporary = make_temporary_name(target)
        try:
            write(temporary)
            _fsync(temporary)
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    _fsync_folder(target.parent)
    return path


def make_temporary_name(path: Path) -> Path:
    """A hidden name of its own beside a file, with the same extension."""
    return path.with_name(f".nstk-{secrets.token_hex(8)}{path.suffix}")


def atomic_write_folder(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Write a folder that `check_folder_writable` accepted like `atomic_write` writes a file."""
    path = Path(path)
    target = _resolve(path)
    temporary, former = (target.with_name(f".nstk-{secrets.token_hex(8)}") for _ in range(2))
    try:
        with _report_refusal(f"write {path}"):
            write(temporary)
            for file in temporary.rglob("*"):
                if file.is_file():
                    _fsync(file)
            if not (target.exists() and _swap(temporary, target)):
                if target.exists():
                    target.rename(former)
                temporary.rename(target)
    finally:
        if former.exists() and not target.exists():
            former.rename(target)
        for leftover in (temporary, former):
            shutil.rmtree(leftover, ignore_errors=True)
    _fsync_folder(target.parent)
    return path


@contextmanager
def _report_refusal(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Cannot {what}: {error.strerror or error}; choose another path or free some disk "
            "space."
        ) from error


def append_record(file: io.FileIO, size: int, record: bytes) -> int:
    """Append a record after the first ``size`` bytes of an open file, completely or not at all.

    Returns the new size. A part of a record that a killed process left behind is overwritten.
    """
    rest = memoryview(record)
    try:
        if file.seek(0, os.SEEK_END) != size:
            file.truncate(size)
        while rest:
            rest = rest[file.write(rest) :]
    except BaseException:
        file.truncate(size)
        raise
    return size + len(record)


def check_regular(path: str | Path, max_bytes: float = math.inf) -> None:
    """Raise an OSError if a path is not a regular file: pipes and devices would block."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(status.st_mode), "a special file")
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
    if status.st_size > max_bytes:
        reason = f"it has {status.st_size} bytes; at most {max_bytes:.0f} are read"
        raise OSError(errno.EFBIG, reason, str(path))


def digest_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resolve(path: Path) -> Path:
    """The target of a link, even a missing one; a circular link counts as a file."""
    return Path(os.path.realpath(path))


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders atomically, if the system can: a kill may come between two renames."""
    import ctypes

    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    names = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    return rename is not None and rename(-1, names[0], -1, names[1], _RENAME_EXCHANGE) == 0


def _fsync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _fsync_folder(folder: Path) -> None:
    # The new name is durable only with its folder. Some systems cannot synchronize a folder; the
    # file itself is safe by now.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
