"""Gradient descent, the rule the whole field starts from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from nstk.minimizers.protocol import Bounds, Evaluate, Evaluation, project


class Progressing(NamedTuple):
    """The state of gradient descent.

    Attributes:
        count: Steps taken, int32.
    """

    count: Any


@dataclass(frozen=True)
class GradientDescent:
    """G := G − η ∂L/∂G.

    Attributes:
        learning_rate: η.
        bounds: The box that x stays in, or None.
    """

    learning_rate: float
    bounds: Bounds | None = None

    def init(self, x: Any) -> Progressing:
        """See `Minimizer.init`."""
        return Progressing(tf.constant(0))

    def step(
        self, evaluate: Evaluate, x: Any, state: Progressing
    ) -> tuple[Any, Progressing, Evaluation]:
        """See `Minimizer.step`."""
        evaluation = evaluate(x)
        x = project(x - self.learning_rate * evaluation.gradient, self.bounds)
        return x, Progressing(state.count + 1), evaluation

    def result(self, x: Any, state: Progressing) -> Any:
        """See `Minimizer.result`."""
        return x

    def rescale(self, x: Any, state: Progressing, resize: Callable[[Any], Any]) -> Progressing:
        """See `Minimizer.rescale`."""
        return state
