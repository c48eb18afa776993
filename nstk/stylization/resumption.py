"""Checkpoints of a run: its identity, its state, and how to resume it.

No random state has to be saved: the seed, which is a setting, affects the initial image alone.
The plan (tiling, arithmetic, strength) is saved with the state instead of being made again, because
another plan would produce other bytes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from nstk.progress import Progress, Reporter
from nstk.settings import StylizeSettings
from nstk.storage.array_files import digest_arrays
from nstk.storage.checkpoints import (
    RunIdentity,
    State,
    list_versions,
    reraise_as_checkpoint_error,
)
from nstk.storage.files import digest_file
from nstk.stylization.optimization import INITS, Optimization, OptimizationState, Step
from nstk.stylization.task import StyleTransferTask
from nstk.stylization.tiled.planning import Plan
from nstk.types import Array, Json, Tensor

CHANGEABLE = ("max_memory",)
"""Settings that may differ when a run is resumed: they affect nothing but the plan."""


def identify_run(task: StyleTransferTask) -> RunIdentity:
    """Everything the result of a run depends on; the task is in float32, as it was read."""
    inputs, settings = task.inputs, task.settings
    content = {"pixels": inputs.content.pixels}
    if inputs.content.alpha is not None:
        content["alpha"] = inputs.content.alpha
    digests = {
        "content": digest_arrays(content),
        "network": task.network.digest,
    }
    for number, style in enumerate(inputs.styles, 1):
        digests[f"style {number}"] = style.digest
    for number, mask in enumerate(inputs.content_masks, 1):
        digests[f"content mask {number}"] = digest_arrays({"mask": mask})
    if inputs.keep_mask is not None:
        digests["keep mask"] = digest_arrays({"mask": inputs.keep_mask})
    digests |= digest_init(settings)
    return RunIdentity("stylize", {**setting_values(settings), **list_versions()}, digests)


def setting_values(settings: StylizeSettings) -> dict[str, Json]:
    """The settings that affect the bytes of a result."""
    return {name: value for name, value in asdict(settings).items() if name not in CHANGEABLE}


def digest_init(settings: StylizeSettings) -> dict[str, str]:
    """The digest of the initial image if it is a file."""
    if settings.init in INITS or not Path(settings.init).is_file():
        return {}
    return {"initial image": digest_file(settings.init)}


def read_plan(found: State | None) -> Plan | None:
    """The plan of a checkpoint."""
    if found is None:
        return None
    with reraise_as_checkpoint_error():
        plan = Plan.from_dict(found.facts["plan"])
        if plan.strength is None:
            raise ValueError("its plan has no strength")
        return plan


@dataclass(eq=False)
class ResumableRun:
    """The optimization of a task, which has not begun yet, and its plan."""

    task: StyleTransferTask
    plan: Plan
    optimization: Optimization = field(init=False)

    def __post_init__(self) -> None:
        self.optimization = self.task.start()

    @property
    def completed(self) -> int:
        return self.optimization.steps

    def capture(self) -> State:
        state, history = self.optimization.state, self.optimization.history[: self.completed]
        names = list(history[0].terms) if history else []
        terms = [[step.terms[name] for name in names] for step in history]
        leaves = tf.nest.flatten(state.optimizer_state)
        arrays = {
            "x": state.x.numpy(),
            "last_finite": state.last_finite.numpy(),
            "loss": np.array([step.loss for step in history], np.float64),
            "terms": np.array(terms, np.float64),
            **{f"optimizer/{number}": leaf.numpy() for number, leaf in enumerate(leaves)},
        }
        facts = {
            "plan": self.plan.to_dict(),
            "steps": list(state.steps),
            "divergence_note": state.divergence_note,
            "terms": names,
        }
        return State(facts, arrays)

    def restore(self, state: State) -> None:
        facts, arrays = state.facts, state.arrays
        steps = tuple(int(taken) for taken in facts["steps"])
        if min(steps) < 0 or sum(steps) != len(arrays["loss"]):
            raise ValueError("its steps do not add up")
        scale = self.task.scales[len(steps) - 1]
        x = _tensor(arrays, "x", tf.TensorSpec((scale.height, scale.width, 3), tf.float32))
        last_finite = _tensor(arrays, "last_finite", tf.TensorSpec(x.shape, tf.float32))
        template = self.optimization.optimizer.init(x)
        leaves = [
            _tensor(arrays, f"optimizer/{number}", leaf)
            for number, leaf in enumerate(tf.nest.flatten(template))
        ]
        nest = tf.nest.pack_sequence_as(template, leaves)
        note = facts["divergence_note"]
        self.optimization.history = [
            Step(float(loss), dict(zip(facts["terms"], map(float, terms), strict=True)))
            for loss, terms in zip(arrays["loss"], arrays["terms"], strict=True)
        ]
        self.optimization.state = OptimizationState(x, nest, last_finite, steps, note)

    def replay_progress(self, on_progress: Reporter) -> None:
        """Report the restored steps again, without previews: reporters know all steps."""
        steps = iter(self.optimization.history[: self.completed])
        for scale, taken in zip(self.task.scales, self.optimization.state.steps, strict=False):
            for number, step in zip(range(1, taken + 1), steps, strict=False):
                on_progress(
                    Progress(
                        stage=scale.name,
                        step=number,
                        total=scale.steps,
                        loss=step.loss,
                        terms=step.terms,
                    )
                )


def _tensor(arrays: Mapping[str, Array], name: str, like: Tensor) -> Tensor:
    array = arrays[name]
    if array.shape != tuple(like.shape) or array.dtype != like.dtype.as_numpy_dtype:
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
    return tf.constant(array)
