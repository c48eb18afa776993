"""Gradient descent, the rule the whole field starts from (Cauchy 1847)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from nstk.optimizers.bounds import Bounds, project
from nstk.optimizers.line_search import fit_parabola, inner, is_lower
from nstk.optimizers.protocol import Evaluate, Evaluation


class GradientDescentState(NamedTuple):
    """The state of gradient descent.

    Attributes:
        count: Points taken, int32; 0 before the first evaluation.
        x: The last point taken.
        loss: L there.
        gradient: ∂L/∂G there.
        rate: η of the present trial point.
    """

    count: Any
    x: Any
    loss: Any
    gradient: Any
    rate: Any


@dataclass(frozen=True)
class GradientDescent:
    """G := G − η ∂L/∂G.

    Attributes:
        learning_rate: η, in units of x² per unit of loss; with ``backtracking``, where it starts.
        backtracking: Refuse a point that is not lower and go back towards the last one. η follows
            the ground: after every evaluation it moves, at most by a factor of 2 up and of 10
            down, to where the parabola through the last two points has its minimum.
        sufficient_decrease: c₁ of the Armijo condition.
        bounds: The box that x stays in, or None.
    """

    learning_rate: float
    backtracking: bool = False
    sufficient_decrease: float = 1e-4
    bounds: Bounds | None = None

    def init(self, x: Any) -> GradientDescentState:
        """See `Optimizer.init`."""
        rate = tf.constant(self.learning_rate, x.dtype)
        return GradientDescentState(
            tf.constant(0), x, tf.zeros([], x.dtype), tf.zeros_like(x), rate
        )

    def step(
        self, evaluate: Evaluate, x: Any, state: GradientDescentState
    ) -> tuple[Any, GradientDescentState, Evaluation]:
        """See `Optimizer.step`."""
        evaluation = evaluate(x)
        state = self._judge(x, evaluation, state)
        return project(state.x - state.rate * state.gradient, self.bounds), state, evaluation

    def result(self, x: Any, state: GradientDescentState) -> Any:
        """See `Optimizer.result`; with ``backtracking`` the last point taken, the best so far."""
        return state.x if self.backtracking else x

    def rescale(
        self, x: Any, state: GradientDescentState, resize: Callable[[Any], Any]
    ) -> GradientDescentState:
        """See `Optimizer.rescale`; η carries over."""
        return self.init(x)._replace(rate=state.rate)

    def _judge(
        self, x: Any, evaluation: Evaluation, state: GradientDescentState
    ) -> GradientDescentState:
        """Take ``x`` or refuse it, and set η for the next trial."""
        taken = GradientDescentState(
            state.count + 1, x, evaluation.loss, evaluation.gradient, state.rate
        )
        if not self.backtracking:
            return taken
        loss, before = evaluation.loss, state.loss
        promised = inner(state.gradient, x - state.x)
        farther = state.rate * fit_parabola(loss, before, promised, 0.5, 2.0)
        nearer = state.rate * fit_parabola(loss, before, promised, 0.1, 0.5)
        first = state.count == 0
        lower = first | is_lower(loss, before, promised, self.sufficient_decrease)
        taken = taken._replace(rate=tf.where(first, state.rate, farther))
        refused = state._replace(rate=nearer)
        return GradientDescentState(
            *(tf.where(lower, new, old) for new, old in zip(taken, refused, strict=True))
        )
