"""Optimizing white noise until its feature maps match those of an image."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.errors import DivergenceError
from nstk.images.image import Image
from nstk.inspecting.layers import check_stride, choose_layers, limit_size
from nstk.optimizers import Evaluation, choose_optimizer
from nstk.progress import Progress, Reporter
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source, open_image
from nstk.types import FeatureMaps, Tensor

Compare = Callable[[FeatureMaps], Mapping[str, Tensor]]
"""From feature maps by layer to the loss of each layer."""


class Subject(NamedTuple):
    """An image at inspection size, the layers in forward order, and the prepared network."""

    image: Image
    layers: tuple[str, ...]
    network: Backbone


def open_subject(image: Source, backbone: Backbone, settings: InspectSettings) -> Subject:
    """Read an image and check that it is large enough for every layer.

    Args:
        image: An image or its path.
        backbone: The network.
        settings: Layers, size and pooling.

    Raises:
        ImageError: If the file is not an image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    layers = choose_layers(backbone, settings.layers)
    network = backbone.prepared(edge="replicate", pooling=settings.pooling)
    loaded = open_image(image, "the image")
    original = limit_size(loaded.pixels, settings.size)
    check_stride(original, str(loaded.path), layers, backbone)
    return Subject(original, layers, network)


@dataclass(frozen=True, eq=False)
class Optimized:
    """An optimized image, and its loss at every step."""

    image: Image
    losses: tuple[float, ...]


def optimize_noise(
    backbone: Backbone,
    layers: Sequence[str],
    shape: tuple[int, ...],
    compare: Compare,
    settings: InspectSettings,
    on_progress: Reporter,
) -> Optimized:
    """Minimize the mean loss of some layers, starting from uniform white noise.

    Args:
        backbone: The network.
        layers: The layers.
        shape: Shape of the image.
        compare: Computes the loss of each layer.
        settings: Steps, optimizer and seed.
        on_progress: Called after every step; the deepest layer is the stage.

    Raises:
        DivergenceError: If the loss is not finite.
    """
    taps = backbone.tap(layers)

    def evaluate(image: Tensor) -> Evaluation:
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
                f"the loss of {', '.join(layers)} is {losses[-1]} at step {step}; it must be "
                "finite: choose another `optimizer`, or check the weights of the backbone."
            )
        on_progress(report(step=step, loss=losses[-1]))
    image = np.clip(optimizer.result(x, state).numpy(), 0, 1)
    return Optimized(image, tuple(losses))
