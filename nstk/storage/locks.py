"""Files and folders that one process uses at a time."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nstk.errors import CheckpointError, OutputError

NAME = "lock"


def try_lock(path: Path) -> FileLock:
    """Lock a file for this process, without waiting.

    The operating system releases the lock when the process ends in any way, so a lock is never
    stale. The file is empty and stays there.

    Args:
        path: The lock file; it is created if necessary, and its folder must exist.

    Raises:
        BlockingIOError: If another process holds the lock.
        OSError: If the file cannot be locked.
    """
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(f"{path} is locked by another process") from error
    return lock


class FileGuard:
    """Keeps other processes from writing a file until `release`.

    The lock is a hidden file beside it, which `release` removes.

    Args:
        path: The file; its folder must exist.

    Raises:
        BlockingIOError: If another process writes the file.
        OSError: If it cannot be locked.
    """

    def __init__(self, path: Path) -> None:
        path = path.resolve()
        self._lock = try_lock(path.with_name(f".{path.name}.lock"))

    def release(self) -> None:
        """Let other processes write the file."""
        with suppress(OSError):  # removed while it is held, so that nobody else loses a lock
            Path(self._lock.lock_file).unlink()
        self._lock.release()


class FolderLock:
    """Keeps other processes out of a folder until `release`.

    Args:
        folder: An existing folder.

    Raises:
        CheckpointError: If another process uses it.
        OutputError: If it cannot be locked.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._lock = try_lock(folder / NAME)
        except BlockingIOError as error:
            raise CheckpointError(
                f"Another run is using {folder}; wait for its end, or give another folder."
            ) from error
        except OSError as error:
            raise OutputError(
                f"Cannot lock {folder}: {error.strerror or error}; choose another folder."
            ) from error

    def release(self) -> None:
        """Let other processes use the folder."""
        self._lock.release()
