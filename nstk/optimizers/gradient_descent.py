"""Gradient descent (Cauchy 1847)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from nstk.optimizers.protocol import (
    Bounds,
    Evaluate,
    Evaluation,
    fit_parabola,
    inner,
    is_lower,
    project,
)
from nstk.types import Tensor


class GradientDescentState(NamedTuple):
    count: Tensor
    x: Tensor
    loss: Tensor
    gradient: Tensor
    rate: Tensor


@dataclass(frozen=True)
class GradientDescent:
    """G := G − η ∂L/∂G.

    Attributes:
        learning_rate: η, in units of x² per unit of loss; with ``backtracking``, its initial value.
        backtracking: Reject a point that is not lower and step back towards the last one. After
            every evaluation η moves, by a factor from 0.1 to 2, towards the minimum of the
            parabola through the last two points.
        sufficient_decrease: c₁ of the Armijo condition.
        bounds: Lower and upper bound of every coordinate, or None.
    """

    learning_rate: float
    backtracking: bool = False
    sufficient_decrease: float = 1e-4
    bounds: Bounds | None = None

    def init(self, x: Tensor) -> GradientDescentState:
        rate = tf.constant(self.learning_rate, x.dtype)
        return GradientDescentState(
            tf.constant(0), x, tf.zeros([], x.dtype), tf.zeros_like(x), rate
        )

    def step(
        self, evaluate: Evaluate, x: Tensor, state: GradientDescentState
    ) -> tuple[Tensor, GradientDescentState, Evaluation]:
        evaluation = evaluate(x)
        state = self._accept_or_reject(x, evaluation, state)
        return project(state.x - state.rate * state.gradient, self.bounds), state, evaluation

    def result(self, x: Tensor, state: GradientDescentState) -> Tensor:
        """See `Optimizer.result`; with ``backtracking`` the last accepted point."""
        return state.x if self.backtracking else x

    def rescale(
        self, x: Tensor, state: GradientDescentState, resize: Callable[[Tensor], Tensor]
    ) -> GradientDescentState:
        """See `Optimizer.rescale`; η carries over."""
        return self.init(x)._replace(rate=state.rate)

    def _accept_or_reject(
        self, x: Tensor, evaluation: Evaluation, state: GradientDescentState
    ) -> GradientDescentState:
        accepted = GradientDescentState(
            state.count + 1, x, evaluation.loss, evaluation.gradient, state.rate
        )
        if not self.backtracking:
            return accepted
        loss, before = evaluation.loss, state.loss
        directional_derivative = inner(state.gradient, x - state.x)
        farther = state.rate * fit_parabola(loss, before, directional_derivative, 0.5, 2.0)
        nearer = state.rate * fit_parabola(loss, before, directional_derivative, 0.1, 0.5)
        first = state.count == 0
        lower = first | is_lower(loss, before, directional_derivative, self.sufficient_decrease)
        accepted = accepted._replace(rate=tf.where(first, state.rate, farther))
        rejected = state._replace(rate=nearer)
        return GradientDescentState(
            *(tf.where(lower, new, old) for new, old in zip(accepted, rejected, strict=True))
        )
