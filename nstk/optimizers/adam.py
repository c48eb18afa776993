"""Adam (Kingma and Ba 2015)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from nstk.optimizers.bounds import Bounds, project
from nstk.optimizers.protocol import Evaluate, Evaluation


class Moments(NamedTuple):
    """The state of Adam.

    Attributes:
        count: t, the steps taken, as a scalar of x's dtype.
        first: m_t, the running mean of the gradient.
        second: v_t, the running mean of its square.
    """

    count: Any
    first: Any
    second: Any


def update(
    gradient: Any, state: Moments, rate: float, beta1: float, beta2: float, epsilon: float
) -> tuple[Any, Moments]:
    """One update of Adam, Algorithm 1 of the paper; returns the change of x and the state."""
    t = state.count + 1
    m = beta1 * state.first + (1 - beta1) * gradient
    v = beta2 * state.second + (1 - beta2) * tf.square(gradient)
    m_hat = m / (1 - beta1**t)  # both means start at 0: undo the pull towards it
    v_hat = v / (1 - beta2**t)
    return -rate * m_hat / (tf.sqrt(v_hat) + epsilon), Moments(t, m, v)


@dataclass(frozen=True)
class Adam:
    """A step of about ``learning_rate`` in every coordinate, whatever the gradient's size.

    β₂ is 0.99, not the paper's 0.999: a descent here lasts a few hundred steps, so a memory of
    a thousand would never fill.

    Attributes:
        learning_rate: α of the paper, in units of x.
        beta1: β₁, memory of the first moment.
        beta2: β₂, memory of the second moment.
        epsilon: ε. Images have gradients of 1e-6 and less, so it is far below the paper's 1e-8.
        bounds: The box that x stays in, or None.
    """

    learning_rate: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-12
    bounds: Bounds | None = None

    def init(self, x: Any) -> Moments:
        """See `Optimizer.init`."""
        return Moments(tf.zeros([], x.dtype), tf.zeros_like(x), tf.zeros_like(x))

    def step(self, evaluate: Evaluate, x: Any, state: Moments) -> tuple[Any, Moments, Evaluation]:
        """See `Optimizer.step`."""
        evaluation = evaluate(x)
        change, state = update(
            evaluation.gradient, state, self.learning_rate, self.beta1, self.beta2, self.epsilon
        )
        return project(x + change, self.bounds), state, evaluation

    def result(self, x: Any, state: Moments) -> Any:
        """See `Optimizer.result`."""
        return x

    def rescale(self, x: Any, state: Moments, resize: Callable[[Any], Any]) -> Moments:
        """See `Optimizer.rescale`."""
        return Moments(state.count, resize(state.first), tf.nn.relu(resize(state.second)))
