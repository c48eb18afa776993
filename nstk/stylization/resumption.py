"""A descent in a file and back: what it depends on, where it stands, and how to go on from there.

Nothing random is left to remember: the seed, which is a setting, makes the first image and
nothing else. What was decided by looking at the machine (engine, precision) or by searching (the
strength) is remembered instead of decided anew, because another answer would paint other bytes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.backbones.variants import Convolution, Precision
from nstk.progress import Progress, Reporter
from nstk.settings import StylizeSettings, check_range
from nstk.storage.array_files import digest_arrays
from nstk.storage.checkpoints import State, reraise_as_checkpoint_error
from nstk.storage.files import digest_file
from nstk.storage.run_identity import RunIdentity, list_versions
from nstk.stylization.initialization import INITS
from nstk.stylization.optimization import Optimization, OptimizationState, Step
from nstk.stylization.task import StyleTransferTask
from nstk.stylization.tiled.planning import Tiling

FREE = ("max_memory",)
"""Settings that may change from one run to the next: they decide nothing that is not remembered."""


@dataclass(frozen=True)
class Decisions:
    """What was found out before the first step.

    Attributes:
        engine: How the image is looked at.
        precision: What convolutions run in.
        convolution: How they are computed.
        largest_whole: Images of more pixels are looked at in windows; None is all at once.
        strength: What is painted at.
    """

    tiling: Tiling
    precision: Precision
    convolution: Convolution
    largest_whole: int | None
    strength: float


def describe_run(task: StyleTransferTask) -> RunIdentity:
    """Say what a run depends on.

    Args:
        painting: In float32, as it was read.
    """
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
    for number, mask in enumerate(inputs.masks, 1):
        digests[f"content mask {number}"] = digest_arrays({"mask": mask})
    if inputs.keep is not None:
        digests["keep mask"] = digest_arrays({"mask": inputs.keep})
    digests |= digest_init(settings)
    return RunIdentity("stylize", {**option_values(settings), **list_versions()}, digests)


def option_values(settings: StylizeSettings) -> dict[str, Any]:
    """The options that the bytes of a painting depend on, by name."""
    return {
        name: value for name, value in asdict(settings).items() if name not in FREE
    }


def digest_init(settings: StylizeSettings) -> dict[str, str]:
    """The digest of the first image, where it is one of the user's."""
    if settings.init in INITS or not Path(settings.init).is_file():
        return {}
    return {"first image": digest_file(settings.init)}


def capture(optimization: Optimization, decisions: Decisions) -> State:
    """Put down where a descent stands."""
    point, history = optimization.point, optimization.history[: optimization.steps]
    names = list(history[0].terms) if history else []
    leaves = tf.nest.flatten(point.state)
    arrays = {
        "x": point.x.numpy(),
        "good": point.good.numpy(),
        "loss": np.array([step.loss for step in history], np.float64),
        "terms": np.array([[step.terms[name] for name in names] for step in history], np.float64),
        **{f"state/{number}": leaf.numpy() for number, leaf in enumerate(leaves)},
    }
    facts = {
        "decisions": asdict(decisions),
        "taken": list(point.taken),
        "setback": point.divergence_note,
        "terms": names,
    }
    return State(facts, arrays)


def recall_decisions(state: State) -> Decisions:
    """Read what was found out before the first step.

    Raises:
        CheckpointError: If it is not there.
    """
    with reraise_as_checkpoint_error():
        decisions = Decisions(**state.facts["decisions"])
        check_range("strength", decisions.strength, 0, 1)
        return decisions


def restore_optimization(task: StyleTransferTask, state: State) -> Optimization:
    """Stand where a descent stood.

    Args:
        painting: The same as then.
        state: What `capture` put down.

    Raises:
        CheckpointError: If it is of another shape than a descent of this painting.
    """
    optimization = task.begin()
    with reraise_as_checkpoint_error():
        facts, arrays = state.facts, state.arrays
        taken = tuple(int(steps) for steps in facts["taken"])
        if min(taken) < 0 or sum(taken) != len(arrays["loss"]):
            raise ValueError("its steps do not add up")
        scale = task.plan[len(taken) - 1]
        x = _tensor(arrays, "x", tf.TensorSpec((scale.height, scale.width, 3), tf.float32))
        good = _tensor(arrays, "good", tf.TensorSpec(x.shape, tf.float32))
        template = optimization.optimizer.init(x)
        leaves = [
            _tensor(arrays, f"state/{number}", leaf)
            for number, leaf in enumerate(tf.nest.flatten(template))
        ]
        nest = tf.nest.pack_sequence_as(template, leaves)
        optimization.point = OptimizationState(x, nest, good, taken, facts["setback"])
        optimization.history = [
            Step(float(loss), dict(zip(facts["terms"], map(float, terms), strict=True)))
            for loss, terms in zip(arrays["loss"], arrays["terms"], strict=True)
        ]
    return optimization


def recount(task: StyleTransferTask, optimization: Optimization, on_progress: Reporter) -> None:
    """Report the steps that were taken before, so that whoever listens knows all of them.

    Args:
        painting: What is painted.
        descent: Where it stands.
        on_progress: Told of every step, without a preview.
    """
    steps = iter(optimization.history[: optimization.steps])
    for scale, taken in zip(task.plan, optimization.point.taken, strict=False):
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


def _tensor(arrays: Mapping[str, Any], name: str, like: Any) -> Any:
    array = arrays[name]
    if array.shape != tuple(like.shape) or array.dtype != like.dtype.as_numpy_dtype:
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
    return tf.constant(array)
