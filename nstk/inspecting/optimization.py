"""White noise optimized until layers of a network have the features of an image."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.errors import DivergenceError
from nstk.images.image import Image, fit_size, resize_image
from nstk.inspecting.layers import check_stride, choose_layers, limit_size
from nstk.optimizers import Evaluation, choose_optimizer
from nstk.progress import Progress, Reporter, Stopwatch
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source, open_image
from nstk.types import FeatureMaps, Tensor

Compare = Callable[[FeatureMaps], Mapping[str, Tensor]]
"""From feature maps by layer to the loss of each layer."""

SNAPSHOT_SIDE = 320
"""Longer side in pixels of the images kept on the way."""


class Subject(NamedTuple):
    """An image at inspection size, the layers in forward order, and the prepared network."""

    image: Image
    layers: tuple[str, ...]
    network: Backbone
    settings: InspectSettings


def open_subject(image: Source, backbone: Backbone, settings: InspectSettings) -> Subject:
    """Read an image and check that it is large enough for every layer."""
    layers = choose_layers(backbone, settings.layers)
    loaded = open_image(image, "the image")
    original = limit_size(loaded.pixels, settings.size)
    check_stride(original, str(loaded.path), layers, backbone)
    network = backbone.prepared(edge="replicate", pooling=settings.pooling)
    return Subject(original, layers, network, settings)


class Optimization(NamedTuple):
    """An image, the loss at each step, its end in seconds without compilation, and snapshots.

    A snapshot is a number of steps and the image after them, scaled down to `SNAPSHOT_SIDE`.
    """

    image: Image
    losses: tuple[float, ...]
    seconds: tuple[float, ...]
    snapshots: tuple[tuple[int, Image], ...]


def optimize_noise(
    subject: Subject,
    layers: Sequence[str],
    compare: Compare,
    on_progress: Reporter,
    stage: str = "",
) -> Optimization:
    """Minimize the mean loss of some layers, from white noise; the stage is the last layer."""
    settings, taps = subject.settings, subject.network.tap(layers)

    def evaluate(image: Tensor) -> Evaluation:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            terms = dict(compare(taps(image[tf.newaxis], training=False)))
            loss = tf.add_n(list(terms.values())) / len(terms)
        return Evaluation(loss, tape.gradient(loss, image), terms)

    optimizer = choose_optimizer(settings.optimizer, bounds=(0.0, 1.0))
    advance = tf.function(partial(optimizer.step, evaluate))
    noise = np.random.default_rng(settings.seed).random(subject.image.shape, np.float32)
    x = tf.constant(noise)
    state, losses, seconds = optimizer.init(x), list[float](), list[float]()
    report = partial(Progress, stage=stage or layers[-1], total=settings.steps)
    on_progress(report(step=0))
    snapshots, kept = [], choose_snapshots(settings.steps)
    advance(x, state)  # compiles
    watch = Stopwatch()
    for step in range(1, settings.steps + 1):
        if step - 1 in kept:
            snapshots.append((step - 1, _shrink(optimizer.result(x, state).numpy())))
        watch.lap()
        x, state, evaluation = advance(x, state)
        losses.append(float(evaluation.loss))
        seconds.append(watch.lap())
        if not math.isfinite(losses[-1]):
            raise DivergenceError(
                f"the loss of {', '.join(layers)} is {losses[-1]} at step {step}; it must be "
                "finite: choose another `optimizer`, or check the weights of the backbone."
            )
        on_progress(report(step=step, loss=losses[-1]))
    image = np.clip(optimizer.result(x, state).numpy(), 0, 1)
    snapshots.append((settings.steps, _shrink(image)))
    return Optimization(image, tuple(losses), tuple(accumulate(seconds)), tuple(snapshots))


def choose_snapshots(steps: int) -> tuple[int, ...]:
    """A few steps, closer together at the beginning, where an image changes most."""
    return tuple(sorted({0, *(round(steps**share) for share in (0.35, 0.6, 0.8))} - {steps}))


def _shrink(image: Image) -> Image:
    height, width = image.shape[:2]
    side = min(SNAPSHOT_SIDE, max(height, width))
    return resize_image(np.clip(image, 0, 1), *fit_size(height, width, side))
