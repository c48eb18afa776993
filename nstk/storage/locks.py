"""Files and folders that belong to one process at a time."""

import os
import sys
from pathlib import Path

from nstk.errors import CheckpointError, OutputError

if sys.platform == "win32":

    def try_lock(descriptor: int) -> None:
        """Let an open file belong to this process; on Windows there is no such lock."""
else:
    import fcntl

    def try_lock(descriptor: int) -> None:
        """Let an open file belong to this process until it is closed.

        Raises:
            BlockingIOError: If another process has it.
        """
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


NAME = "lock"


class FolderLock:
    """Keep other processes out of a folder until this one leaves it or dies.

    The operating system holds the lock and gives it back with the process, however that ends, so
    no lock is ever stale. The file that carries it stays in the folder and is empty.

    Args:
        folder: Which; it is there.

    Raises:
        CheckpointError: If another process has it.
        OutputError: If it cannot be locked.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        try:
            descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
            self._descriptor = descriptor
            try_lock(descriptor)
        except BlockingIOError as error:
            self.release()
            raise CheckpointError(
                f"Another run is using {folder}; wait for its end, or give another folder."
            ) from error
        except OSError as error:
            self.release()
            raise OutputError(
                f"Cannot lock {folder}: {error.strerror or error}; choose another folder."
            ) from error

    def release(self) -> None:
        """Let others in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
