"""Files written whole or not at all, and their digests."""

import ctypes
import errno
import hashlib
import math
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nstk.errors import OutputError

_RENAME_EXCHANGE = 2

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def find_cache_folder() -> Path:
    """The place for nstk's cache in the user's cache folder, as each system has it.

    Raises:
        OutputError: If the user has no home folder, as in some containers.
    """
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise OutputError(
            "There is no home folder to keep a cache in; set HOME or XDG_CACHE_HOME to a folder "
            "that can be written."
        ) from error
    return Path(base) / "nstk"


def check_writable(path: str | Path) -> None:
    """Refuse, before any long work, a place where no file can be written.

    Args:
        path: Where a file is to be written later.

    Raises:
        OutputError: If ``path`` is a folder or a device, or if its folder is missing, is not a
            folder or does not let us write.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file to write.")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file; give the name of a file to write.")
    _check_parent(path)


def check_folder_writable(path: str | Path, *, member: str) -> None:
    """Refuse, before any long work, a place where no folder can be written.

    Args:
        path: Where a folder is to be written later.
        member: A file that tells an older folder of the same kind, which may be replaced.

    Raises:
        OutputError: If ``path`` is a file or a folder with other things, or if its own folder
            is missing, is not a folder or does not let us write.
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
    folder = _follow(path).parent
    if not folder.exists():
        raise OutputError(f"Cannot write {path}: there is no folder {folder}; create it first.")
    if not folder.is_dir():
        raise OutputError(f"Cannot write {path}: {folder} is not a folder; choose another place.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"Cannot write {path}: the folder {folder} does not let you write; "
            "choose another place or change its permissions."
        )


def make_folder(path: str | Path) -> Path:
    """Make a folder in one that is there, unless it is there itself.

    Args:
        path: Where.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the folder {path}: {error.strerror or error}; choose another place or "
            "make room."
        ) from error
    return path


def atomic_write(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Write a file whole or not at all; until then an older file of that name stays as it is.

    Args:
        path: Where the file is to stand; a link is followed to the file it names.
        write: Writes the content to the path it is given: a temporary name in the same folder
            with the same ending.

    Returns:
        ``path``.

    Raises:
        OutputError: If the disk refuses. Whatever else ``write`` raises passes through; in
            every case nothing new is left behind.
    """
    path = Path(path)
    try:
        target = _follow(path)
        check_writable(target)
        temporary = target.with_name(f".nstk-{secrets.token_hex(8)}{target.suffix}")
        try:
            write(temporary)
            _synchronize(temporary)
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"Cannot write {path}: {reason}; choose another place or make room."
        ) from error
    _synchronize_folder(target.parent)
    return path


def atomic_write_folder(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Write a folder whole or not at all; until then an older one of that name stays as it is.

    Args:
        path: Where the folder is to stand; `check_folder_writable` has been asked.
        write: Writes the folder to the path it is given: a new name beside it.

    Returns:
        ``path``.

    Raises:
        OutputError: If the disk refuses. Whatever else ``write`` raises passes through; in
            every case nothing new is left behind.
    """
    path = Path(path)
    target = _follow(path)
    temporary, former = (target.with_name(f".nstk-{secrets.token_hex(8)}") for _ in range(2))
    try:
        write(temporary)
        for file in temporary.rglob("*"):
            if file.is_file():
                _synchronize(file)
        if not (target.exists() and _exchange(temporary, target)):
            if target.exists():
                target.rename(former)
            temporary.rename(target)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"Cannot write {path}: {reason}; choose another place or make room."
        ) from error
    finally:
        if former.exists() and not target.exists():
            former.rename(target)
        for leftover in (temporary, former):
            shutil.rmtree(leftover, ignore_errors=True)
    _synchronize_folder(target.parent)
    return path


def check_regular(path: str | Path, largest: float = math.inf) -> None:
    """Refuse, before it is opened, what is no file with an end: pipes and devices would block.

    Args:
        path: A file, or a link to one.
        largest: How many bytes it may have.

    Raises:
        OSError: If it is not there, is something else or is larger; its ``strerror`` says so.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
    if status.st_size > largest:
        told = f"it has {status.st_size} bytes, at most {largest:.0f} are read"
        raise OSError(errno.EFBIG, told, str(path))


def digest_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _follow(path: Path) -> Path:
    """Where a link leads, also one to nothing; a link in a circle is a file like any other."""
    return Path(os.path.realpath(path))


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders take each other's name at once, if the system can; say whether they did.

    Of two renames one after the other, a process may be killed between the two.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    names = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    return rename is not None and rename(-1, names[0], -1, names[1], _RENAME_EXCHANGE) == 0


def _synchronize(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _synchronize_folder(folder: Path) -> None:
    # The new name is durable only with its folder; some systems cannot synchronize one, and the
    # file itself stands safely by now.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
