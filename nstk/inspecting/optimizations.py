"""Descents from white noise towards what a network sees in an image, and nothing else."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.errors import DivergenceError
from nstk.images.image import Image
from nstk.optimizers import Evaluation, choose_optimizer
from nstk.progress import Progress, Reporter
from nstk.settings import InspectSettings

Compare = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""From the feature maps of an image, by layer, to the loss of each layer."""


@dataclass(frozen=True, eq=False)
class Descended:
    """Where a descent from noise ended.

    Attributes:
        image: The Image there.
        losses: The loss at every step.
    """

    image: Image
    losses: tuple[float, ...]


def descend(
    backbone: Backbone,
    layers: Sequence[str],
    shape: tuple[int, ...],
    compare: Compare,
    settings: InspectSettings,
    on_progress: Reporter,
) -> Descended:
    """Start from uniform white noise and descend on the mean of the losses of some layers.

    Args:
        backbone: The network.
        layers: What is looked at.
        shape: Of the image.
        compare: Gives the loss of each layer.
        settings: For steps, optimizer and seed.
        on_progress: Told of every step; the deepest layer names the stage.

    Raises:
        DivergenceError: If the loss is no longer a finite number.
    """
    taps = backbone.tap(layers)

    def evaluate(image: Any) -> Evaluation:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            terms = dict(compare(taps(image[tf.newaxis], training=False)))
            loss = tf.add_n(list(terms.values())) / len(terms)
        return Evaluation(loss, tape.gradient(loss, image), terms)

    optimizer = choose_optimizer(settings.optimizer, bounds=(0.0, 1.0))
    advance = tf.function(partial(optimizer.step, evaluate))
    x = tf.constant(np.random.default_rng(settings.seed).random(shape, np.float32))
    state, losses = optimizer.init(x), list[float]()
    report = partial(Progress, stage=layers[-1], total=settings.steps)
    on_progress(report(step=0))
    for step in range(1, settings.steps + 1):
        x, state, evaluation = advance(x, state)
        losses.append(float(evaluation.loss))
        if not math.isfinite(losses[-1]):
            raise DivergenceError(
                f"The loss of {', '.join(layers)} is {losses[-1]} at step {step}; it must be "
                "finite: choose another --optimizer, or check the weights of the backbone."
            )
        on_progress(report(step=step, loss=losses[-1]))
    image = np.clip(optimizer.result(x, state).numpy(), 0, 1)
    return Descended(image, tuple(losses))
