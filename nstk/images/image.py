"""Images as arrays: float32 sRGB in ``[0, 1]``, and resizing."""

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

Image = npt.NDArray[np.float32]
"""An image everywhere in nstk: ``(height, width, 3)``, sRGB, ``[0, 1]``."""

Levels = npt.NDArray[np.uint8]
"""An image in whole gray levels, as other programs exchange it: ``(height, width, 3)``, sRGB."""

Plane = npt.NDArray[np.float32]
"""One channel of an image, such as its alpha: ``(height, width)``, ``[0, 1]``."""


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
