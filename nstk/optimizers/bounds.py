"""The box that a descent may be kept in."""

from typing import Any

import tensorflow as tf

Bounds = tuple[float, float]
"""The box ``[low, high]`` that every coordinate stays in."""


def project(x: Any, bounds: Bounds | None) -> Any:
    """The point of the box nearest to ``x``."""
    return x if bounds is None else tf.clip_by_value(x, *bounds)


def free_variables(x: Any, gradient: Any, bounds: Bounds | None) -> Any:
    """1 where a coordinate may move downhill, 0 where a wall of the box is in its way.

    Curvature mixes coordinates. A direction made from all of them spends its steps pushing
    against the walls; one made from the free coordinates alone stays a descent when it is
    projected into the box (Bertsekas 1982).
    """
    if bounds is None:
        return tf.ones_like(x)
    low, high = bounds
    stuck = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
    return tf.where(stuck, tf.zeros_like(x), tf.ones_like(x))
