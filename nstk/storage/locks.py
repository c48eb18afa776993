"""Locks that keep other processes out of a file or a folder."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nstk.errors import CheckpointError, OutputError
from nstk.storage.files import derive_path


class FileGuard:
    """Keeps other processes from writing a file until `release`, by a hidden file beside it."""

    def __init__(self, path: Path) -> None:
        path = path.resolve()
        hidden = path.with_name(f".{path.name}")
        self._lock = try_lock(derive_path(hidden, f"{path.suffix}.lock"))

    def release(self) -> None:
        with suppress(OSError):  # removed while it is held, so that nobody else loses a lock
            Path(self._lock.lock_file).unlink()
        self._lock.release()


def lock_folder(folder: Path) -> FileLock:
    """Keep other processes out of an existing folder until the lock is released."""
    try:
        return try_lock(folder / "lock")
    except BlockingIOError as error:
        raise CheckpointError(
            f"Another run is using {folder}; wait for its end, or give another folder."
        ) from error
    except OSError as error:
        raise OutputError(
            f"Cannot lock {folder}: {error.strerror or error}; choose another folder."
        ) from error


def try_lock(path: Path) -> FileLock:
    """Lock a file for this process, without waiting; BlockingIOError if another one holds it.

    The operating system releases the lock when the process ends in any way, so a lock is never
    stale. The file is created if necessary, is empty and stays there.
    """
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(f"{path} is locked by another process") from error
    return lock
