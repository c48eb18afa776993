"""Checkpoints: the state of a long job in a folder, from which it can be resumed.

A checkpoint is one file of `nstk.storage.array_files`, written atomically. It holds the identity of
the run (settings, and digests of all inputs), its state, and a digest of everything. The last two
are kept: if the newest is damaged, the one before it is whole. One process uses a folder at a time.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from nstk.errors import CheckpointError, OutputError
from nstk.settings import CheckpointSettings
from nstk.storage.array_files import digest_arrays, read_arrays, write_arrays
from nstk.storage.files import atomic_write, make_folder
from nstk.storage.locks import FolderLock
from nstk.storage.run_identity import RunIdentity
from nstk.types import Array, Json

EXTENSION = ".checkpoint"
TITLE = "checkpoint.json"
FORMAT = 1
MAX_CHECKPOINTS = 2
MAX_LISTED_CHANGES = 8

_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a damaged or forged state may raise."""

_log = logging.getLogger("nstk")


@dataclass(frozen=True, eq=False)
class State:
    """State of a job.

    Attributes:
        facts: Plain JSON.
        arrays: By name.
    """

    facts: Mapping[str, Json]
    arrays: Mapping[str, Array]


class CheckpointCallback(Protocol):
    """Callback that saves the state of a job, as `CheckpointFolder.save` does."""

    def __call__(self, step: int, make_state: Callable[[], State], *, now: bool = False) -> None:
        """Save the state if a checkpoint is due, or in any case ``now``."""


class Schedule:
    """When the next checkpoint is due.

    Args:
        settings: The interval, in steps or in seconds.
    """

    def __init__(self, settings: CheckpointSettings) -> None:
        self._settings = settings
        self.mark(0)

    def mark(self, step: int) -> None:
        """Note that the state of this step is saved."""
        self._last = step, time.monotonic()

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is due after this step; seconds are monotonic."""
        last_step, last_time = self._last
        seconds = self._settings.seconds
        if seconds is not None:
            return time.monotonic() - last_time >= seconds
        return step - last_step >= self._settings.steps


class CheckpointFolder:
    """The checkpoints of one run; does nothing if the settings name no folder.

    A full disk or a vanished folder does not end the job: the first of several failures in a row
    is logged, and the next checkpoint is tried as usual.

    Args:
        settings: Folder, interval, and whether to resume from its checkpoints.

    Raises:
        CheckpointError: If another run uses the folder, or it holds checkpoints of an earlier run
            and ``resume`` is not set.
        OutputError: If the folder cannot be created or written.
    """

    def __init__(self, settings: CheckpointSettings) -> None:
        self._identity: RunIdentity | None = None
        self._schedule = Schedule(settings)
        self._failing = False
        self._lock: FolderLock | None = None
        self._folder = None if settings.checkpoint is None else Path(settings.checkpoint)
        if self._folder is None:
            return
        make_folder(self._folder)
        self._lock = FolderLock(self._folder)
        if not settings.resume and self._list():
            self._lock.release()
            raise existing_checkpoints_error(self._folder)
        for leftover in self._folder.glob(f".nstk-*{EXTENSION}"):  # of a run that was killed
            with suppress(OSError):
                leftover.unlink()

    def __enter__(self) -> "CheckpointFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._lock:
            self._lock.release()

    @property
    def is_enabled(self) -> bool:
        """Whether there is a folder."""
        return self._folder is not None

    def file_path(self, name: str) -> Path | None:
        """Path for another file of the run in the folder; None without a folder."""
        return None if self._folder is None else self._folder / name

    def restore(self, identity: RunIdentity) -> State | None:
        """Read the newest undamaged checkpoint; None if there is none.

        Args:
            identity: Identity of this run; it is written into the checkpoints from now on.

        Raises:
            CheckpointError: If the checkpoint belongs to another run; lists the differences.
        """
        self._identity = identity
        for path in reversed(self._list()):
            try:
                facts, arrays = read_arrays(path, TITLE, limit=path.stat().st_size)
                if facts.pop("digest") != _digest(facts, arrays):
                    raise ValueError("its digest does not match")
                changes = _list_changes(identity, facts)
                step, state = int(facts["step"]), State(facts["state"], arrays)
            except OSError as error:
                _log.warning("Skipped %s, which cannot be read (%s).", path, error.strerror)
                continue
            except _DAMAGE as error:
                _log.warning("Skipped %s, which is damaged (%s).", path, error)
                with suppress(OSError):
                    path.unlink()
                continue
            if changes:
                listed = "; ".join(changes[:MAX_LISTED_CHANGES])
                rest = len(changes) - MAX_LISTED_CHANGES
                more = f"; and {rest} more" if rest > 0 else ""
                raise CheckpointError(
                    f"{path} belongs to another run: {listed}{more}; use the inputs and settings "
                    "of that run, or another `checkpoint` folder."
                )
            self._schedule.mark(step)
            return state
        return None

    def save(self, step: int, make_state: Callable[[], State], *, now: bool = False) -> None:
        """Write a checkpoint if one is due.

        Args:
            step: Number of completed steps, as the job counts them.
            make_state: Returns the state; called only if a checkpoint is written.
            now: Write one in any case.
        """
        if self._folder is None or self._identity is None:
            return
        if not (now or self._schedule.is_due(step)):
            return
        self._schedule.mark(step)
        try:
            self._write(self._folder, self._identity, step, make_state())
            self._failing = False
        except OutputError as error:
            level = logging.DEBUG if self._failing else logging.WARNING
            _log.log(level, "No checkpoint at step %d: %s", step, error)
            self._failing = True

    def _write(self, folder: Path, identity: RunIdentity, step: int, state: State) -> None:
        facts = {"format": FORMAT, "step": step, "run": asdict(identity), "state": state.facts}
        facts = json.loads(json.dumps(facts))
        facts["digest"] = _digest(facts, state.arrays)
        path = folder / f"step-{step:08d}{EXTENSION}"
        atomic_write(path, lambda target: write_arrays(target, TITLE, facts, state.arrays))
        for former in self._list()[:-MAX_CHECKPOINTS]:
            with suppress(OSError):
                former.unlink()

    def _list(self) -> list[Path]:
        """All checkpoints, the newest last."""
        if self._folder is None:
            return []
        with suppress(OSError):
            return sorted(self._folder.glob(f"step-*{EXTENSION}"))
        return []


@contextmanager
def reraise_as_checkpoint_error() -> Iterator[None]:
    """Reraise what a forged state (undamaged, of this run) causes as one clear line.

    Raises:
        CheckpointError: If the block raises an error that inconsistent values cause.
    """
    try:
        yield
    except _DAMAGE as error:
        raise CheckpointError(
            f"The checkpoint was not written by this version of nstk for this run ({error}); "
            "give another `checkpoint` folder."
        ) from error


def existing_checkpoints_error(folder: Path) -> CheckpointError:
    """Error for a new run in a folder that holds the state of an earlier one."""
    return CheckpointError(
        f"{folder} holds the checkpoints of an earlier run; add `resume=True` to continue that "
        "run, or give another folder."
    )


def _list_changes(identity: RunIdentity, facts: Mapping[str, Json]) -> list[str]:
    if facts["format"] != FORMAT:
        return ["it was written by another version of nstk"]
    return identity.list_changes(facts["run"])


def _digest(facts: Mapping[str, Json], arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(digest_arrays(arrays).encode())
    return digest.hexdigest()
