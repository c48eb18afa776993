"""The protocol of optimizers, bounds, and a loop that drives any optimizer.

The functions at the end are the parts of a backtracking line search that is spread over the steps:
every step evaluates one trial point. Either it `is_lower` and the next line begins there, or the
next trial lies nearer, at the minimum of the parabola through all values known on the line.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import tensorflow as tf

from nstk.types import OptimizerState, Tensor


class Evaluation(NamedTuple):
    """A function's value and gradient at one point.

    Attributes:
        loss: The value, a scalar tensor.
        gradient: ∂loss/∂x, a tensor of the shape of x.
        terms: The terms of the loss by name, scalar tensors.
    """

    loss: Tensor
    gradient: Tensor
    terms: dict[str, Tensor]


Evaluate = Callable[[Tensor], Evaluation]
"""A function to be minimized, from a point to its `Evaluation`."""


Bounds = tuple[float, float]
"""Lower and upper bound ``[low, high]`` of every coordinate."""


def project(x: Tensor, bounds: Bounds | None) -> Tensor:
    return x if bounds is None else tf.clip_by_value(x, *bounds)


def free_variables(x: Tensor, gradient: Tensor, bounds: Bounds | None) -> Tensor:
    """Return 1 where a coordinate can move downhill, 0 where a bound blocks it.

    Curvature mixes coordinates. A direction made from all of them wastes its steps on the blocked
    ones; one made from the free coordinates alone remains a descent direction after projection
    onto the bounds (Bertsekas 1982).
    """
    if bounds is None:
        return tf.ones_like(x)
    low, high = bounds
    blocked = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
    return tf.where(blocked, tf.zeros_like(x), tf.ones_like(x))


class Optimizer(Protocol):
    """An optimizer.

    A step evaluates the function once, at the given point. Only `Newton` needs more: the
    derivative of the gradient along several directions.
    """

    def init(self, x: Tensor) -> OptimizerState:
        """Return the initial state at ``x``, a nest of tensors."""

    def step(
        self, evaluate: Evaluate, x: Tensor, state: OptimizerState
    ) -> tuple[Tensor, OptimizerState, Evaluation]:
        """Evaluate ``x``, and return the next point, the next state and the evaluation."""

    def result(self, x: Tensor, state: OptimizerState) -> Tensor:
        """Return the result if the optimization ended here."""

    def rescale(
        self, x: Tensor, state: OptimizerState, resize: Callable[[Tensor], Tensor]
    ) -> OptimizerState:
        """Return the state on another grid.

        Args:
            x: The current point, already on the new grid.
            state: The state on the old grid.
            resize: Resizes a tensor from the old grid to the new one.
        """


def minimize(
    evaluate: Evaluate, x: Tensor, optimizer: Optimizer, *, steps: int, tolerance: float = 0.0
) -> tuple[Tensor, Evaluation]:
    """Minimize a function and return the best point that was evaluated.

    The loop runs in Python, for small functions; images have their own loop.

    Args:
        evaluate: The function.
        x: The initial point, a tensor of any shape and float dtype.
        optimizer: The optimizer.
        steps: Most steps, each with one evaluation.
        tolerance: Stop when no coordinate of the gradient exceeds this.

    Returns:
        The best point and its evaluation.

    Example:
        >>> import tensorflow as tf
        >>> from nstk.optimizers import LBFGS, Evaluation, minimize
        >>> def bowl(x):
        ...     return Evaluation(tf.reduce_sum((x - 3.0) ** 2), 2.0 * (x - 3.0), {})
        >>> x, evaluation = minimize(bowl, tf.zeros([2], tf.float64), LBFGS(), steps=20)
        >>> x.numpy().round(6).tolist()
        [3.0, 3.0]
    """
    compiled_step = tf.function(partial(optimizer.step, evaluate))
    state = optimizer.init(x)
    best_x, best = x, None
    for _ in range(steps):
        following, state, evaluation = compiled_step(x, state)
        if best is None or evaluation.loss < best.loss:
            best_x, best = x, evaluation
        if float(tf.reduce_max(tf.abs(evaluation.gradient))) <= tolerance:
            break
        x = following
    if best is None:
        best = evaluate(x)
    return best_x, best


def inner(a: Tensor, b: Tensor) -> Tensor:
    return tf.reduce_sum(a * b)


def is_lower(
    loss: Tensor, before: Tensor, directional_derivative: Tensor, sufficient_decrease: float
) -> Tensor:
    """Test the condition of Armijo (1966): f(x + d) ≤ f(x) + c₁·⟨∇f(x), d⟩."""
    return loss <= before + sufficient_decrease * tf.minimum(
        directional_derivative, tf.zeros_like(directional_derivative)
    )


def fit_parabola(
    loss: Tensor, before: Tensor, directional_derivative: Tensor, shortest: float, longest: float
) -> Tensor:
    """Return how much longer d should have been: −⟨∇f(x), d⟩ / (2·(f(x + d) − f(x) − ⟨∇f(x), d⟩)).

    This is the minimum of the parabola with the value and gradient at x and the value at x + d
    (Nocedal and Wright 2006, eq. 3.58).
    """
    excess = loss - before - directional_derivative
    factor = tf.where(
        excess > 0, tf.math.divide_no_nan(-directional_derivative, 2 * excess), longest
    )
    factor = tf.where(tf.math.is_finite(loss), factor, shortest)
    return tf.clip_by_value(factor, shortest, longest)
