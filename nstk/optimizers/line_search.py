"""A backtracking line search in pieces, for rules that spread it over their steps.

A rule that searches along a line takes one trial point a step. Either the point `is_lower`, and
the next line begins there, or the next trial lies nearer, where the parabola through everything
known of the line has its minimum.
"""

from typing import Any

import tensorflow as tf


def inner(a: Any, b: Any) -> Any:
    """The inner product ⟨a, b⟩ of two tensors of one shape."""
    return tf.reduce_sum(a * b)


def is_lower(
    loss: Any, before: Any, directional_derivative: Any, sufficient_decrease: float
) -> Any:
    """The condition of Armijo (1966): f(x + d) ≤ f(x) + c₁·⟨∇f(x), d⟩.

    Args:
        loss: f(x + d); NaN is never lower.
        before: f(x).
        promised: ⟨∇f(x), d⟩. Projection into a box can make it positive; it then counts as 0, so
            that no rise is ever taken for a descent.
        sufficient_decrease: c₁.

    Returns:
        A boolean scalar.
    """
    return loss <= before + sufficient_decrease * tf.minimum(
        directional_derivative, tf.zeros_like(directional_derivative)
    )


def fit_parabola(
    loss: Any, before: Any, directional_derivative: Any, shortest: float, longest: float
) -> Any:
    """How much longer d should have been: −⟨∇f(x), d⟩ / (2·(f(x + d) − f(x) − ⟨∇f(x), d⟩)).

    This is where the parabola with the value and gradient at x and the value at x + d has its
    minimum (Nocedal and Wright 2006, eq. 3.58).

    Args:
        loss: f(x + d).
        before: f(x).
        promised: ⟨∇f(x), d⟩.
        shortest: The least answer, also given where the loss is not finite.
        longest: The largest answer, also given where the parabola has no minimum.

    Returns:
        A factor for d, from ``shortest`` to ``longest``.
    """
    excess = loss - before - directional_derivative
    factor = tf.where(
        excess > 0, tf.math.divide_no_nan(-directional_derivative, 2 * excess), longest
    )
    factor = tf.where(tf.math.is_finite(loss), factor, shortest)
    return tf.clip_by_value(factor, shortest, longest)
