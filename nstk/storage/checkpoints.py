"""Checkpoints: the state of a long job in a folder, from which it can be resumed.

A job is `Resumable` if it can capture and restore its state; `CheckpointFolder` does the rest for
all of them. A checkpoint is one file of `nstk.storage.array_files`, written atomically. It holds
the identity of the run (settings, and digests of all inputs), its state, and a digest of
everything. The last two are kept: if the newest is damaged, the one before it is whole. One process
uses a folder at a time.
"""

import hashlib
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Protocol, Self

from filelock import FileLock

from nstk.errors import CheckpointError, OutputError, SettingsError
from nstk.settings import CheckpointSettings
from nstk.storage.array_files import digest_arrays, read_arrays, write_arrays
from nstk.storage.files import atomic_write, make_folder
from nstk.storage.locks import lock_folder
from nstk.types import Array, Json

EXTENSION = ".checkpoint"
TITLE = "checkpoint.json"
FORMAT = 1
MAX_CHECKPOINTS = 2
MAX_LISTED_CHANGES = 8

_PACKAGES = ("nstk", "tensorflow", "keras", "numpy", "pillow")
_SIGNALS = signal.SIGINT, signal.SIGTERM
_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a damaged or forged state may raise."""

_log = logging.getLogger("nstk")


@dataclass(frozen=True)
class RunIdentity:
    """Everything that the result of a run depends on.

    The job is the name of its command, settings are plain JSON by parameter, and inputs have a
    digest by their name in messages.
    """

    job: str
    settings: Mapping[str, Json]
    inputs: Mapping[str, str]

    def list_changes(self, other: Mapping[str, Json]) -> list[str]:
        """The differences from another identity in plain JSON, as phrases for an error message."""
        if other["job"] != self.job:
            return [f"it is a run of nstk {other['job']}"]
        mine = json.loads(json.dumps(asdict(self)))
        changes = [
            f"`{name}` is {mine['settings'].get(name)!r} and was {other['settings'].get(name)!r}"
            for name in dict.fromkeys([*mine["settings"], *other["settings"]])
            if mine["settings"].get(name) != other["settings"].get(name)
        ]
        for name in dict.fromkeys([*mine["inputs"], *other["inputs"]]):
            now, before = mine["inputs"].get(name), other["inputs"].get(name)
            if now != before:
                change = "is new" if before is None else "is missing" if now is None else "changed"
                changes.append(f"the {name} {change}")
        return changes


@dataclass(frozen=True, eq=False)
class State:
    """State of a job: facts in plain JSON, and arrays by name."""

    facts: Mapping[str, Json]
    arrays: Mapping[str, Array]


class Resumable(Protocol):
    """A job whose state can be saved and restored."""

    @property
    def completed(self) -> int:
        """Steps completed so far."""

    def capture(self) -> State:
        """Return everything that the rest of the job depends on."""

    def restore(self, state: State) -> None:
        """Continue from a state; if it does not fit the job, any error of values may be raised."""


class CheckpointFolder:
    """The checkpoints of one run; does nothing if the settings name no folder.

    A full disk or a vanished folder does not end the job: the first of several failures in a row
    is logged, and the next checkpoint is tried as usual. ``also`` names another file that an
    earlier run of the job leaves in the folder.
    """

    def __init__(self, settings: CheckpointSettings, *, also: str = "") -> None:
        self._settings = settings
        self._identity: RunIdentity | None = None
        self._mark(0)
        self._failing = False
        self._lock: FileLock | None = None
        self._folder = None if settings.checkpoint is None else Path(settings.checkpoint)
        if self._folder is None:
            if settings.resume:
                raise SettingsError(
                    "`resume` needs a `checkpoint` folder to resume from; give one."
                )
            return
        make_folder(self._folder)
        self._lock = lock_folder(self._folder)
        if not settings.resume and (self._list() or (self._folder / also).is_file()):
            self._lock.release()
            raise CheckpointError(
                f"{self._folder} holds the checkpoints of an earlier run; add `resume=True` to "
                "continue that run, or give another folder."
            )
        for leftover in self._folder.glob(f".nstk-*{EXTENSION}"):  # of a run that was killed
            with suppress(OSError):
                leftover.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.release()

    @property
    def is_enabled(self) -> bool:
        return self._folder is not None

    def file_path(self, name: str) -> Path | None:
        """Path for another file of the run in the folder; None without a folder."""
        return None if self._folder is None else self._folder / name

    def find(self, identity: RunIdentity) -> State | None:
        """The newest undamaged state, if any; CheckpointError if it belongs to another run."""
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
            self._mark(step)
            return state
        return None

    @contextmanager
    def run(self, job: Resumable, found: State | None = None) -> Iterator[Callable[[], None]]:
        """Restore a job, which the block runs, and save it at Ctrl-C and at the end.

        The block calls the function that it gets after every step, which saves the job when that
        is due.
        """
        if found is not None:
            with reraise_as_checkpoint_error():
                job.restore(found)
        try:
            yield partial(self.save, job)
        except KeyboardInterrupt:
            self.save(job, now=True)
            raise
        self.save(job, now=True)

    def save(self, job: Resumable, *, now: bool = False) -> None:
        """Write a checkpoint if one is due, or in any case ``now``."""
        step = job.completed
        if self._folder is None or self._identity is None or not (now or self._is_due(step)):
            return
        self._mark(step)
        with self.log_failure(f"No checkpoint at step {step}"):
            self._write(self._folder, self._identity, step, job.capture())

    @contextmanager
    def log_failure(self, what: str) -> Iterator[None]:
        """Log that something could not be written, unless the last attempt failed, too."""
        try:
            yield
            self._failing = False
        except OutputError as error:
            _log.log(logging.DEBUG if self._failing else logging.WARNING, "%s: %s", what, error)
            self._failing = True

    def uninterrupted(self) -> AbstractContextManager[None]:
        """A context for steps during which the state is inconsistent: signals wait for its end."""
        return postpone_interruptions() if self.is_enabled else nullcontext()

    def _mark(self, step: int) -> None:
        self._last = step, time.monotonic()

    def _is_due(self, step: int) -> bool:
        last_step, last_time = self._last
        seconds = self._settings.seconds
        if seconds is not None:
            return time.monotonic() - last_time >= seconds
        return step - last_step >= self._settings.steps

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
    """Reraise what a forged state (undamaged, of this run) causes as one clear line."""
    try:
        yield
    except _DAMAGE as error:
        raise CheckpointError(
            f"The checkpoint was not written by this version of nstk for this run ({error}); "
            "give another `checkpoint` folder."
        ) from error


@contextmanager
def postpone_interruptions() -> Iterator[None]:
    """Delay SIGINT and SIGTERM, which reach only the main thread, until the block ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []

    def postpone(number: int, frame: FrameType | None) -> None:
        pending.append(number)

    handlers = {number: signal.signal(number, postpone) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


def list_versions() -> dict[str, str]:
    """The installed version of each package that affects results."""
    installed = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


def _list_changes(identity: RunIdentity, facts: Mapping[str, Json]) -> list[str]:
    if facts["format"] != FORMAT:
        return ["it was written by another version of nstk"]
    return identity.list_changes(facts["run"])


def _digest(facts: Mapping[str, Json], arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(digest_arrays(arrays).encode())
    return digest.hexdigest()
