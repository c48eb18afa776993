"""Masks: which region of an image is meant, 1 inside and 0 outside."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from nstk.errors import MaskError
from nstk.images.color_spaces import to_luma
from nstk.images.image import Image, Plane, uncomposite
from nstk.images.loading import load_image

_ONE_LEVEL = 1.5 / 255


def load_mask(path: str | Path) -> Plane:
    """Load a mask from any file that `load_image` reads.

    White is inside, black is outside, gray is in between: the mask is the luma of the image. If
    the image is a shape of one color on a transparent background, the mask is its alpha. For other
    images with transparency it is luma times alpha.

    Args:
        path: An image file.

    Returns:
        ``(height, width)``, ``[0, 1]``.

    Raises:
        ImageError: If the file is not an image.
    """
    loaded = load_image(path)
    if loaded.alpha is None:
        return to_luma(loaded.pixels)
    colors = uncomposite(loaded.pixels, loaded.alpha)
    if _is_of_one_color(colors, loaded.alpha):
        return loaded.alpha
    return to_luma(colors) * loaded.alpha


def check_mask(mask: Plane, image_shape: Sequence[int], name: str) -> Plane:
    """Resize a mask to its image, or refuse it.

    The aspect ratios must match: the larger of the two, scaled to the longer side of the smaller,
    may differ from it by at most one pixel.

    Raises:
        MaskError: If it is not a plane of values from 0 to 1, has another aspect ratio, or is 0
            everywhere.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise MaskError(
            f"{name} has the shape {mask.shape}; a mask is (height, width) with values in [0, 1]."
        )
    low, high = float(mask.min()), float(mask.max())
    if not 0 <= low <= high <= 1:
        raise MaskError(
            f"{name} has values from {low:g} to {high:g}; a mask needs values from 0 (outside) "
            "to 1 (inside)."
        )
    height, width = image_shape[:2]
    if _misfit(mask.shape, (height, width)) > 1:
        raise MaskError(
            f"{name} is {mask.shape[1]}×{mask.shape[0]} pixels, its image {width}×{height}; "
            "a mask needs the aspect ratio of its image: paint it over the image itself."
        )
    if high == 0:
        raise MaskError(f"{name} is black everywhere; paint the selected region white.")
    return resize_mask(mask, height, width)


def resize_mask(mask: Plane, height: int, width: int) -> Plane:
    """Resize a mask, antialiased, without overshoot (triangle filter).

    Masks that add up to 1 everywhere still do so after resizing. The result is a new array.
    """
    image = PILImage.fromarray(np.ascontiguousarray(mask, np.float32))
    resized = np.asarray(image.resize((width, height), PILImage.Resampling.BILINEAR))
    clipped: Plane = np.clip(resized, 0, 1)
    return clipped


def _is_of_one_color(pixels: Image, alpha: Plane) -> bool:
    """Whether all visible pixels have the same color, to one gray level."""
    visible = pixels[alpha > 0]
    return visible.size == 0 or bool(np.ptp(visible, axis=0).max() <= _ONE_LEVEL)


def _misfit(shape: tuple[int, ...], other: tuple[int, int]) -> float:
    """Difference of the shorter sides in pixels, when the larger is scaled to the smaller."""
    (h, w), (height, width) = sorted([(shape[0], shape[1]), other], key=sum)
    return abs(h - height * w / width) if w > h else abs(w - width * h / height)
