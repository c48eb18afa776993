"""A second stage in a file and back: what it depends on, where it stands, how to go on from there.

What can be made again as it was is not kept: the images at the border, the head that is started
from, the order of the images. What was decided by the clock or by looking at the machine (the
plan) is.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.finetuning.unfreezing.interruptions import postpone_interruptions
from nstk.finetuning.unfreezing.planning import Deadline, Plan
from nstk.finetuning.unfreezing.training import History, Training, TrainingState
from nstk.heads.splits import Splits
from nstk.progress import Reporter
from nstk.settings import FinetuneSettings, format_option
from nstk.storage.checkpoints import CheckpointFolder, Recipe, State, reraise_as_checkpoint_error
from nstk.storage.versions import list_versions


def describe_run(
    settings: FinetuneSettings, backbone: Backbone, size: int, splits: Splits, plan: Plan | None
) -> Recipe:
    """Say what a run depends on.

    Args:
        settings: Those of the whole run.
        backbone: The frozen network.
        size: Side of its squares in pixels.
        splits: The images.
        plan: What is to be done, where an earlier run is repeated.
    """
    options = {format_option(name): value for name, value in asdict(settings).items()}
    options |= {"--size": size, "plan": plan and asdict(plan)}
    images = {
        f"image {file.path}": f"{file.sha256} {file.split} {file.label}" for file in splits.files
    }
    return Recipe(
        "finetune", {**options, **list_versions()}, {"network": backbone.digest, **images}
    )


def capture(training: Training, plan: Plan, standing: TrainingState) -> State:
    """Put down where a descent stands."""
    splits: dict[str, Sequence[Any]] = {
        "network": training.network.read(),
        "moments": training.training_step.read(),
        "random": training.augmentation.read(),
        "kept": standing.kept,
        "losses": [np.array(standing.losses, np.float64)],
    }
    arrays = {
        f"{name}/{number}": array
        for name, some in splits.items()
        for number, array in enumerate(some)
    }
    done = replace(plan, steps=standing.steps, taken=standing.last)
    return State({"plan": asdict(done), "taken": standing.taken, "best": standing.best}, arrays)


def recall_plan(state: State) -> Plan:
    """Read what was decided before the first step.

    Raises:
        CheckpointError: If it is not there.
    """
    with reraise_as_checkpoint_error():
        return Plan(**state.facts["plan"])


def recall(training: Training, state: State) -> TrainingState:
    """Let a training stand where it stood.

    Args:
        training: Made as it was then.
        state: What `capture` put down.

    Raises:
        CheckpointError: If it is none of such a training.
    """
    with reraise_as_checkpoint_error():
        facts, plan = state.facts, recall_plan(state)
        network = training.network.read()
        kept = _take(state, "kept", network)
        training.network.write(_take(state, "network", network))
        training.training_step.write(_take(state, "moments", training.training_step.read()))
        training.augmentation.write(_take(state, "random", training.augmentation.read()))
        losses = [float(loss) for loss in state.arrays["losses/0"]]
        taken, best = int(facts["taken"]), int(facts["best"])
        if not (0 <= taken <= plan.taken <= plan.steps and 0 <= best < len(losses)):
            raise ValueError("its steps do not add up")
        return TrainingState(plan.steps, plan.taken, taken, losses, best, kept)


def descend(
    training: Training,
    plan: Plan,
    clock: Deadline,
    checkpoints: CheckpointFolder,
    state: State | None,
    on_progress: Reporter,
) -> History:
    """Go down from the beginning or from where it stood, and keep the state now and then.

    Args:
        training: What goes down.
        plan: What it does; where its steps are 0, the clock says how many there are.
        clock: Says how much time there is.
        checkpoints: Where the state is kept: when it is time, at Ctrl-C and at the end.
        state: Where it stood.
        on_progress: Told after each step.

    Raises:
        CheckpointError: If the state is none of such a training.
    """
    planned = (plan.steps, plan.taken) if plan.steps else None
    standing = recall(training, state) if state else training.begin(clock, planned)

    def keep(standing: TrainingState, *, now: bool = False) -> None:
        checkpoints.keep(standing.taken, partial(capture, training, plan, standing), now=now)

    whole = postpone_interruptions if checkpoints.is_used else nullcontext
    try:
        course = training.run(standing, clock, on_progress, keep=keep, whole=whole)
    except KeyboardInterrupt:
        keep(standing, now=True)
        raise
    keep(standing, now=True)
    return course


def _take(state: State, name: str, like: Sequence[Any]) -> list[Any]:
    """Arrays of one part, in the shapes that they must have."""
    taken = [state.arrays[f"{name}/{number}"] for number in range(len(like))]
    for number, (array, other) in enumerate(zip(taken, like, strict=True)):
        if array.shape != other.shape or array.dtype != other.dtype:
            raise ValueError(f"{name}/{number} is {array.dtype} of shape {array.shape}")
    return taken
