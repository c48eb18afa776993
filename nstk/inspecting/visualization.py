"""Activation maximization: images that activate a channel most, by gradient ascent.

After Olah, Mordvintsev and Schubert 2017, "Feature Visualization": the image is parametrized by its
spectrum, with the frequency weights of natural images and decorrelated colors, and is shifted
randomly in every step, so that the result does not depend on the position.
"""

from collections.abc import Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.images.image import Image
from nstk.inspecting.layers import Field
from nstk.optimizers import Adam, Evaluation
from nstk.progress import Progress, Reporter, no_progress
from nstk.types import KerasLayer, Tensor

COLOR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""A square root of the color covariance of ImageNet (Olah et al. 2017): rows are red, green and
blue; columns are lightness, blue–yellow, and green–magenta."""

LEARNING_RATE = 0.02

DECAY = 0.05
"""Weight of the mean squared logits, against saturated colors."""

LEAK = 0.1
"""Negative slope of the leaky ReLU: without it an inactive channel has no gradient."""
SMALLEST_SIDE, LARGEST_SIDE = 48, 144

_START = 0.01
_SATURATION = 4.0
_EPSILON = 1e-6


def choose_side(field: Field, stride: int) -> int:
    """Side in pixels of a layer's visualizations: 1.5 times its receptive field, within limits."""
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
    """Maximize the mean activation of each channel, all channels at once.

    Returns one image ``(side, side, 3)`` for each channel; the loss that is reported is the
    negative mean activation.
    """
    with pinned_keras_config():
        network = keras.Model(
            backbone.model.inputs[0], _before_activation(backbone.model.get_layer(layer))
        )
    generator = tf.random.Generator.from_seed(seed)
    selected = tf.one_hot(list(channels), network.output.shape[-1])
    jitter = max(side // 12, 2)

    def evaluate(spectra: Tensor) -> Evaluation:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(spectra)
            shift = generator.uniform([2], -jitter, jitter + 1, tf.int32)
            logits = synthesize_logits(spectra, side)
            images = tf.roll(tf.sigmoid(logits), shift, axis=[1, 2])
            maps = tf.nn.leaky_relu(network(images, training=False), LEAK)
            means = tf.reduce_sum(tf.reduce_mean(maps, axis=(1, 2)) * selected, axis=1)
            # Relative to the current value, so that the decay means the same for every channel.
            gain = means / (tf.stop_gradient(tf.abs(means)) + _EPSILON)
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
    return list(tf.sigmoid(synthesize_logits(spectra, side)).numpy())


def synthesize_logits(spectra: Tensor, side: int) -> Tensor:
    """Images from their spectra, before the sigmoid that maps them to ``[0, 1]``.

    Spectra are real and imaginary parts, ``(N, 2, 3, side, side // 2 + 1)``. Every frequency f is
    divided by max(|f|, 1 / side), and the colors are correlated, as in natural images.
    """
    down, across = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    scale = side / np.maximum(np.hypot(down, across), 1 / side)
    weighted = spectra * tf.constant(scale, tf.float32)
    planes = tf.signal.irfft2d(tf.complex(weighted[:, 0], weighted[:, 1]), [side, side])
    roots = COLOR_ROOT / np.linalg.norm(COLOR_ROOT, axis=0).max()
    return _SATURATION * tf.einsum("nchw,dc->nhwd", planes, tf.constant(roots))


def _before_activation(layer: KerasLayer) -> Tensor:
    """The input of a layer's nonlinearity; the layer's output if it has none."""
    if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.Activation):
        return layer.input
    config = layer.get_config()
    if config.get("activation", "linear") == "linear" or not hasattr(layer, "kernel"):
        return layer.output
    linear = type(layer).from_config({**config, "activation": "linear"})
    output = linear(layer.input)
    linear.set_weights(layer.get_weights())
    return output
