"""Style statistics: sums over the positions of a feature map.

Sums are additive: the statistics of two halves of an image add up to those of the whole, and so
do those of several style images, regions or replicas. Everything that needs the whole image is
computed from the sums afterwards.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from nstk.backbones.gradients import with_gradient
from nstk.types import Tensor


class Statistics(NamedTuple):
    """Sums over the positions (i, j) of a feature map a_ijk with C channels.

    With a guide t_ij every sum is weighted by it; without one, t_ij = 1.

    Attributes:
        gram: Σ_ij t_ij·a_ijk·a_ijk′, shape ``(C, C)``: the Gram matrix G_kk′ of Gatys et al.
            2016, eq. 3; guided as in Gatys et al. 2017, "Controlling Perceptual Factors".
        total: Σ_ij t_ij·a_ijk, shape ``(C,)``.
        count: Σ_ij t_ij, the number of positions, or the area of the region.
    """

    gram: Tensor
    total: Tensor
    count: Tensor


class Moments(NamedTuple):
    """Statistics per position, which do not depend on the size of the image.

    Attributes:
        gram: G_kk′ / positions, shape ``(C, C)``.
        mean: μ_k, shape ``(C,)``.
        variance: σ_k², shape ``(C,)``, never negative.
    """

    gram: Tensor
    mean: Tensor
    variance: Tensor


def upcast(features: Tensor) -> Tensor:
    """Cast half precision to float32, in which sums of squares do not overflow."""
    return tf.cast(features, tf.float32) if features.dtype.size < 4 else features


def gram_matrix(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Return FᵀF and the column sums of a map F of shape ``(positions, C)``.

    The gradient is F(S + Sᵀ) + t for gradients S and t of the results: one matrix product, where
    automatic differentiation takes two. Column sums of long matrices are faster as a product, too.
    """

    gram, total = _multiply(flat)
    return gram, total


@with_gradient
def _multiply(flat: Tensor) -> tuple[tuple[Tensor, Tensor], object]:
    def vjp(gradient: Tensor, level: Tensor) -> Tensor:
        return tf.nn.bias_add(tf.matmul(flat, gradient + tf.transpose(gradient)), level)

    ones = tf.ones([1, tf.shape(flat)[0]], flat.dtype)
    return (tf.matmul(flat, flat, transpose_a=True), tf.matmul(ones, flat)[0]), vjp


def feature_sums(features: Tensor, guide: Tensor | None = None) -> Statistics:
    """Compute the statistics of a feature map.

    Args:
        features: A tensor of shape ``(batch, height, width, C)``, any float dtype.
        guide: The weight of every position, ``(height, width)``, 0 or more; 1 if None.

    Returns:
        The sums, in float32 or wider.
    """
    flat = tf.reshape(upcast(features), [-1, features.shape[-1]])
    if guide is None:
        return Statistics(*gram_matrix(flat), tf.cast(tf.shape(flat)[0], flat.dtype))
    weights = tf.reshape(tf.cast(guide, flat.dtype), [-1, 1])
    return Statistics(
        gram=gram_matrix(tf.sqrt(weights) * flat)[0],
        total=tf.matmul(weights, flat, transpose_a=True)[0],
        count=tf.reduce_sum(weights),
    )


def merge(parts: Sequence[Statistics]) -> Statistics:
    return Statistics(*(tf.add_n(list(sums)) for sums in zip(*parts, strict=True)))


def to_moments(statistics: Statistics) -> Moments:
    """Convert sums into means over the positions."""
    share = 1 / statistics.count  # as in `blend_statistics`: equal images get equal bits
    gram, mean = statistics.gram * share, statistics.total * share
    variance = tf.nn.relu(tf.linalg.diag_part(gram) - tf.square(mean))
    return Moments(gram, mean, variance)


def covariance(moments: Moments) -> Tensor:
    """Return C = G − μμᵀ, shape ``(C, C)``."""
    return moments.gram - moments.mean[:, tf.newaxis] * moments.mean[tf.newaxis, :]


def blend_statistics(styles: Sequence[Statistics], weights: Sequence[float]) -> Statistics:
    """Blend the statistics of several style images.

    An image counts by its weight alone, not by its size.
    """
    share = [weight / sum(weights) for weight in weights]
    return merge(
        [
            Statistics(
                style.gram * (fraction / style.count),
                style.total * (fraction / style.count),
                tf.constant(fraction, style.count.dtype),
            )
            for style, fraction in zip(styles, share, strict=True)
        ]
    )
