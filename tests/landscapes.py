"""Functions with a known minimum, for every minimizer to descend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.minimizers import Evaluation


@dataclass(frozen=True)
class Landscape:
    """A function, where to start and where its minimum is."""

    name: str
    function: Callable[[Any], Any]
    start: np.ndarray
    minimum: np.ndarray

    def evaluate(self, x: Any) -> Evaluation:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = self.function(x)
        return Evaluation(loss, tape.gradient(loss, x), {})


def bowl(x: Any) -> Any:
    return tf.reduce_sum(tf.square(x - 1.0))


def ravine(x: Any) -> Any:
    scale = tf.constant([1.0, 10.0, 30.0], x.dtype)
    return tf.reduce_sum(scale * tf.square(x - 2.0))


def logistic(x: Any) -> Any:
    """Softplus sums: convex, not quadratic, its minimum at log 3 by setting the slope to 0."""
    return tf.reduce_sum(tf.math.softplus(x) - 0.75 * x)


def valley(x: Any) -> Any:
    """A mild form of Rosenbrock's curved valley."""
    return 5.0 * tf.square(x[1] - tf.square(x[0])) + tf.square(1.0 - x[0])


LANDSCAPES = (
    Landscape("bowl", bowl, np.zeros(5), np.ones(5)),
    Landscape("ravine", ravine, np.zeros(3), np.full(3, 2.0)),
    Landscape("logistic", logistic, np.zeros(4), np.full(4, np.log(3.0))),
    Landscape("valley", valley, np.array([-0.5, 0.5]), np.ones(2)),
)
