"""Checkpoints of unfreezing: what a run depends on, its state, and how it is resumed.

Only what cannot be recomputed is saved. Activations, the initial head and the order of the images
are recomputed; the plan is saved, as it depends on the clock and on the machine.
"""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from types import FrameType

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.finetuning.unfreezing.planning import Deadline, Plan
from nstk.finetuning.unfreezing.training import History, Training, TrainingState
from nstk.heads.splits import Splits
from nstk.progress import Reporter
from nstk.settings import FinetuneSettings
from nstk.storage.checkpoints import CheckpointFolder, State, reraise_as_checkpoint_error
from nstk.storage.run_identity import RunIdentity, list_versions
from nstk.types import Array

_SIGNALS = signal.SIGINT, signal.SIGTERM


def describe_run(
    settings: FinetuneSettings, backbone: Backbone, size: int, splits: Splits, plan: Plan | None
) -> RunIdentity:
    """Everything a run depends on."""
    options = asdict(settings) | {"size": size, "plan": plan and asdict(plan)}
    images = {
        f"image {file.path}": f"{file.sha256} {file.split} {file.label}" for file in splits.files
    }
    inputs = {"network": backbone.digest, **images}
    return RunIdentity("finetune", {**options, **list_versions()}, inputs)


def train(
    training: Training,
    plan: Plan,
    deadline: Deadline,
    checkpoints: CheckpointFolder,
    saved: State | None,
    on_progress: Reporter,
) -> History:
    """Train from the start or from a checkpoint.

    Raises:
        CheckpointError: If the state does not belong to such a training.
    """
    planned = (plan.steps, plan.taken) if plan.steps else None
    state = restore_state(training, saved) if saved else training.start(deadline, planned)

    def on_step(state: TrainingState, *, now: bool = False) -> None:
        checkpoints.save(state.taken, partial(capture_state, training, plan, state), now=now)

    uninterrupted = postpone_interruptions if checkpoints.is_enabled else nullcontext
    try:
        history = training.run(
            state, deadline, on_progress, on_step=on_step, uninterrupted=uninterrupted
        )
    except KeyboardInterrupt:
        on_step(state, now=True)
        raise
    on_step(state, now=True)
    return history


def capture_state(training: Training, plan: Plan, state: TrainingState) -> State:
    """The state of a training as a checkpoint holds it."""
    lists: dict[str, Sequence[Array]] = {
        "network": training.step.network.get_weights(),
        "moments": training.step.get_state(),
        "random": training.augmentation.get_state(),
        "best": state.best_weights,
        "losses": [np.array(state.losses, np.float64)],
    }
    arrays = {f"{name}/{n}": array for name, some in lists.items() for n, array in enumerate(some)}
    plan = replace(plan, steps=state.steps, taken=state.last)
    return State({"plan": asdict(plan), "taken": state.taken, "best": state.best}, arrays)


def restore_plan(saved: State) -> Plan:
    """The plan in a checkpoint.

    Raises:
        CheckpointError: If there is none.
    """
    with reraise_as_checkpoint_error():
        return Plan(**saved.facts["plan"])


def restore_state(training: Training, saved: State) -> TrainingState:
    """Put a training into the state that `capture_state` returned.

    Raises:
        CheckpointError: If the state does not belong to such a training.
    """
    with reraise_as_checkpoint_error():
        facts, plan, step = saved.facts, restore_plan(saved), training.step
        weights = step.network.get_weights()
        best_weights = _arrays(saved, "best", weights)
        step.network.set_weights(_arrays(saved, "network", weights))
        step.set_state(_arrays(saved, "moments", step.get_state()))
        training.augmentation.set_state(_arrays(saved, "random", training.augmentation.get_state()))
        losses = [float(loss) for loss in saved.arrays["losses/0"]]
        taken, best = int(facts["taken"]), int(facts["best"])
        if not (0 <= taken <= plan.taken <= plan.steps and 0 <= best < len(losses)):
            raise ValueError("its steps are inconsistent")
        return TrainingState(plan.steps, plan.taken, taken, losses, best, best_weights)


def _arrays(saved: State, name: str, expected: Sequence[Array]) -> list[Array]:
    """A list of arrays, which must have the expected shapes and types."""
    arrays = [saved.arrays[f"{name}/{number}"] for number in range(len(expected))]
    for number, (array, other) in enumerate(zip(arrays, expected, strict=True)):
        if array.shape != other.shape or array.dtype != other.dtype:
            raise ValueError(f"{name}/{number} is {array.dtype} of shape {array.shape}")
    return arrays


@contextmanager
def postpone_interruptions() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the block ends.

    Signals reach only the main thread; in other threads the block just runs.
    """
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
