"""The parts of a backtracking line search that is spread over the steps of an optimizer.

Every step evaluates one trial point. Either the point `is_lower` and the next line begins there,
or the next trial lies nearer, at the minimum of the parabola through all values known on the line.
"""

import tensorflow as tf

from nstk.types import Tensor


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product ⟨a, b⟩ of two tensors of equal shape."""
    return tf.reduce_sum(a * b)


def is_lower(
    loss: Tensor, before: Tensor, directional_derivative: Tensor, sufficient_decrease: float
) -> Tensor:
    """Test the condition of Armijo (1966): f(x + d) ≤ f(x) + c₁·⟨∇f(x), d⟩.

    Args:
        loss: f(x + d); NaN is never lower.
        before: f(x).
        directional_derivative: ⟨∇f(x), d⟩. Projection onto bounds can make it positive; it then
            counts as 0, so that a rise is never accepted.
        sufficient_decrease: c₁.

    Returns:
        A boolean scalar.
    """
    return loss <= before + sufficient_decrease * tf.minimum(
        directional_derivative, tf.zeros_like(directional_derivative)
    )


def fit_parabola(
    loss: Tensor, before: Tensor, directional_derivative: Tensor, shortest: float, longest: float
) -> Tensor:
    """Return how much longer d should have been: −⟨∇f(x), d⟩ / (2·(f(x + d) − f(x) − ⟨∇f(x), d⟩)).

    This is the minimum of the parabola with the value and gradient at x and the value at x + d
    (Nocedal and Wright 2006, eq. 3.58).

    Args:
        loss: f(x + d).
        before: f(x).
        directional_derivative: ⟨∇f(x), d⟩.
        shortest: The smallest factor, also returned if the loss is not finite.
        longest: The largest factor, also returned if the parabola has no minimum.

    Returns:
        A factor for d, from ``shortest`` to ``longest``.
    """
    excess = loss - before - directional_derivative
    factor = tf.where(
        excess > 0, tf.math.divide_no_nan(-directional_derivative, 2 * excess), longest
    )
    factor = tf.where(tf.math.is_finite(loss), factor, shortest)
    return tf.clip_by_value(factor, shortest, longest)
