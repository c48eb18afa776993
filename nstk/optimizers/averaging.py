"""Averaging of iterates: the mean of where a descent has been is better than where it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from nstk.optimizers.protocol import Evaluate, Evaluation, Optimizer


class Averaging(NamedTuple):
    """The state of an averaged descent.

    Attributes:
        inner: The state of the optimizer inside.
        total: Σ decay^(t−i)·(1 − decay)·x_i, where x_i is the inner result after step i.
        weight: Σ decay^(t−i)·(1 − decay), which tends to 1.
    """

    inner: Any
    total: Any
    weight: Any


@dataclass(frozen=True)
class Averaged:
    """Run ``optimizer`` and keep the exponential moving average of its results.

    It smooths the path of `Adam`, whose last point is no better than many before it. `LBFGS`,
    `Newton` and backtracking `GradientDescent` keep their best point themselves: their average
    lags behind it.

    Attributes:
        optimizer: The optimizer whose results are averaged; it never sees the average.
        decay: Memory of the average; 0.99 remembers about a hundred steps.
    """

    optimizer: Optimizer
    decay: float = 0.99

    def init(self, x: Any) -> Averaging:
        """See `Optimizer.init`."""
        return Averaging(self.optimizer.init(x), tf.zeros_like(x), tf.zeros([], x.dtype))

    def step(
        self, evaluate: Evaluate, x: Any, state: Averaging
    ) -> tuple[Any, Averaging, Evaluation]:
        """See `Optimizer.step`."""
        x, inner, evaluation = self.optimizer.step(evaluate, x, state.inner)
        kept = self.optimizer.result(x, inner)
        total = self.decay * state.total + (1 - self.decay) * kept
        weight = self.decay * state.weight + (1 - self.decay)
        return x, Averaging(inner, total, weight), evaluation

    def result(self, x: Any, state: Averaging) -> Any:
        """See `Optimizer.result`."""
        return tf.where(state.weight > 0, tf.math.divide_no_nan(state.total, state.weight), x)

    def rescale(self, x: Any, state: Averaging, resize: Callable[[Any], Any]) -> Averaging:
        """See `Optimizer.rescale`; the average starts anew, since ``x`` already is the old one."""
        inner = self.optimizer.rescale(x, state.inner, resize)
        return Averaging(inner, tf.zeros_like(x), tf.zeros([], x.dtype))
