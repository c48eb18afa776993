"""Test functions with a known minimum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.optimizers import Evaluation

BOX = (0.0, 0.5)


@dataclass(frozen=True)
class Landscape:
    """A function, its start, and its minimum without bounds and within `BOX`."""

    name: str
    function: Callable[[Any], Any]
    start: np.ndarray
    minimum: np.ndarray
    bounded: np.ndarray

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


def slant(x: Any) -> Any:
    """Coupled coordinates: at the bound x₀ = ½ the best x₁ is another one."""
    a, b = x[0] - 1.0, x[1] + 0.1
    return tf.square(a) + tf.square(b) + 1.6 * a * b


def logistic(x: Any) -> Any:
    """Sums of softplus: convex, not quadratic; the gradient is 0 at log 3."""
    return tf.reduce_sum(tf.math.softplus(x) - 0.75 * x)


def valley(x: Any) -> Any:
    """A mild form of Rosenbrock's curved valley."""
    return 5.0 * tf.square(x[1] - tf.square(x[0])) + tf.square(1.0 - x[0])


def ridge(x: Any) -> Any:
    """Two wells with a ridge of negative curvature between them."""
    return 0.25 * tf.square(tf.square(x[0]) - 1.0) + tf.square(x[1] - 0.25)


LANDSCAPES = (
    Landscape("bowl", bowl, np.zeros(5), np.ones(5), np.full(5, 0.5)),
    Landscape("ravine", ravine, np.zeros(3), np.full(3, 2.0), np.full(3, 0.5)),
    Landscape("slant", slant, np.zeros(2), np.array([1.0, -0.1]), np.array([0.5, 0.3])),
    Landscape("logistic", logistic, np.zeros(4), np.full(4, np.log(3.0)), np.full(4, 0.5)),
    Landscape("valley", valley, np.array([-0.5, 0.5]), np.ones(2), np.array([0.5, 0.25])),
    Landscape("ridge", ridge, np.array([0.1, 0.0]), np.array([1.0, 0.25]), np.array([0.5, 0.25])),
)
BOWL, RAVINE, SLANT, LOGISTIC, VALLEY, RIDGE = LANDSCAPES
