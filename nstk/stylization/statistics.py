"""What style is: sums over the positions of a feature map.

All of it is additive. The statistics of two halves of an image add up to those of the whole,
and so do those of several style images, of regions and of replicas; everything that needs the
whole image is computed from these sums afterwards.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class Statistics(NamedTuple):
    """Sums over the positions (i, j) of a feature map a_ijk with C channels.

    Where a guide t_ij weighs the positions, every sum is weighted by it; without one, t_ij = 1.

    Attributes:
        gram: Σ_ij t_ij·a_ijk·a_ijk′, shape ``(C, C)``: the Gram matrix G_kk′ of Gatys et al.
            2016, eq. 3; guided as in Gatys et al. 2017, "Controlling Perceptual Factors".
        total: Σ_ij t_ij·a_ijk, shape ``(C,)``.
        count: Σ_ij t_ij, the number of positions, or the area of the region.
    """

    gram: Any
    total: Any
    count: Any


class Moments(NamedTuple):
    """Statistics per position, which do not depend on the size of the image.

    Attributes:
        gram: G_kk′ / positions, shape ``(C, C)``.
        mean: μ_k, shape ``(C,)``.
        variance: σ_k², shape ``(C,)``, never negative.
    """

    gram: Any
    mean: Any
    variance: Any


def upcast(features: Any) -> Any:
    """Take half precision to float32, as sums of squares would overflow; leave the others."""
    return tf.cast(features, tf.float32) if features.dtype.size < 4 else features


def gram_matrix(flat: Any) -> tuple[Any, Any]:
    """FᵀF and the column sums of a map F of shape ``(positions, C)``.

    Their gradient is F(S + Sᵀ) + t for gradients S and t of the results: one product of matrices, where
    the rule for the product of two different ones takes two. Sums down long columns are faster as
    a product, too.
    """

    def multiply(flat: Any) -> tuple[Any, Any]:
        def pull_back(gradient: Any, level: Any) -> Any:
            return tf.nn.bias_add(tf.matmul(flat, gradient + tf.transpose(gradient)), level)

        ones = tf.ones([1, tf.shape(flat)[0]], flat.dtype)
        return (tf.matmul(flat, flat, transpose_a=True), tf.matmul(ones, flat)[0]), pull_back

    gram, total = tf.custom_gradient(multiply)(flat)
    return gram, total


def feature_sums(features: Any, guide: Any | None = None) -> Statistics:
    """Sum up a feature map.

    Args:
        features: A tensor of shape ``(batch, height, width, C)``, any float dtype.
        guide: The weight of every position, ``(height, width)``, 0 or more; 1 where None.

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
    """The statistics of all parts together."""
    return Statistics(*(tf.add_n(list(sums)) for sums in zip(*parts, strict=True)))


def to_moments(statistics: Statistics) -> Moments:
    """Turn sums into moments: means over the positions."""
    gram = statistics.gram / statistics.count
    mean = statistics.total / statistics.count
    variance = tf.nn.relu(tf.linalg.diag_part(gram) - tf.square(mean))
    return Moments(gram, mean, variance)


def covariance(moments: Moments) -> Any:
    """C = G − μμᵀ, shape ``(C, C)``."""
    return moments.gram - moments.mean[:, tf.newaxis] * moments.mean[tf.newaxis, :]


def blend_statistics(styles: Sequence[Statistics], weights: Sequence[float]) -> Statistics:
    """Mix the statistics of several style images.

    Every image counts by its weight alone, not by its size.

    Args:
        styles: The statistics of each image.
        weights: One for each, at least one of them above 0.
    """
    share = [weight / sum(weights) for weight in weights]
    return merge(
        [
            Statistics(*(part * (fraction / style.count) for part in style))
            for style, fraction in zip(styles, share, strict=True)
        ]
    )
