"""Images as arrays: float32 sRGB in ``[0, 1]``, from arrays of any range; their ground and size.

An array from outside is ``(height, width, 3)`` in sRGB, or ``(height, width, 4)`` with alpha.
Integers count from 0 to 255. Floats lie in a ``value_range``, which is ``(0, 255)`` unless the
caller says otherwise, as in Keras's preprocessing layers. What nstk itself returns has an attribute
``value_range`` of its own.
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.errors import ImageError, SettingsError
from nstk.settings.parsing import Color
from nstk.types import Array

Image = npt.NDArray[np.float32]
"""An image everywhere in nstk: ``(height, width, 3)``, sRGB, ``[0, 1]``."""

Levels = npt.NDArray[np.uint8]
"""An image in whole gray levels, as other programs exchange it: ``(height, width, 3)``, sRGB."""

Plane = npt.NDArray[np.float32]
"""One channel of an image, such as its alpha: ``(height, width)``, ``[0, 1]``."""

ValueRange = tuple[float, float]
"""The values of black and white in an array of floats."""

VALUE_RANGE: ValueRange = (0, 255)

WHITE: Color = (255, 255, 255)
"""The ground of transparent images, unless the caller says otherwise."""

_OVERSHOOT = 0.25
"""How far beyond its range resampling may take a float, as a fraction of the range."""


@dataclass(frozen=True, eq=False)
class RangedArray:
    """An array with the values of black and white that it has where it holds floats."""

    array: npt.ArrayLike
    value_range: ValueRange

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self.array, dtype)


def to_image(
    array: npt.ArrayLike,
    name: str,
    value_range: ValueRange = VALUE_RANGE,
    *,
    check_scale: bool = True,
    background: Color | None = WHITE,
) -> Image:
    """Convert an array from memory to an image, float32 in ``[0, 1]``.

    Args:
        array: ``(height, width, 3)``, or 4 with alpha, of integers from 0 to 255, or of floats in
            ``value_range``. Floats a little beyond it, as after resampling, are clipped.
        name: Name of the array in messages.
        value_range: Values of black and white where the array has floats. An attribute of the
            array with this name takes precedence.
        check_scale: Whether to refuse floats that seem to be in another range. Leave it out
            where many images are given, and check them together with `is_ambiguous`.
        background: The color under transparent pixels, from 0 to 255; None keeps alpha as a fourth
            channel.

    Raises:
        ImageError: If the array is not an image, or its values contradict ``value_range``.
        SettingsError: If ``value_range`` is not a range.
    """
    values, (low, high) = _check(array, name, value_range, check_scale)
    if values.dtype == np.uint8:
        values = np.divide(values, 255, dtype=np.float32)
    else:
        values = values if (low, high) == (0, 1) else (values - low) / (high - low)
        values = np.clip(values, 0, 1).astype(np.float32)
    image: Image = values if background is None else composite(values, background)
    return image


def to_levels(
    array: npt.ArrayLike,
    name: str,
    value_range: ValueRange = VALUE_RANGE,
    *,
    check_scale: bool = True,
    background: Color | None = WHITE,
) -> Levels:
    """Convert an array from memory to whole gray levels, uint8.

    Takes and refuses the same arrays as `to_image`, and rounds.
    """
    values, (low, high) = _check(array, name, value_range, check_scale)
    if values.dtype != np.uint8:
        if (low, high) != (0, 255):
            values = (values - low) * (255 / (high - low))
        values = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    levels: Levels = values if background is None else composite(values, background)
    return levels


def composite(pixels: Array, background: Color = WHITE) -> Array:
    """Lay an image with alpha on a ground of one color, as viewers do: α·color + (1 − α)·ground.

    Args:
        pixels: ``(height, width, 3)``, which stays as it is, or 4 with alpha; uint8, or floats in
            ``[0, 1]``.
        background: The color of the ground, from 0 to 255.

    Returns:
        ``(height, width, 3)`` of the same type; uint8 is rounded once.
    """
    if pixels.shape[-1] == 3:
        return pixels
    colors, alpha = pixels[..., :3], pixels[..., 3:]
    if pixels.dtype == np.uint8:
        alpha = alpha.astype(np.uint16)
        ground = np.array(background, np.uint16) * (255 - alpha)
        laid: Array = ((colors * alpha + ground + 127) // 255).astype(np.uint8)
    else:
        laid = colors * alpha + np.array(background, np.float32) / 255 * (1 - alpha)
    return laid


def uncomposite(pixels: Array, alpha: Array) -> Image:
    """The colors that look like ``pixels`` when they are laid on white with this alpha.

    Where no color does, it is the nearest; where nothing is opaque, it is white.
    """
    shares = alpha[..., np.newaxis]
    opaque = np.where(shares > 0, shares, 1)
    colors: Image = np.clip((pixels - (1 - shares)) / opaque, 0, 1).astype(np.float32)
    return colors


def is_ambiguous(array: Array, value_range: ValueRange = VALUE_RANGE) -> bool:
    """Whether floats that should reach 255 end at 1, so that they are probably in ``[0, 1]``.

    Black is black in both ranges, and so an array of zeros is not ambiguous.
    """
    return check_value_range(value_range) == (0, 255) and (
        np.issubdtype(array.dtype, np.floating) and bool(0 < array.max(initial=0) <= 1)
    )


def ambiguous_range_error(name: str) -> ImageError:
    """Error for an array that `is_ambiguous`."""
    return ImageError(
        f"{name}: floats no greater than 1, but `value_range` is (0, 255); give "
        "`value_range=(0, 1)`, or uint8."
    )


def _check(
    array: npt.ArrayLike, name: str, value_range: ValueRange, check_scale: bool
) -> tuple[Array, ValueRange]:
    """The values of an image, and the range that they are in."""
    low, high = range_ = check_value_range(getattr(array, "value_range", value_range))
    values = np.asarray(array)
    fits = values.ndim == 3 and values.shape[2] in (3, 4) and values.size
    is_float = np.issubdtype(values.dtype, np.floating)
    if not fits or not (is_float or np.issubdtype(values.dtype, np.integer)):
        raise ImageError(
            f"{name}: an array {values.shape} of {values.dtype}; give (height, width, 3) of uint8, "
            f"or of floats with `value_range=({low:g}, {high:g})`."
        )
    if values.dtype == np.uint8:
        return values, range_
    least, most = values.min(), values.max()
    if not is_float:
        if least < 0 or most > 255:
            raise ImageError(
                f"{name}: integers from {least} to {most}; give integers from 0 to 255, or floats "
                "with their `value_range`."
            )
        return values.astype(np.uint8, copy=False), range_
    slack = _OVERSHOOT * (high - low)
    if not (low - slack <= least and most <= high + slack):
        raise ImageError(
            f"{name}: floats from {least:g} to {most:g}, but `value_range` is ({low:g}, {high:g}); "
            "give the `value_range` of the array, or uint8."
        )
    if check_scale and is_ambiguous(values, range_):
        raise ambiguous_range_error(name)
    return values, range_


def check_value_range(value_range: ValueRange) -> ValueRange:
    """Return a range as a pair of floats.

    Raises:
        SettingsError: If it is not two finite numbers in ascending order.
    """
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (isfinite(low) and isfinite(high) and low < high):
        raise SettingsError(
            f"`value_range` is {value_range!r}; give the values of black and white, as in (0, 255)."
        )
    return low, high


def resize_image(pixels: Image, height: int, width: int) -> Image:
    """Resize an image in floating point, antialiased (Lanczos, three lobes).

    Args:
        pixels: ``(h, w, 3)`` in ``[0, 1]``.
        height: Rows of the result, at least 1.
        width: Columns of the result, at least 1.

    Returns:
        ``(height, width, 3)``, clipped to ``[0, 1]``; always a new array.
    """
    planes = [resize_plane(pixels[..., channel], height, width) for channel in range(3)]
    return np.stack(planes, axis=-1)


def resize_plane(plane: Plane, height: int, width: int) -> Plane:
    """Resize one channel, such as alpha, as `resize_image` does."""
    image = PILImage.fromarray(np.ascontiguousarray(plane, np.float32))
    resized = image.resize((width, height), PILImage.Resampling.LANCZOS)
    clipped: Plane = np.clip(np.asarray(resized), 0, 1)
    return clipped


def crop_square(pixels: Image) -> Image:
    """Crop the largest centered square, which is what a classifier sees."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def fit_size(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """Compute the size of an image whose longer side is given, with the same aspect ratio.

    Returns:
        ``(height, width)`` in pixels, each at least 1.
    """
    longest = max(height, width)

    def scale(side: int) -> int:
        return max(1, (2 * side * longer_side + longest) // (2 * longest))

    return scale(height), scale(width)
