"""Motion between frames: optical flow, warping, and where both can be trusted.

The formulas are those of Ruder, Dosovitskiy and Brox, "Artistic Style Transfer for Videos" (2016).
A flow ``(height, width, 2)`` holds, for every pixel of one frame, how far right and down its place
in the other frame lies.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nstk.images.image import Image, Levels, Plane
from nstk.video.extras import Module, import_cv2

Flow = npt.NDArray[np.float32]
"""Displacements in pixels, ``(height, width, 2)``: x, then y."""

BLUR = 0.8
"""Standard deviation in pixels by which a reliability map is smoothed (artistic-videos)."""

LARGEST_CHANGE = 0.1
"""Without optical flow, a pixel whose luma changes by more than this may belong to a new scene."""


LEAST_SIDE = 32
"""Shortest side in pixels that DIS is given; it reads beyond the border of some smaller images."""


LEAST_RELIABILITY = 0.05
"""Free pixels would take all the strokes that the others, which are held, lack."""


class Warped(NamedTuple):
    """An earlier result where its content is now, and how far each pixel can be trusted."""

    image: Image
    reliability: Plane


def to_unit(levels: Levels) -> Image:
    """Whole gray levels as an image in ``[0, 1]``."""
    image: Image = np.divide(levels, 255, dtype=np.float32)
    return image


def compute_flow(levels: Levels, other: Levels) -> Flow:
    """The flow from one frame to another (DIS; Kroeger et al. 2016)."""
    cv2 = import_cv2()
    height, width = levels.shape[:2]
    pad = [(0, max(LEAST_SIDE - side, 0)) for side in (height, width)]
    grays = [
        np.pad(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), pad, "edge") for each in (levels, other)
    ]
    flow: Flow = _make_estimator(cv2).calc(*grays, None)
    return np.ascontiguousarray(flow[:height, :width])


@cache
def _make_estimator(cv2: Module) -> Module:
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def warp(image: Image, flow: Flow, *, cubic: bool = False) -> Image:
    """Take each pixel from where the flow points, bilinearly or by cubics; borders continue.

    Cubics keep strokes sharp where a result is moved again and again.
    """
    cv2 = import_cv2()
    kind = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    warped: Image = cv2.remap(
        np.ascontiguousarray(image), *_positions(flow), kind, None, cv2.BORDER_REPLICATE
    )
    return warped


def find_disocclusions(backward: Flow, forward: Flow) -> npt.NDArray[np.bool_]:
    """Pixels that the other frame does not show: |ŵ + w̃|² ≥ 0.01·(|ŵ|² + |w̃|²) + 0.5.

    ŵ is the flow to the other frame, w̃ the flow back, taken where ŵ points.
    """
    back = warp(forward, backward)
    return _squared(backward + back) >= 0.01 * (_squared(backward) + _squared(back)) + 0.5


def find_boundaries(backward: Flow) -> npt.NDArray[np.bool_]:
    """Pixels where motion changes: |∇û|² + |∇v̂|² > 0.01·|ŵ|² + 0.002."""
    gradients = [np.gradient(backward, axis=axis) for axis in (0, 1)]
    changing: npt.NDArray[np.bool_] = (
        _squared(gradients[0]) + _squared(gradients[1]) > 0.01 * _squared(backward) + 0.002
    )
    return changing


def find_outside(flow: Flow) -> npt.NDArray[np.bool_]:
    """Pixels whose place in the other frame lies outside of it."""
    height, width = flow.shape[:2]
    x, y = _positions(flow)
    outside: npt.NDArray[np.bool_] = (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1)
    return outside


def measure_reliability(backward: Flow, forward: Flow) -> Plane:
    """1 where the flow can be trusted, 0 at disocclusions, motion boundaries and outside.

    Disocclusions count −1 before the map is smoothed, so that they grow; so does the outside.
    """
    cv2 = import_cv2()
    certain = np.where(find_boundaries(backward), np.float32(0), np.float32(1))
    hidden = find_disocclusions(backward, forward) | find_outside(backward)
    certain = np.where(hidden, np.float32(-1), certain)
    smooth: Plane = np.clip(cv2.GaussianBlur(certain, (0, 0), BLUR), 0, 1)
    return smooth


def prefer_nearest(maps: Sequence[Plane]) -> list[Plane]:
    """c_long of each frame looked back at: what nearer frames leave, max(c − Σ nearer c, 0)."""
    left: list[Plane] = []
    for reliability in maps:
        taken = np.sum(left, axis=0) if left else 0
        left.append(np.maximum(reliability - taken, 0).astype(np.float32))
    return left


def combine(warped: Sequence[Warped]) -> Warped:
    """One target for several: Σ c_k (x − t_k)² is C·(x − T)² and a constant.

    C is Σ c_k and T the mean of the t_k with weights c_k; T is t_1 where all c_k are 0.
    """
    weights = prefer_nearest([each.reliability for each in warped])
    total = np.sum(weights, axis=0)
    mean = sum(
        weight[..., np.newaxis] * each.image for weight, each in zip(weights, warped, strict=True)
    )
    known = (total > 0)[..., np.newaxis]
    image = np.where(known, mean / np.maximum(total, 1e-6)[..., np.newaxis], warped[0].image)
    return Warped(image.astype(np.float32), total.astype(np.float32))


def follow_flow(levels: Levels, earlier: Levels, result: Image) -> Warped:
    """The result of an earlier frame, moved by the optical flow to where its content is now."""
    backward, forward = compute_flow(levels, earlier), compute_flow(earlier, levels)
    reliability = np.maximum(measure_reliability(backward, forward), LEAST_RELIABILITY)
    return Warped(np.clip(warp(result, backward, cubic=True), 0, 1), reliability)


def follow_difference(levels: Levels, earlier: Levels, result: Image) -> Warped:
    """The result of an earlier frame, changed as its content has changed, without any flow."""
    change = (levels.astype(np.float32) - earlier) / 255
    return Warped(np.clip(result + change, 0, 1), np.ones(levels.shape[:2], np.float32))


def share_changed(levels: Levels, earlier: Levels) -> float:
    """The share of pixels whose luma changed a lot, which reveals cuts without optical flow."""
    luma = (levels.astype(np.float32) - earlier).mean(axis=-1) / 255
    return float((np.abs(luma) > LARGEST_CHANGE).mean())


def _positions(flow: Flow) -> tuple[Plane, Plane]:
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return columns + flow[..., 0], rows + flow[..., 1]


def _squared(flow: Flow) -> Plane:
    squared: Plane = np.square(flow).sum(axis=-1)
    return squared
