"""Adam (Kingma and Ba 2015)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from nstk.optimizers.protocol import Bounds, Evaluate, Evaluation, project
from nstk.types import Tensor


class AdamState(NamedTuple):
    """The state of Adam.

    Attributes:
        count: t, the steps taken, as a scalar of x's dtype.
        first: m_t, the running mean of the gradient.
        second: v_t, the running mean of its square.
    """

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
        """See `Optimizer.init`."""
        return AdamState(tf.zeros([], x.dtype), tf.zeros_like(x), tf.zeros_like(x))

    def step(
        self, evaluate: Evaluate, x: Tensor, state: AdamState
    ) -> tuple[Tensor, AdamState, Evaluation]:
        """See `Optimizer.step`."""
        evaluation = evaluate(x)
        change, state = update(
            evaluation.gradient, state, self.learning_rate, self.beta1, self.beta2, self.epsilon
        )
        return project(x + change, self.bounds), state, evaluation

    def result(self, x: Tensor, state: AdamState) -> Tensor:
        """See `Optimizer.result`."""
        return x

    def rescale(self, x: Tensor, state: AdamState, resize: Callable[[Tensor], Tensor]) -> AdamState:
        """See `Optimizer.rescale`."""
        return AdamState(state.count, resize(state.first), tf.nn.relu(resize(state.second)))
