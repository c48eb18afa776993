"""Adam (Kingma and Ba 2015), and the averaging of its iterates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from nstk.optimizers.protocol import Bounds, Evaluate, Evaluation, Optimizer, project
from nstk.types import OptimizerState, Tensor


class AdamState(NamedTuple):
    count: Tensor
    first: Tensor
    second: Tensor


def update(
    gradient: Tensor, state: AdamState, rate: float, beta1: float, beta2: float, epsilon: float
) -> tuple[Tensor, AdamState]:
    """Return the change of x and the next state: Algorithm 1 of the paper."""
    t = state.count + 1
    m = beta1 * state.first + (1 - beta1) * gradient
    v = beta2 * state.second + (1 - beta2) * tf.square(gradient)
    m_hat = m / (1 - beta1**t)  # corrects the bias of means that start at 0
    v_hat = v / (1 - beta2**t)
    return -rate * m_hat / (tf.sqrt(v_hat) + epsilon), AdamState(t, m, v)


@dataclass(frozen=True)
class Adam:
    """A step of about ``learning_rate`` in every coordinate, for gradients of any size.

    β₂ is 0.99 instead of the paper's 0.999: with a few hundred steps, a memory of a thousand would
    never fill.

    Attributes:
        learning_rate: α of the paper, in units of x.
        beta1: β₁, decay of the first moment.
        beta2: β₂, decay of the second moment.
        epsilon: ε. Images have gradients of 1e-6 and less, so it is far below the paper's 1e-8.
        bounds: Lower and upper bound of every coordinate, or None.
    """

    learning_rate: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-12
    bounds: Bounds | None = None

    def init(self, x: Tensor) -> AdamState:
        return AdamState(tf.zeros([], x.dtype), tf.zeros_like(x), tf.zeros_like(x))

    def step(
        self, evaluate: Evaluate, x: Tensor, state: AdamState
    ) -> tuple[Tensor, AdamState, Evaluation]:
        evaluation = evaluate(x)
        change, state = update(
            evaluation.gradient, state, self.learning_rate, self.beta1, self.beta2, self.epsilon
        )
        return project(x + change, self.bounds), state, evaluation

    def result(self, x: Tensor, state: AdamState) -> Tensor:
        return x

    def rescale(self, x: Tensor, state: AdamState, resize: Callable[[Tensor], Tensor]) -> AdamState:
        return AdamState(state.count, resize(state.first), tf.nn.relu(resize(state.second)))


class AveragingState(NamedTuple):
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
        return AveragingState(self.optimizer.init(x), tf.zeros_like(x), tf.zeros([], x.dtype))

    def step(
        self, evaluate: Evaluate, x: Tensor, state: AveragingState
    ) -> tuple[Tensor, AveragingState, Evaluation]:
        x, inner, evaluation = self.optimizer.step(evaluate, x, state.inner)
        result = self.optimizer.result(x, inner)
        total = self.decay * state.total + (1 - self.decay) * result
        weight = self.decay * state.weight + (1 - self.decay)
        return x, AveragingState(inner, total, weight), evaluation

    def result(self, x: Tensor, state: AveragingState) -> Tensor:
        return tf.where(state.weight > 0, tf.math.divide_no_nan(state.total, state.weight), x)

    def rescale(
        self, x: Tensor, state: AveragingState, resize: Callable[[Tensor], Tensor]
    ) -> AveragingState:
        """See `Optimizer.rescale`; the average restarts, since ``x`` already is the old one."""
        inner = self.optimizer.rescale(x, state.inner, resize)
        return AveragingState(inner, tf.zeros_like(x), tf.zeros([], x.dtype))
