"""Views of an image: the centered square, mirrored and cropped, always in the same ways.

A view is a square of ``size`` pixels. The largest centered square of the image is sampled
bilinearly at k × ``size``; a closer view samples it 8/7 times as finely and takes a window of
k × ``size`` samples. Along each axis a pixel of the view is twice the mean of its own k samples
less the mean of the 2·k samples round it. That is an antialiased resize made of operations that
TFLite and ONNX know, and it leaves an image of the view's own size as it is, where the mean
alone would blur it.

`nstk.features.networks` builds this from Keras's layers, for the classifier that is delivered.
Here the same is done faster: all of it is linear along rows and along columns, so each pixel of a
view is a weighted sum of a few rows and columns of the image. A test holds the two together.
"""

import math
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.images.image import Image

Squares = npt.NDArray[np.float32]

# 3 × 224: beyond it more samples cost time and hardly change the features, even of large photos.
_SAMPLES = 672
_CLOSER = 8 / 7

# 8 MiB: the squares of all but very large photos.
_LARGEST_KEPT = 2**21


@dataclass(frozen=True)
class View:
    """One way to look at the largest centered square of an image.

    Attributes:
        row: Where a closer view's window lies from top, 0, to bottom, 1.
        column: The same from left to right.
        closer: Whether the view is a window of 7/8 of the square's side, or all of it.
        flipped: Whether left and right change places.
    """

    row: float = 0.5
    column: float = 0.5
    closer: bool = False
    flipped: bool = False


VIEWS = (
    View(),
    View(flipped=True),
    View(closer=True),
    View(closer=True, flipped=True),
    View(0.0, 0.0, closer=True),
    View(1.0, 1.0, closer=True, flipped=True),
    View(0.0, 1.0, closer=True, flipped=True),
    View(1.0, 0.0, closer=True),
)
"""The views there are, in the order in which they are used."""


@dataclass(frozen=True)
class Sampling:
    """How finely a view of ``size`` pixels is sampled.

    Attributes:
        size: Side of the view in pixels.
        factor: k, samples per pixel along one axis; even.
        side: Samples along the side of the largest centered square.
        top: First row of samples in the view.
        left: First column of samples in the view.
    """

    size: int
    factor: int
    side: int
    top: int
    left: int

    @property
    def window(self) -> int:
        """Samples along the side of the view."""
        return self.size * self.factor


def plan_sampling(view: View, size: int) -> Sampling:
    """Say which samples of the largest centered square are a view of ``size`` pixels."""
    factor = 2 * max(1, -(-_SAMPLES // (2 * size)))
    side = round(factor * size * (_CLOSER if view.closer else 1))
    rest = side - factor * size
    return Sampling(size, factor, side, round(rest * view.row), round(rest * view.column))


def crop_views(image: Image, size: int, views: tuple[View, ...]) -> Squares:
    """Cut the views out of an image.

    Args:
        image: ``(height, width, 3)`` in ``[0, 1]``.
        size: Side of a view in pixels.
        views: Which ones.

    Returns:
        float32 ``(len(views), size, size, 3)`` in ``[0, 1]``.
    """
    # Whole gray levels: a file and the uint8 array of the same image get the same score.
    return cut_views(np.rint(_center(image) * np.float32(255)), size, views)


def cut_views(
    levels: npt.NDArray[Any], size: int, views: tuple[View, ...], *, out: Squares | None = None
) -> Squares:
    """Cut the views out of an image in whole gray levels.

    Args:
        levels: ``(height, width, 3)``, whole numbers 0 to 255 of any type.
        size: Side of a view in pixels.
        views: Which ones.
        out: Where to; None makes a new array.

    Returns:
        float32 ``(len(views), size, size, 3)`` in ``[0, 1]``.
    """
    center = _center(levels)
    whole = _workspace.lend("whole", center.shape)
    whole[...] = center
    squares = np.empty((len(views), size, size, 3), np.float32) if out is None else out
    for view, square in zip(views, squares, strict=True):
        seen = _take(whole, plan_sampling(view, size))
        upright = (seen[::-1] if view.flipped else seen).swapaxes(0, 1)
        for channel in range(3):
            np.divide(upright[..., channel], np.float32(255), out=square[..., channel])
    return squares


def _center(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The largest centered square."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _take(square: Squares, sampling: Sampling) -> Squares:
    """Cut one view, columns and rows in each other's place."""
    side, size = len(square), sampling.size
    rows = _workspace.lend("rows", (size, side, 3))
    _sum(square, *_average(side, sampling, sampling.top), out=rows)
    # Plane by plane, which takes half the time of pixel by pixel.
    turned = _workspace.lend("turned", (side, size, 3))
    for channel in range(3):
        turned[..., channel] = rows[..., channel].T
    columns = _workspace.lend("columns", (size, size, 3))
    _sum(turned, *_average(side, sampling, sampling.left), out=columns)
    return columns


def _sum(
    lines: Squares,
    places: npt.NDArray[np.intp],
    weights: npt.NDArray[np.float32],
    *,
    out: Squares,
) -> None:
    """Weighted sums of a few lines each; lines lie in one piece, so that this is fast."""
    np.take(lines, places[0], axis=0, out=out, mode="clip")
    out *= weights[0, :, np.newaxis, np.newaxis]
    chosen = _workspace.lend("chosen", out.shape)
    for place, weight in zip(places[1:], weights[1:], strict=True):
        np.take(lines, place, axis=0, out=chosen, mode="clip")
        chosen *= weight[:, np.newaxis, np.newaxis]
        out += chosen


class _Workspace(threading.local):
    """Arrays that stay with their thread: fresh memory costs twice the time of the sums in it."""

    def __init__(self) -> None:
        self._kept: dict[str, Squares] = {}

    def lend(self, name: str, shape: tuple[int, ...]) -> Squares:
        """An array of any content, until the same name is asked for again."""
        size = math.prod(shape)
        if size > _LARGEST_KEPT:
            return np.empty(shape, np.float32)
        kept = self._kept.get(name)
        if kept is None or kept.size < size:
            kept = self._kept[name] = np.empty(size, np.float32)
        return kept[:size].reshape(shape)


_workspace = _Workspace()


@lru_cache(maxsize=128)
def _average(
    side: int, sampling: Sampling, start: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Which pixels along one axis are in the view, and their weights in each of its pixels.

    Sample s lies at (s + ½)·side / samples − ½ between two pixels, as in every bilinear resize
    with half-pixel centers; beyond the border the outermost pixel counts.

    Returns:
        Positions ``(t, size)`` of the t pixels, few, that each pixel of the view is made of, and
        their weights ``(t, size)``.
    """
    half, factor = sampling.factor // 2, sampling.factor
    pixels = np.arange(sampling.size)[:, np.newaxis]
    samples = pixels * factor + np.arange(-half, factor + half)
    inside = (samples >= 0) & (samples < sampling.window)
    near = (samples >= pixels * factor) & (samples < (pixels + 1) * factor)
    shares = 2 * near / factor - inside / inside.sum(axis=1, keepdims=True)
    # In single precision and in this order, as TensorFlow does it: in large images places are
    # rounded visibly, and both are to round alike.
    step = np.float32(side) / np.float32(sampling.side)
    numbers = (start + np.clip(samples, 0, sampling.window - 1)).astype(np.float32)
    place = (numbers + np.float32(0.5)) * step - np.float32(0.5)
    before = np.floor(place)
    after_share = (place - before) * shares
    ends = [np.clip(before.astype(int) + each, 0, side - 1) for each in (0, 1)]
    first = ends[0].min(axis=1, keepdims=True)
    taps = int((ends[1] - first).max()) + 1
    weights = np.zeros((sampling.size, taps))
    np.add.at(weights, (pixels, ends[0] - first), shares - after_share)
    np.add.at(weights, (pixels, ends[1] - first), after_share)
    return (first + np.arange(taps)).T, np.ascontiguousarray(weights.T, np.float32)
