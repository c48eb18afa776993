"""Images from memory: one rule for every array that comes from outside.

An array is ``(height, width, 3)`` in sRGB. Integers count from 0 to 255. Floats lie in a
``value_range``, which is ``(0, 255)`` unless the caller says otherwise, as in Keras's
preprocessing layers. What nstk itself returns has an attribute ``value_range`` of its own.
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt

from nstk.errors import ImageError, SettingsError
from nstk.images.image import Image, Levels
from nstk.types import Array

ValueRange = tuple[float, float]
"""The values of black and white in an array of floats."""

VALUE_RANGE: ValueRange = (0, 255)

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
) -> Image:
    """Convert an array from memory to an image, float32 in ``[0, 1]``.

    Args:
        array: ``(height, width, 3)`` of integers from 0 to 255, or of floats in ``value_range``.
            Floats a little beyond it, as after resampling, are clipped.
        name: Name of the array in messages.
        value_range: Values of black and white where the array has floats. An attribute of the
            array with this name takes precedence.
        check_scale: Whether to refuse floats that seem to be in another range. Leave it out
            where many images are given, and check them together with `is_ambiguous`.

    Raises:
        ImageError: If the array is not an image, or its values contradict ``value_range``.
        SettingsError: If ``value_range`` is not a range.
    """
    values, (low, high) = _check(array, name, value_range, check_scale)
    if values.dtype == np.uint8:
        unit: Image = np.divide(values, 255, dtype=np.float32)
        return unit
    if (low, high) != (0, 1):
        values = (values - low) / (high - low)
    image: Image = np.clip(values, 0, 1).astype(np.float32)
    return image


def to_levels(
    array: npt.ArrayLike,
    name: str,
    value_range: ValueRange = VALUE_RANGE,
    *,
    check_scale: bool = True,
) -> Levels:
    """Convert an array from memory to whole gray levels, uint8.

    Takes and refuses the same arrays as `to_image`, and rounds.
    """
    values, (low, high) = _check(array, name, value_range, check_scale)
    if values.dtype == np.uint8:
        return values
    if (low, high) != (0, 255):
        values = (values - low) * (255 / (high - low))
    levels: Levels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


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
    fits = values.ndim == 3 and values.shape[2] == 3 and values.size
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
