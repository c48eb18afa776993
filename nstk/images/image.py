"""Images as arrays: float32 sRGB in ``[0, 1]``, and resizing."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.errors import ImageError

Image = npt.NDArray[np.float32]
"""An image everywhere in nstk: ``(height, width, 3)``, sRGB, ``[0, 1]``."""

Levels = npt.NDArray[np.uint8]
"""An image in whole gray levels, as other programs exchange it: ``(height, width, 3)``, sRGB."""

Plane = npt.NDArray[np.float32]
"""One channel of an image, such as its alpha: ``(height, width)``, ``[0, 1]``."""

OVERSHOOT = 0.5
"""How far floats may exceed ``[0, 1]``: resampling overshoots less, another scale more."""


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


def take_array(array: Any, name: str) -> Image:
    """Convert an array from memory to an image.

    Args:
        array: ``(height, width, 3)`` of floats in ``[0, 1]``, which are clipped where resampling
            overshot, or of uint8.
        name: What messages call it.

    Raises:
        ImageError: If it is not an image, or its values have another scale.
    """
    given = np.asarray(array)
    fits = given.ndim == 3 and given.shape[2] == 3 and given.size
    if not fits or not (given.dtype == np.uint8 or np.issubdtype(given.dtype, np.floating)):
        raise ImageError(
            f"{name}: an array {given.shape} of {given.dtype}; give (height, width, 3) of uint8, "
            "or of floats from 0 to 1."
        )
    values = np.divide(given, 255, dtype=np.float32) if given.dtype == np.uint8 else given
    low, high = values.min(), values.max()
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        raise ImageError(
            f"{name}: floats from {low:g} to {high:g}; give floats from 0 to 1, or uint8 from 0 "
            "to 255."
        )
    image: Image = np.clip(values, 0, 1).astype(np.float32)
    return image
