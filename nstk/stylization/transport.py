"""How much it costs to move one normal distribution of features onto another."""

from typing import Any

import tensorflow as tf

from nstk.stylization.statistics import Moments, covariance

RELATIVE_FLOOR = 1e-5
"""Smallest eigenvalue, as a share of the mean one: it keeps roots and their gradients finite."""


def wasserstein_squared(moments: Moments, target: Moments) -> Any:
    """W₂² = ‖μ − μ*‖² + tr(C + C* − 2·(C*^½ C C*^½)^½) (Givens and Shortt 1984).

    Args:
        moments: μ and C of the image.
        target: μ* and C* of the style.

    Returns:
        A scalar, 0 or more.
    """
    root = _root(_lift(covariance(target), target))
    product = root @ _lift(covariance(moments), target) @ root
    shared = _trace_of_root((product + tf.transpose(product)) / 2)
    spread = tf.reduce_sum(moments.variance) + tf.reduce_sum(target.variance)
    lifted = 2 * _floor(target) * tf.cast(tf.size(target.mean), target.mean.dtype)
    moved = tf.reduce_sum(tf.square(moments.mean - target.mean))
    return tf.nn.relu(moved + spread + lifted - 2 * shared)


def _floor(target: Moments) -> Any:
    return RELATIVE_FLOOR * tf.reduce_mean(target.variance) + 1e-30


def _lift(matrix: Any, target: Moments) -> Any:
    """Both covariances are raised by the same multiple of the unit matrix, which moves nothing."""
    return matrix + _floor(target) * tf.eye(tf.shape(matrix)[0], dtype=matrix.dtype)


def _root(matrix: Any) -> Any:
    """The symmetric square root of a positive matrix, a constant of the descent."""
    values, vectors = tf.linalg.eigh(matrix)
    return (vectors * tf.sqrt(tf.maximum(values, 1e-30))) @ tf.transpose(vectors)


def _trace_of_root(matrix: Any) -> Any:
    """tr M^½ = Σ √λ_i."""
    return tf.custom_gradient(_trace_and_gradient)(matrix)


def _trace_and_gradient(matrix: Any) -> tuple[Any, Any]:
    """tr M^½ and its gradient ½ M^−½.

    The eigenvalues alone decide it; the general rule for eigenvectors would divide by the
    differences of eigenvalues, which may be 0.
    """
    values, vectors = tf.linalg.eigh(matrix)
    roots = tf.sqrt(tf.maximum(values, 1e-12 * tf.reduce_max(values)))

    def gradient(upstream: Any) -> Any:
        return upstream * 0.5 * (vectors / roots) @ tf.transpose(vectors)

    return tf.reduce_sum(roots), gradient
