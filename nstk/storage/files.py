"""Files that are written completely or not at all, and their digests."""

import ctypes
import errno
import hashlib
import math
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from nstk.errors import OutputError

_RENAME_EXCHANGE = 2

_FILE_TYPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def find_cache_folder() -> Path:
    """The user's cache folder for nstk, where the operating system expects it.

    Raises:
        OutputError: If the user has no home folder, as in some containers.
    """
    try:
        return platformdirs.user_cache_path("nstk", appauthor=False, opinion=False)
    except RuntimeError as error:
        raise OutputError(
            "No cache folder: the user has no home folder; set HOME or XDG_CACHE_HOME to a "
            "writable folder."
        ) from error


def check_writable(path: str | Path) -> None:
    """Refuse, before any long work, a path where no file can be written.

    Args:
        path: Where a file will be written later.

    Raises:
        OutputError: If ``path`` is a folder or a device, or if its parent is missing, is not a
            folder or is not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file to write.")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file; give the name of a file to write.")
    _check_parent(path)


def check_folder_writable(path: str | Path, *, member: str) -> None:
    """Refuse, before any long work, a path where no folder can be written.

    Args:
        path: Where a folder will be written later.
        member: A file that identifies an earlier folder of the same kind, which may be replaced.

    Raises:
        OutputError: If ``path`` is a file or a folder with other content, or if its parent is
            missing, is not a folder or is not writable.
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


def make_folder(path: str | Path) -> Path:
    """Create a folder inside an existing one, unless it exists.

    Args:
        path: The folder.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be created.
    """
    path = Path(path)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot create the folder {path}: {error.strerror or error}; choose another path or "
            "free some disk space."
        ) from error
    return path


def atomic_write(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Write a file completely or not at all; an older file stays until the new one is complete.

    Args:
        path: Where to write the file; a link is followed to its target.
        write: Writes the content to the path that it receives: a temporary name in the same
            folder with the same extension.

    Returns:
        ``path``.

    Raises:
        OutputError: If the disk refuses. Other errors of ``write`` pass through. In every case
            nothing new is left behind.
    """
    path = Path(path)
    with _report_refusal(path):
        target = _resolve(path)
        check_writable(target)
        temporary = target.with_name(f".nstk-{secrets.token_hex(8)}{target.suffix}")
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


def atomic_write_folder(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Write a folder completely or not at all; an older one stays until the new one is complete.

    Args:
        path: Where to write the folder; `check_folder_writable` has accepted it.
        write: Writes the folder to the path that it receives: a temporary name beside it.

    Returns:
        ``path``.

    Raises:
        OutputError: If the disk refuses. Other errors of ``write`` pass through. In every case
            nothing new is left behind.
    """
    path = Path(path)
    target = _resolve(path)
    temporary, former = (target.with_name(f".nstk-{secrets.token_hex(8)}") for _ in range(2))
    try:
        with _report_refusal(path):
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
def _report_refusal(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}; choose another path or free some "
            "disk space."
        ) from error


def check_regular(path: str | Path, max_bytes: float = math.inf) -> None:
    """Refuse anything but a regular file before it is opened: pipes and devices would block.

    Args:
        path: A file, or a link to one.
        max_bytes: Largest size of the file.

    Raises:
        OSError: If the path is missing, is not a regular file or is larger; see ``strerror``.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(status.st_mode), "a special file")
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
    if status.st_size > max_bytes:
        reason = f"it has {status.st_size} bytes; at most {max_bytes:.0f} are read"
        raise OSError(errno.EFBIG, reason, str(path))


def digest_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resolve(path: Path) -> Path:
    """The target of a link, even a missing one; a circular link counts as a file."""
    return Path(os.path.realpath(path))


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders atomically, if the system can; return whether it did.

    A process may be killed between two renames.
    """
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
