"""Technical quality of a single image: size, blur, brightness, contrast."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.images.color_spaces import LUMA
from nstk.images.image import Image

MEASURED_SIDE = 256
"""Larger images are first reduced to this shorter side: networks do not see finer detail."""

_WINDOW = 9

_Levels = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ImageQuality:
    """Quality measurements of an image.

    Attributes:
        height: Height in pixels.
        width: Width in pixels.
        blur: From 0, sharp, to 1, completely blurred.
        brightness: Mean luma, from 0 to 1.
        contrast: Difference between the 95th and the 5th percentile of luma, from 0 to 1.
    """

    height: int
    width: int
    blur: float
    brightness: float
    contrast: float

    @property
    def side(self) -> int:
        """The shorter side in pixels."""
        return min(self.height, self.width)


def measure_image(pixels: Image) -> ImageQuality:
    """Measure size, blur, brightness and contrast of an image.

    Args:
        pixels: ``(height, width, 3)`` in ``[0, 1]``.
    """
    height, width = pixels.shape[:2]
    image = PILImage.fromarray(pixels @ LUMA.astype(np.float32))
    factor = MEASURED_SIDE / min(height, width)
    if factor < 1:
        size = round(width * factor), round(height * factor)
        image = image.resize(size, PILImage.Resampling.BILINEAR)
    levels = np.asarray(image, np.float64)
    dark, bright = np.quantile(levels, (0.05, 0.95))
    return ImageQuality(
        height=height,
        width=width,
        blur=max(_measure_blur(levels), _measure_blur(levels.T)),
        brightness=float(levels.mean()),
        contrast=float(bright - dark),
    )


def _measure_blur(levels: _Levels) -> float:
    """Share of the variation along the rows that remains after blurring.

    With D the absolute differences of neighbors and D′ those after a running mean over nine,
    blur = 1 − Σ max(0, D − D′) / Σ D (Crete et al. 2007): a sharp image loses most of its
    variation, a blurred one hardly any. It does not depend on the contrast.
    """
    if levels.shape[1] < 2 * _WINDOW:
        return 0.0
    sums = np.cumsum(np.pad(levels, ((0, 0), (1, 0))), axis=1)
    means = (sums[:, _WINDOW:] - sums[:, :-_WINDOW]) / _WINDOW
    margin = _WINDOW // 2
    variation = np.abs(np.diff(levels[:, margin:-margin], axis=1))
    lost = np.maximum(variation - np.abs(np.diff(means, axis=1)), 0)
    total = float(variation.sum())
    # Steps below a hundredth of a gray level are rounding, not an image.
    return 1 - float(lost.sum()) / total if total > 4e-5 * variation.size else 0.0
