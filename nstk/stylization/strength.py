"""Strength: one parameter that balances content against style."""

import math
from collections.abc import Callable

from nstk.progress import Progress, Reporter, no_progress

RANGE = 4.0
"""Orders of magnitude of α between strength 0 and strength 1."""

REFERENCE_SIZE = 512
"""Longer side in pixels at which α has the value of the settings."""

TRIALS = 7
TOLERANCE = 0.004
"""Difference of content similarities at which the search stops."""


def content_weight_at(strength: float, content_weight: float, longer_side: int) -> float:
    """α·10^(2 − 4·strength)·√(longer side / 512).

    A hundred times α at strength 0, α itself at 0.5, a hundredth at 1. Losses are relative, so a
    strength means the same for every style. Without the root, quality metrics rate small images
    nearer to their content than large ones of the same strength.

    Args:
        strength: In ``[0, 1]``.
        content_weight: α at strength 0.5 and 512 pixels.
        longer_side: Longer side of the image at the current scale, in pixels.
    """
    size = math.sqrt(longer_side / REFERENCE_SIZE)
    return float(content_weight * 10 ** (RANGE * (0.5 - strength)) * size)


def search_strength(
    measure: Callable[[float], float], target: float, on_progress: Reporter = no_progress
) -> float:
    """Find the strength whose result has a given content similarity, by bisection.

    Args:
        measure: Returns the content similarity of a small result at a strength; it falls as the
            strength grows.
        target: The content similarity.
        on_progress: Called after every trial.

    Returns:
        The strength, 0 or 1 if the target lies beyond them.
    """
    low, high = 0.0, 1.0
    on_progress(Progress(stage="strength", step=0, total=TRIALS))
    for trial in range(1, TRIALS + 1):
        strength = (low + high) / 2
        similarity = measure(strength)
        on_progress(Progress(stage="strength", step=trial, total=TRIALS))
        if abs(similarity - target) <= TOLERANCE:
            return strength
        low, high = (strength, high) if similarity > target else (low, strength)
    # An end that was never moved means that the target lies at or beyond it.
    return 1.0 if high == 1.0 else 0.0 if low == 0.0 else (low + high) / 2
