"""Images that a channel likes best, by gradient ascent.

After Olah, Mordvintsev and Schubert 2017, "Feature Visualization": the image is a spectrum
whose frequencies are weighed as in natural images, its colors are decorrelated, and it is
shifted a little before every look, so that what appears is what the channel likes anywhere.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.conventions import pinned_keras_config
from nstk.images.image import Image
from nstk.inspecting.layers import Field
from nstk.optimizers import Adam, Evaluation
from nstk.progress import Progress, Reporter, no_progress

COLOR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""A root of the covariance of colors in ImageNet's images (Olah et al. 2017): rows are red,
green and blue; columns are light, blue against yellow, and green against magenta."""

LEARNING_RATE = 0.02

DECAY = 0.05
"""Weight of the mean square of what the sigmoid is given, against colors that are all ends."""

LEAK = 0.1
"""How much of its gradient a channel keeps where it is silent, or it could never be woken."""
SMALLEST_SIDE, LARGEST_SIDE = 48, 144

_START = 0.01
_SATURATION = 4.0
_NOTHING = 1e-6


def choose_side(field: Field, stride: int) -> int:
    """Side in pixels of the image in which a layer's channel is to show what it likes.

    Half as large again as what a cell sees, so that motifs stand whole and beside each other.
    """
    wanted = 1.5 * max(field.height, field.width)
    side = int(np.clip(wanted, SMALLEST_SIDE, LARGEST_SIDE))
    return -(-side // stride) * stride


def visualize_channels(
    backbone: Backbone,
    layer: str,
    channels: Sequence[int],
    *,
    side: int,
    steps: int = 100,
    seed: int = 0,
    on_progress: Reporter = no_progress,
) -> list[Image]:
    """Ascend the mean activation of each channel, all of them together.

    Args:
        backbone: The network.
        layer: One of its taps.
        channels: Numbers of its channels.
        side: Of the images in pixels.
        steps: Of Adam.
        seed: Of the noise at the start and of the shifts.
        on_progress: Told of every step; the loss is the negative mean activation.

    Returns:
        One Image ``(side, side, 3)`` for each channel.
    """
    with pinned_keras_config():
        network = keras.Model(
            backbone.model.inputs[0], _before_activation(backbone.model.get_layer(layer))
        )
    generator = tf.random.Generator.from_seed(seed)
    wanted = tf.one_hot(list(channels), network.output.shape[-1])
    jitter = max(side // 12, 2)

    def evaluate(spectra: Any) -> Evaluation:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(spectra)
            shift = generator.uniform([2], -jitter, jitter + 1, tf.int32)
            logits = paint_logits(spectra, side)
            images = tf.roll(tf.sigmoid(logits), shift, axis=[1, 2])
            maps = tf.nn.leaky_relu(network(images, training=False), LEAK)
            means = tf.reduce_sum(tf.reduce_mean(maps, axis=(1, 2)) * wanted, axis=1)
            # In units of what it has reached, so that every layer and channel decays alike.
            gain = means / (tf.stop_gradient(tf.abs(means)) + _NOTHING)
            loss = tf.reduce_sum(DECAY * tf.reduce_mean(logits**2, axis=(1, 2, 3)) - gain)
        return Evaluation(-tf.reduce_mean(means), tape.gradient(loss, spectra), {})

    optimizer = Adam(LEARNING_RATE)
    advance = tf.function(partial(optimizer.step, evaluate))
    shape = (len(channels), 2, 3, side, side // 2 + 1)
    noise = np.random.default_rng(seed).normal(0, _START, shape)
    spectra = tf.constant(noise, tf.float32)
    state = optimizer.init(spectra)
    stage = f"ascent in {layer}"
    on_progress(Progress(stage=stage, step=0, total=steps))
    for step in range(1, steps + 1):
        spectra, state, evaluation = advance(spectra, state)
        on_progress(Progress(stage=stage, step=step, total=steps, loss=float(evaluation.loss)))
    return list(tf.sigmoid(paint_logits(spectra, side)).numpy())


def paint_logits(spectra: Any, side: int) -> Any:
    """Images from their spectra, before the sigmoid that brings them into ``[0, 1]``.

    Every frequency f is divided by max(|f|, 1 / side), as natural images have it, and the colors
    are correlated as theirs are.

    Args:
        spectra: Real and imaginary parts, ``(N, 2, 3, side, side // 2 + 1)``.
        side: Of the images in pixels.

    Returns:
        ``(N, side, side, 3)``.
    """
    down, across = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    scale = side / np.maximum(np.hypot(down, across), 1 / side)
    weighed = spectra * tf.constant(scale, tf.float32)
    planes = tf.signal.irfft2d(tf.complex(weighed[:, 0], weighed[:, 1]), [side, side])
    roots = COLOR_ROOT / np.linalg.norm(COLOR_ROOT, axis=0).max()
    return _SATURATION * tf.einsum("nchw,dc->nhwd", planes, tf.constant(roots))


def _before_activation(layer: Any) -> Any:
    """What a layer's nonlinearity is given; its output where it has none."""
    if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.Activation):
        return layer.input
    config = layer.get_config()
    if config.get("activation", "linear") == "linear" or not hasattr(layer, "kernel"):
        return layer.output
    twin = type(layer).from_config({**config, "activation": "linear"})
    output = twin(layer.input)
    twin.set_weights(layer.get_weights())
    return output
