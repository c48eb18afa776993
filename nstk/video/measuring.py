"""The warping error of clips (Lai et al. 2018, "Learning Blind Video Temporal Consistency")."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nstk.images.image import Levels
from nstk.video.motion import (
    Flow,
    compute_flow,
    find_boundaries,
    find_disocclusions,
    find_outside,
    to_unit,
    warp,
)
from nstk.video.result import Stability


class Motion(NamedTuple):
    """The flow from one frame to the one before it, and the pixels that both show."""

    backward: Flow
    visible: npt.NDArray[np.bool_]


def find_motion(levels: Levels, earlier: Levels) -> Motion:
    """The motion between two frames of the content, by optical flow (DIS)."""
    backward, forward = compute_flow(levels, earlier), compute_flow(earlier, levels)
    hidden = find_disocclusions(backward, forward) | find_outside(backward)
    return Motion(backward, ~(hidden | find_boundaries(backward)))


def warping_error(levels: Levels, earlier: Levels, motion: Motion) -> float:
    """E_warp of two frames: Σ M·(O_t − warp(O_{t−1}))² / ΣM, of values in ``[0, 1]``.

    M holds the pixels that both frames show; the motion is that of the content. Frames that show
    nothing in common count 0.
    """
    moved = warp(to_unit(earlier), motion.backward)
    squared = np.square(to_unit(levels) - moved).mean(axis=-1)
    return float(squared[motion.visible].mean()) if motion.visible.any() else 0.0


def measure_stability(results: Iterable[Levels], contents: Iterable[Levels]) -> Stability:
    """The warping errors of a clip and of its content, frame by frame, by the content's motion."""
    errors: list[list[float]] = []
    for (before, after), (old, new) in zip(pairwise(results), pairwise(contents), strict=False):
        motion = find_motion(new, old)
        pairs = (after, before), (new, old)
        errors.append([warping_error(*pair, motion) for pair in pairs])
    return Stability(*zip(*errors, strict=True))
