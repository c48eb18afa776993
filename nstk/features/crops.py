"""Crops of an image: the largest centered square, mirrored and zoomed, always in the same ways.

A crop has ``size`` × ``size`` pixels. The largest centered square of the image is sampled
bilinearly at k × ``size``; a zoomed crop samples it 8/7 times as finely and takes k × ``size`` of
the samples. Along each axis a pixel of the crop is twice the mean of its own k samples less the
mean of the 2·k samples around it. This is an antialiased resize made of operations that TFLite and
ONNX support, and it leaves an image of the crop's own size unchanged, where the mean alone would
blur it.

`nstk.features.networks` builds the same from Keras layers, for the classifier that is saved. The
code here is faster: all of it is linear along rows and along columns, so each pixel of a crop is a
weighted sum of a few rows and columns of the image. A test compares the two.
"""

import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.errors import ImageError
from nstk.images.decoding import identify
from nstk.images.image import Image
from nstk.types import Array

CropArray = npt.NDArray[np.float32]

# 3 × 224: more samples cost time and hardly change the features, even of large photos.
_SAMPLES = 672
_ZOOM = 8 / 7

# 8 MiB: enough for the square of all but very large photos.
_MAX_WORKSPACE = 2**21

_MAX_MAGNIFICATION = 2.5
_SMALL_IMAGE_RATIO = 5 / 7
_MULTIPLE = 32
_PROBED_IMAGES = 100


@dataclass(frozen=True)
class Crop:
    """One crop of the largest centered square of an image.

    A zoomed crop has 7/8 of the square's side and lies at ``row`` from top, 0, to bottom, 1, and at
    ``column`` from left to right; a flipped one is mirrored left to right.
    """

    row: float = 0.5
    column: float = 0.5
    zoomed: bool = False
    flipped: bool = False


CROPS = (
    Crop(),
    Crop(flipped=True),
    Crop(zoomed=True),
    Crop(zoomed=True, flipped=True),
    Crop(0.0, 0.0, zoomed=True),
    Crop(1.0, 1.0, zoomed=True, flipped=True),
    Crop(0.0, 1.0, zoomed=True, flipped=True),
    Crop(1.0, 0.0, zoomed=True),
)
"""The available crops, in the order in which they are used."""


@dataclass(frozen=True)
class Sampling:
    """How finely a crop of ``size`` pixels is sampled.

    ``factor`` is k, samples per pixel along one axis, even; ``side`` counts the samples along the
    largest centered square, of which the crop begins at row ``top`` and column ``left``.
    """

    size: int
    factor: int
    side: int
    top: int
    left: int

    @property
    def window(self) -> int:
        """Samples along the side of the crop."""
        return self.size * self.factor


def plan_sampling(crop: Crop, size: int) -> Sampling:
    """Compute which samples of the largest centered square make a crop of ``size`` pixels."""
    factor = 2 * max(1, -(-_SAMPLES // (2 * size)))
    side = round(factor * size * (_ZOOM if crop.zoomed else 1))
    rest = side - factor * size
    return Sampling(size, factor, side, round(rest * crop.row), round(rest * crop.column))


def extract_crops(image: Image, size: int, crops: tuple[Crop, ...]) -> CropArray:
    """Extract crops ``(len(crops), size, size, 3)`` from an image in ``[0, 1]``."""
    # Whole gray levels: a file and the uint8 array of the same image get the same score.
    return crop_levels(np.rint(_center_square(image) * np.float32(255)), size, crops)


def crop_levels(
    levels: Array, size: int, crops: tuple[Crop, ...], *, out: CropArray | None = None
) -> CropArray:
    """Extract crops ``(len(crops), size, size, 3)`` in ``[0, 1]`` from whole gray levels.

    ``levels`` are ``(height, width, 3)``, 0 to 255 of any dtype; ``out`` is where to write.
    """
    center = _center_square(levels)
    square = _workspace.array("square", center.shape)
    square[...] = center
    arrays = np.empty((len(crops), size, size, 3), np.float32) if out is None else out
    for crop, array in zip(crops, arrays, strict=True):
        transposed = _resample(square, plan_sampling(crop, size))
        upright = (transposed[::-1] if crop.flipped else transposed).swapaxes(0, 1)
        for channel in range(3):
            np.divide(upright[..., channel], np.float32(255), out=array[..., channel])
    return arrays


def needed_side(size: int) -> int:
    """Shorter side that a decoded image needs for crops of ``size`` pixels: one for each sample.

    Measured on 100 photographs enlarged to 12 megapixels, which are then decoded at half their
    size: probabilities change by 0.0016 on average; at a quarter by far more, at little gain.
    """
    return plan_sampling(Crop(), size).window


def choose_size(backbone: Backbone, paths: Sequence[Path]) -> int:
    """Choose the side of the crops that the network takes.

    A network works best at the size S that it was trained at: larger and smaller crops lose on
    photographs (MobileNet-0.75 on insects: 94.1 % of 153 at 224, 91.5 at 192, 92.2 at 256). Images
    so small that S would magnify them more than 2.5 times are an exception: their blurred edges
    are unlike the training data, and 5/7·S, 160 for 224, is as good or better at half the cost.
    `benchmarks/finetune.py` measures it on images of 64 and of 32 pixels. The shorter sides of up
    to a hundred images, evenly spread, are read; unreadable files are ignored.
    """
    size, sides = backbone.input_size, []
    if backbone.model.input_shape[1]:  # it takes no other size
        return size
    for path in paths[:: -(-len(paths) // _PROBED_IMAGES) or 1]:
        with suppress(ImageError):
            sides.append(identify(path).side)
    if not sides or size <= _MAX_MAGNIFICATION * median(sides):
        return size
    return max(_MULTIPLE, round(_SMALL_IMAGE_RATIO * size / _MULTIPLE) * _MULTIPLE)


def _center_square(image: Array) -> Array:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _resample(square: CropArray, sampling: Sampling) -> CropArray:
    """One crop with rows and columns exchanged."""
    side, size = len(square), sampling.size
    rows = _workspace.array("rows", (size, side, 3))
    _weighted_sums(square, *_resampling_weights(side, sampling, sampling.top), out=rows)
    # Plane by plane, which takes half the time of pixel by pixel.
    transposed = _workspace.array("transposed", (side, size, 3))
    for channel in range(3):
        transposed[..., channel] = rows[..., channel].T
    columns = _workspace.array("columns", (size, size, 3))
    _weighted_sums(transposed, *_resampling_weights(side, sampling, sampling.left), out=columns)
    return columns


def _weighted_sums(
    lines: CropArray,
    indices: npt.NDArray[np.intp],
    weights: npt.NDArray[np.float32],
    *,
    out: CropArray,
) -> None:
    """Weighted sums of a few lines each; lines are contiguous, so that this is fast."""
    np.take(lines, indices[0], axis=0, out=out, mode="clip")
    out *= weights[0, :, np.newaxis, np.newaxis]
    chosen = _workspace.array("chosen", out.shape)
    for index, weight in zip(indices[1:], weights[1:], strict=True):
        np.take(lines, index, axis=0, out=chosen, mode="clip")
        chosen *= weight[:, np.newaxis, np.newaxis]
        out += chosen


class _Workspace(threading.local):
    """Arrays that each thread reuses: fresh memory costs twice the time of the sums in it."""

    def __init__(self) -> None:
        self._arrays: dict[str, CropArray] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> CropArray:
        """An uninitialized array, valid until the same name is requested again."""
        size = math.prod(shape)
        if size > _MAX_WORKSPACE:
            return np.empty(shape, np.float32)
        array = self._arrays.get(name)
        if array is None or array.size < size:
            array = self._arrays[name] = np.empty(size, np.float32)
        return array[:size].reshape(shape)


_workspace = _Workspace()


@lru_cache(maxsize=128)
def _resampling_weights(
    side: int, sampling: Sampling, start: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Which pixels along one axis make each pixel of the crop, and with which weights.

    Sample s lies at (s + ½)·side / samples − ½ between two pixels, as in every bilinear resize
    with half-pixel centers; beyond the border the outermost pixel counts.
    Positions and weights are ``(t, size)``, for the few pixels that make each pixel of the crop.
    """
    half, factor = sampling.factor // 2, sampling.factor
    pixels = np.arange(sampling.size)[:, np.newaxis]
    samples = pixels * factor + np.arange(-half, factor + half)
    inside = (samples >= 0) & (samples < sampling.window)
    near = (samples >= pixels * factor) & (samples < (pixels + 1) * factor)
    shares = 2 * near / factor - inside / inside.sum(axis=1, keepdims=True)
    # In single precision and in this order, as TensorFlow does it: in large images positions are
    # rounded visibly, and both have to round alike.
    step = np.float32(side) / np.float32(sampling.side)
    numbers = (start + np.clip(samples, 0, sampling.window - 1)).astype(np.float32)
    position = (numbers + np.float32(0.5)) * step - np.float32(0.5)
    before = np.floor(position)
    after_share = (position - before) * shares
    ends = [np.clip(before.astype(int) + each, 0, side - 1) for each in (0, 1)]
    first = ends[0].min(axis=1, keepdims=True)
    taps = int((ends[1] - first).max()) + 1
    weights = np.zeros((sampling.size, taps))
    np.add.at(weights, (pixels, ends[0] - first), shares - after_share)
    np.add.at(weights, (pixels, ends[1] - first), after_share)
    return (first + np.arange(taps)).T, np.ascontiguousarray(weights.T, np.float32)
