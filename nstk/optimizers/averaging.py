"""Averaging of iterates: the mean of recent points is better than the last one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from nstk.optimizers.protocol import Evaluate, Evaluation, Optimizer
from nstk.types import OptimizerState, Tensor


class AveragingState(NamedTuple):
    """The state of an averaged optimizer.

    Attributes:
        inner: The state of the optimizer inside.
        total: Σ decay^(t−i)·(1 − decay)·x_i, where x_i is the inner result after step i.
        weight: Σ decay^(t−i)·(1 − decay), which tends to 1.
    """

    inner: OptimizerState
    total: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Averaged:
    """Run an optimizer and return the exponential moving average of its results.

    Averaging smooths the path of `Adam`, whose last point is not better than many before it.
    `LBFGS`, `Newton` and backtracking `GradientDescent` return their best point, and an average
    lags behind it.

    Attributes:
        optimizer: The optimizer whose results are averaged; the average does not affect it.
        decay: Decay of the average; 0.99 averages over about a hundred steps.
    """

    optimizer: Optimizer
    decay: float = 0.99

    def init(self, x: Tensor) -> AveragingState:
        """See `Optimizer.init`."""
        return AveragingState(self.optimizer.init(x), tf.zeros_like(x), tf.zeros([], x.dtype))

    def step(
        self, evaluate: Evaluate, x: Tensor, state: AveragingState
    ) -> tuple[Tensor, AveragingState, Evaluation]:
        """See `Optimizer.step`."""
        x, inner, evaluation = self.optimizer.step(evaluate, x, state.inner)
        result = self.optimizer.result(x, inner)
        total = self.decay * state.total + (1 - self.decay) * result
        weight = self.decay * state.weight + (1 - self.decay)
        return x, AveragingState(inner, total, weight), evaluation

    def result(self, x: Tensor, state: AveragingState) -> Tensor:
        """See `Optimizer.result`."""
        return tf.where(state.weight > 0, tf.math.divide_no_nan(state.total, state.weight), x)

    def rescale(
        self, x: Tensor, state: AveragingState, resize: Callable[[Tensor], Tensor]
    ) -> AveragingState:
        """See `Optimizer.rescale`; the average restarts, since ``x`` already is the old one."""
        inner = self.optimizer.rescale(x, state.inner, resize)
        return AveragingState(inner, tf.zeros_like(x), tf.zeros([], x.dtype))
