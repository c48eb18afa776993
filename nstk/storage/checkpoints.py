"""The state of a long job in a folder, so that the job can go on after whatever ended it.

A checkpoint is one file of `nstk.storage.array_files`, written whole or not at all: the recipe (what
the job depends on: settings, and digests of everything it looks at), where the job stands, and a
digest of all of it. The last two are kept: should the newest be damaged, the one before it is
whole. Only one process uses such a folder at a time.
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
from typing import Any, Protocol

from nstk.errors import CheckpointError, OutputError
from nstk.settings import CheckpointSettings
from nstk.storage.array_files import Array, digest_arrays, read_arrays, write_arrays
from nstk.storage.files import atomic_write, make_folder
from nstk.storage.locks import FolderLock

EXTENSION = ".checkpoint"
TITLE = "checkpoint.json"
FORMAT = 1
KEPT = 2
TOLD = 8

_log = logging.getLogger("nstk")


@dataclass(frozen=True)
class Recipe:
    """Everything that the result of a job depends on.

    Attributes:
        job: The command: ``stylize``.
        settings: The value of every option, plain JSON, by its name: ``--size``.
        inputs: A digest of everything that is looked at, by what messages call it.
    """

    job: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]

    def compare(self, former: Mapping[str, Any]) -> list[str]:
        """What is not as it was, in words.

        Args:
            former: The recipe of another run, as plain JSON.
        """
        if former["job"] != self.job:
            return [f"it is one of nstk {former['job']}"]
        mine = json.loads(json.dumps(asdict(self)))
        changes = [
            f"{name} is {mine['settings'].get(name)!r} and was {former['settings'].get(name)!r}"
            for name in dict.fromkeys([*mine["settings"], *former["settings"]])
            if mine["settings"].get(name) != former["settings"].get(name)
        ]
        for name in dict.fromkeys([*mine["inputs"], *former["inputs"]]):
            now, then = mine["inputs"].get(name), former["inputs"].get(name)
            if now != then:
                word = (
                    "was not there" if then is None else "is missing" if now is None else "changed"
                )
                changes.append(f"the {name} {word}")
        return changes


@dataclass(frozen=True, eq=False)
class State:
    """Where a job stands.

    Attributes:
        facts: Plain JSON.
        arrays: By name.
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, Array]


class CheckpointCallback(Protocol):
    """Whoever keeps the state of a job, as `CheckpointFolder.keep` does."""

    def __call__(self, step: int, look: Callable[[], State], *, now: bool = False) -> None:
        """Keep what ``look`` gives if it is time to, or in any case ``now``."""


class Schedule:
    """When it is time to keep something again.

    Args:
        settings: How often.
    """

    def __init__(self, settings: CheckpointSettings) -> None:
        self._settings = settings
        self.mark(0)

    def mark(self, step: int) -> None:
        """Say that something is kept as it was after a step."""
        self._last = step, time.monotonic()

    def is_due(self, step: int) -> bool:
        """Whether it is time after a step; seconds are those of a clock that nobody sets back."""
        before, moment = self._last
        every = self._settings
        if every.seconds is not None:
            return time.monotonic() - moment >= every.seconds
        return step - before >= every.steps


class CheckpointFolder:
    """The checkpoints of one run; without a folder in the settings nothing is kept or found.

    A disk that is full, or a folder that goes away, ends no job: the first failure in a row is
    logged, and the next checkpoint is tried as if nothing had happened.

    Args:
        settings: Where, how often, and whether to go on from what is there.

    Raises:
        SettingsError: If it is to be gone on from nothing.
        CheckpointError: If another run uses the folder, or it holds checkpoints of an earlier run
            that are not to be gone on from.
        OutputError: If the folder cannot be made or written.
    """

    def __init__(self, settings: CheckpointSettings) -> None:
        self._settings = settings
        self._recipe: Recipe | None = None
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
            raise CheckpointError(format_earlier(self._folder))
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
    def is_used(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def place(self, name: str) -> Path | None:
        """Where something else of the run may be kept; nowhere where nothing is kept."""
        return None if self._folder is None else self._folder / name

    def find(self, recipe: Recipe) -> State | None:
        """Give the newest state that is whole, None where there is none.

        Args:
            recipe: What this run depends on; checkpoints that are kept from now on have it.

        Raises:
            CheckpointError: If the state belongs to another run; it lists what differs.
        """
        self._recipe = recipe
        for path in reversed(self._list()):
            try:
                facts, arrays = read_arrays(path, TITLE, limit=path.stat().st_size)
                if facts.pop("digest") != _digest(facts, arrays):
                    raise ValueError("its digest is another")
                changes = self._compare(facts)
                step, state = int(facts["step"]), State(facts["state"], arrays)
            except OSError as error:
                _log.warning("%s cannot be read (%s); going on without it.", path, error.strerror)
                continue
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                _log.warning("%s is damaged (%s); going on without it.", path, error)
                with suppress(OSError):
                    path.unlink()
                continue
            if changes:
                told = "; ".join(changes[:TOLD])
                more = f"; and {len(changes) - TOLD} more" if len(changes) > TOLD else ""
                raise CheckpointError(
                    f"{path} belongs to another run: {told}{more}. Give what that run was "
                    "given, or another --checkpoint folder."
                )
            self._schedule.mark(step)
            return state
        return None

    def keep(self, step: int, look: Callable[[], State], *, now: bool = False) -> None:
        """Write a checkpoint if it is time for one.

        Args:
            step: How far the job has come, in its own steps.
            look: Gives the state; asked only if it is to be written.
            now: Write it in any case.
        """
        if self._folder is None or self._recipe is None:
            return
        if not (now or self._schedule.is_due(step)):
            return
        self._schedule.mark(step)
        try:
            self._write(self._folder, self._recipe, step, look())
            self._failing = False
        except OutputError as error:
            level = logging.DEBUG if self._failing else logging.WARNING
            _log.log(level, "No checkpoint at step %d: %s", step, error)
            self._failing = True

    def _write(self, folder: Path, recipe: Recipe, step: int, state: State) -> None:
        facts = {"format": FORMAT, "step": step, "recipe": asdict(recipe), "state": state.facts}
        facts = json.loads(json.dumps(facts))
        facts["digest"] = _digest(facts, state.arrays)
        path = folder / f"step-{step:08d}{EXTENSION}"
        atomic_write(path, lambda target: write_arrays(target, TITLE, facts, state.arrays))
        for former in self._list()[:-KEPT]:
            with suppress(OSError):
                former.unlink()

    def _compare(self, facts: Mapping[str, Any]) -> list[str]:
        if facts["format"] != FORMAT:
            return ["it was written by another version of nstk"]
        return self._recipe.compare(facts["recipe"]) if self._recipe else []

    def _list(self) -> list[Path]:
        """All checkpoints, the newest last."""
        if self._folder is None:
            return []
        with suppress(OSError):
            return sorted(self._folder.glob(f"step-*{EXTENSION}"))
        return []


@contextmanager
def reraise_as_checkpoint_error() -> Iterator[None]:
    """Say in one line that a checkpoint, whole and of this very run, makes no sense.

    Raises:
        CheckpointError: For whatever goes wrong where such a state is read.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint is none that nstk wrote for this run ({error}); give another "
            "--checkpoint folder."
        ) from error


def format_earlier(folder: Path) -> str:
    """Why a run that begins keeps nothing in a folder that has the state of another."""
    return (
        f"{folder} holds the checkpoints of an earlier run; add --resume to go on from them, or "
        "give another folder."
    )


def _digest(facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(digest_arrays(arrays).encode())
    return digest.hexdigest()
