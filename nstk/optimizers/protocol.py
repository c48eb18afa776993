"""What every optimizer promises, and the one loop that drives any of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import tensorflow as tf


class Evaluation(NamedTuple):
    """A function's value and gradient at one point.

    Attributes:
        loss: The value, a scalar tensor.
        gradient: ∂loss/∂x, a tensor of the shape of x.
        terms: The parts of the loss by name, scalar tensors.
    """

    loss: Any
    gradient: Any
    terms: dict[str, Any]


Evaluate = Callable[[Any], Evaluation]
"""A function to be minimized: a point in, its `Evaluation` out."""


class Optimizer(Protocol):
    """A rule for the next point.

    A step evaluates the function once, at the point it is given. Only `Newton` asks for more: the
    derivative of the gradient, along several directions a step.
    """

    def init(self, x: Any) -> Any:
        """Make the state of a descent that starts at ``x``, a nest of tensors."""

    def step(self, evaluate: Evaluate, x: Any, state: Any) -> tuple[Any, Any, Evaluation]:
        """Evaluate ``x`` and answer with the next point, the next state and the evaluation."""

    def result(self, x: Any, state: Any) -> Any:
        """The point to keep, should the descent end here."""

    def rescale(self, x: Any, state: Any, resize: Callable[[Any], Any]) -> Any:
        """The state of the same descent on another grid.

        Args:
            x: The point to go on from, already on the new grid.
            state: The state on the old grid.
            resize: Takes a tensor from the old grid to the new one.
        """


def minimize(
    evaluate: Evaluate, x: Any, optimizer: Optimizer, *, steps: int, tolerance: float = 0.0
) -> tuple[Any, Evaluation]:
    """Descend from ``x`` and return the best point that was evaluated.

    For functions small enough to be driven from Python; an image has its own loop.

    Args:
        evaluate: The function.
        x: The start, a tensor of any shape and float dtype.
        optimizer: The rule.
        steps: Steps at most, each an evaluation.
        tolerance: Stop when no coordinate of the gradient is larger than this.

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

    advance = tf.function(partial(optimizer.step, evaluate))
    state = optimizer.init(x)
    best_x, best = x, None
    for _ in range(steps):
        following, state, evaluation = advance(x, state)
        if best is None or evaluation.loss < best.loss:
            best_x, best = x, evaluation
        if float(tf.reduce_max(tf.abs(evaluation.gradient))) <= tolerance:
            break
        x = following
    if best is None:
        best = evaluate(x)
    return best_x, best
