"""Views of a picture: the centred square, mirrored and cropped, always in the same ways.

A view is a square of ``size`` pixels. The largest centred square of the picture is sampled
bilinearly at k × ``size``; a closer view samples it 8/7 times as finely and takes a window of
k × ``size`` samples. Along each axis a pixel of the view is twice the mean of its own k samples
less the mean of the 2·k samples round it. That is an antialiased resize made of operations that
TFLite and ONNX know, and it leaves a picture of the view's own size as it is, where the mean
alone would blur it.

`nstk.finetuning.networks` builds this from Keras's layers, for the classifier that is delivered.
Here the same is done faster: all of it is linear along rows and along columns, so each pixel of a
view is a weighted sum of a few rows and columns of the picture. A test holds the two together.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nstk.media.pictures import Picture

Squares = npt.NDArray[np.float32]

# 3 × 224: beyond it more samples cost time and hardly change the features, even of large photos.
_SAMPLES = 672
_CLOSER = 8 / 7


@dataclass(frozen=True)
class View:
    """One way to look at the largest centred square of a picture.

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
        side: Samples along the side of the largest centred square.
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
    """Say which samples of the largest centred square are a view of ``size`` pixels."""
    factor = 2 * max(1, -(-_SAMPLES // (2 * size)))
    side = round(factor * size * (_CLOSER if view.closer else 1))
    rest = side - factor * size
    return Sampling(size, factor, side, round(rest * view.row), round(rest * view.column))


def take_views(picture: Picture, size: int, views: tuple[View, ...]) -> Squares:
    """Cut the views out of a picture.

    Args:
        picture: ``(height, width, 3)`` in ``[0, 1]``.
        size: Side of a view in pixels.
        views: Which ones.

    Returns:
        float32 ``(len(views), size, size, 3)`` in ``[0, 1]``.
    """
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    return np.stack([_take(square, plan_sampling(view, size), view.flipped) for view in views])


def _take(square: Picture, sampling: Sampling, flipped: bool) -> Squares:
    rows, row_weights = _average(len(square), sampling, sampling.top)
    columns, column_weights = _average(len(square), sampling, sampling.left)
    # Whole grey levels: a file and the uint8 array of the same picture get the same score.
    levels = np.rint(square * np.float32(255))
    seen = np.zeros((sampling.size, len(square), 3), np.float32)
    for row, weight in zip(rows, row_weights, strict=True):
        seen += weight[:, np.newaxis, np.newaxis] * levels[row]
    view = np.zeros((sampling.size, sampling.size, 3), np.float32)
    for column, weight in zip(columns, column_weights, strict=True):
        view += weight[:, np.newaxis] * seen[:, column]
    view /= np.float32(255)
    return view[:, ::-1] if flipped else view


@lru_cache(maxsize=64)
def _average(
    side: int, sampling: Sampling, start: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Which pixels along one axis are in the view, and their weights in each of its pixels.

    Sample s lies at (s + ½)·side / samples − ½ between two pixels, as in every bilinear resize
    with half-pixel centres; beyond the border the outermost pixel counts.

    Returns:
        Positions ``(t, size)`` of the t pixels, few, that each pixel of the view is made of, and
        their weights ``(t, size)``.
    """
    samples = np.arange(sampling.window)
    place = (start + samples + 0.5) * side / sampling.side - 0.5
    before = np.floor(place).astype(int)
    share = place - before
    bilinear = np.zeros((sampling.window, side))
    np.add.at(bilinear, (samples, np.clip(before, 0, side - 1)), 1 - share)
    np.add.at(bilinear, (samples, np.clip(before + 1, 0, side - 1)), share)
    seen = np.flatnonzero(bilinear.any(axis=0))
    sums = np.vstack([np.zeros(len(seen)), np.cumsum(bilinear[:, seen], axis=0)])
    first = np.arange(0, sampling.window, sampling.factor)
    last = first + sampling.factor
    wide_first = np.maximum(first - sampling.factor // 2, 0)
    wide_last = np.minimum(last + sampling.factor // 2, sampling.window)
    narrow = (sums[last] - sums[first]) / sampling.factor
    wide = (sums[wide_last] - sums[wide_first]) / (wide_last - wide_first)[:, np.newaxis]
    weights = 2 * narrow - wide
    # Products of matrices would start threads of their own in each of the threads that decode.
    taps = int((weights != 0).sum(axis=1).max())
    places = np.argsort(weights == 0, axis=1, kind="stable")[:, :taps]
    chosen = np.take_along_axis(weights, places, axis=1)
    return seen[places].T, np.ascontiguousarray(chosen.T, np.float32)
