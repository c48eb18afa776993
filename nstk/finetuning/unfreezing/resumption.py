"""What a run of unfreezing depends on, and its state, which a checkpoint holds.

Only what cannot be recomputed is saved. Activations, the initial head and the order of the images
are recomputed; the plan is saved, as it depends on the clock and on the machine.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.finetuning.unfreezing.planning import Plan
from nstk.finetuning.unfreezing.training import Training, TrainingState
from nstk.heads.splits import Splits
from nstk.settings import FinetuneSettings
from nstk.storage.checkpoints import (
    RunIdentity,
    State,
    list_versions,
    reraise_as_checkpoint_error,
)
from nstk.types import Array


def identify_run(
    settings: FinetuneSettings, backbone: Backbone, size: int, splits: Splits, plan: Plan | None
) -> RunIdentity:
    """Everything a run depends on."""
    options = asdict(settings) | {"size": size, "plan": plan and asdict(plan)}
    images = {
        f"image {file.path}": f"{file.sha256} {file.split} {file.label}" for file in splits.files
    }
    inputs = {"network": backbone.digest, **images}
    return RunIdentity("finetune", {**options, **list_versions()}, inputs)


def read_plan(found: State) -> Plan:
    """The plan of a checkpoint."""
    with reraise_as_checkpoint_error():
        return Plan(**found.facts["plan"])


@dataclass(eq=False)
class ResumableTraining:
    """A training and its state, with the plan that led to it."""

    training: Training
    plan: Plan
    state: TrainingState

    @property
    def completed(self) -> int:
        return self.state.taken

    def capture(self) -> State:
        training, state = self.training, self.state
        lists: dict[str, Sequence[Array]] = {
            "network": training.step.network.get_weights(),
            "moments": training.step.get_state(),
            "random": training.augmentation.get_state(),
            "best": state.best_weights,
            "losses": [np.array(state.losses, np.float64)],
        }
        arrays = {
            f"{name}/{n}": array for name, some in lists.items() for n, array in enumerate(some)
        }
        plan = replace(self.plan, steps=state.steps, taken=state.last)
        return State({"plan": asdict(plan), "taken": state.taken, "best": state.best}, arrays)

    def restore(self, state: State) -> None:
        facts, plan, training = state.facts, self.plan, self.training
        network, step, augmentation = training.step.network, training.step, training.augmentation
        weights = network.get_weights()
        best_weights = _arrays(state, "best", weights)
        network.set_weights(_arrays(state, "network", weights))
        step.set_state(_arrays(state, "moments", step.get_state()))
        augmentation.set_state(_arrays(state, "random", augmentation.get_state()))
        losses = [float(loss) for loss in state.arrays["losses/0"]]
        taken, best = int(facts["taken"]), int(facts["best"])
        if not (0 <= taken <= plan.taken <= plan.steps and 0 <= best < len(losses)):
            raise ValueError("its steps are inconsistent")
        self.state = TrainingState(plan.steps, plan.taken, taken, losses, best, best_weights)


def _arrays(state: State, name: str, expected: Sequence[Array]) -> list[Array]:
    """A list of arrays, which must have the expected shapes and types."""
    arrays = [state.arrays[f"{name}/{number}"] for number in range(len(expected))]
    for number, (array, other) in enumerate(zip(arrays, expected, strict=True)):
        if array.shape != other.shape or array.dtype != other.dtype:
            raise ValueError(f"{name}/{number} is {array.dtype} of shape {array.shape}")
    return arrays
