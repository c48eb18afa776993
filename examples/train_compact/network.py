"""The network during training: the packaged architecture with BatchNorm, and its folding.

Every convolution is followed by batch normalization and ReLU,

    y = relu(γ (k ∗ x − μ) / √(σ² + ε) + β),

with μ and σ² of the batch. After training, μ and σ² are measured on training images and
everything is folded into one convolution with bias (Jacob et al. 2018, §3.2):

    k' = k γ / √(σ² + ε),    b' = β − μ γ / √(σ² + ε).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nstk.backbones.packaged import DEPTHS, WIDTHS

EPSILON = 1e-3
STYLE_TAPS = tuple(f"block{block}_conv1" for block in range(1, len(WIDTHS) + 1))


class Layer(NamedTuple):
    """One convolution of the network."""

    name: str
    inputs: int
    outputs: int
    opens_block: bool


class Outputs(NamedTuple):
    """The outputs of one forward pass."""

    taps: dict[str, tf.Tensor]
    embedding: tf.Tensor
    moments: dict[str, tuple[tf.Tensor, tf.Tensor]]


def list_layers() -> list[Layer]:
    """Return the convolutions from the image to the embedding."""
    layers, inputs = [], 3
    for block, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True), start=1):
        for position in range(1, depth + 1):
            layers.append(Layer(f"block{block}_conv{position}", inputs, width, position == 1))
            inputs = width
    return layers


def initial_weights(seed: int) -> dict[str, NDArray[np.float32]]:
    """Draw initial weights: He-normal kernels, γ = 1, β = 0."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, inputs, outputs, _ in list_layers():
        std = np.sqrt(2 / (9 * inputs))
        kernel = generator.normal(0, std, (3, 3, inputs, outputs))
        weights[f"{name}/kernel"] = kernel.astype(np.float32)
        weights[f"{name}/gamma"] = np.ones(outputs, np.float32)
        weights[f"{name}/beta"] = np.zeros(outputs, np.float32)
    return weights


def forward(
    weights: Mapping[str, tf.Tensor],
    images: tf.Tensor,
    moments: Mapping[str, tuple[tf.Tensor, tf.Tensor]] | None = None,
    dtype: tf.DType = tf.float32,
) -> Outputs:
    """Run the network with BatchNorm.

    Args:
        weights: `<layer>/kernel`, `/gamma` and `/beta`.
        images: `(batch, height, width, 3)`, sRGB in `[0, 1]`.
        moments: Mean and variance by layer; None for those of the batch.
        dtype: Data type of the convolutions; moments, γ and β stay float32.

    Returns:
        The maps of the style layers, the embedding `(batch, 384)` and the moments used.
    """
    x = tf.cast(images * 4.0 - 1.8, dtype)
    taps, used = {}, {}
    empty = tf.zeros([0])
    for name, _, _, opens_block in list_layers():
        if opens_block and name != "block1_conv1":
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = tf.nn.conv2d(x, tf.cast(weights[f"{name}/kernel"], dtype), 1, "SAME")
        mean, variance = (empty, empty) if moments is None else moments[name]
        # Keras 3's own BatchNormalization is not fused and costs more than the convolution.
        normalized = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=weights[f"{name}/gamma"],
            offset=weights[f"{name}/beta"],
            mean=mean,
            variance=variance,
            epsilon=EPSILON,
            is_training=moments is None,
        )
        x = tf.nn.relu(normalized.y)
        used[name] = (normalized.batch_mean, normalized.batch_variance)
        if opens_block:
            taps[name] = x
    embedding = tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2))
    return Outputs(taps, embedding, used)


def measure_moments(
    weights: Mapping[str, tf.Tensor], batches: Iterable[tf.Tensor]
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Measure the moments for inference by averaging over batches.

    Averaging once with the final weights ("precise BatchNorm", Wu & Johnson 2021) needs no
    moving averages during training.

    Args:
        weights: As for `forward`.
        batches: Batches of images as for `forward`; more of them give better estimates.

    Returns:
        Mean and variance by layer.
    """
    run = tf.function(lambda images: forward(weights, images).moments)
    total: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    count = 0
    for images in batches:
        count += 1
        for name, (mean, variance) in run(images).items():
            previous = total.get(name, (np.float64(0), np.float64(0)))
            total[name] = (previous[0] + mean.numpy(), previous[1] + variance.numpy())
    return {
        name: ((mean / count).astype(np.float32), (variance / count).astype(np.float32))
        for name, (mean, variance) in total.items()
    }


def fold(
    weights: Mapping[str, NDArray[np.float32]],
    moments: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> dict[str, NDArray[np.float32]]:
    """Fold BatchNorm into the convolutions.

    Args:
        weights: As for `forward`.
        moments: Mean and variance by layer.

    Returns:
        `<layer>/kernel` (HWIO) and `<layer>/bias` of the packaged architecture.
    """
    folded = {}
    for name, (mean, variance) in moments.items():
        scale = weights[f"{name}/gamma"] / np.sqrt(variance + EPSILON)
        folded[f"{name}/kernel"] = weights[f"{name}/kernel"] * scale
        folded[f"{name}/bias"] = weights[f"{name}/beta"] - mean * scale
    return folded
