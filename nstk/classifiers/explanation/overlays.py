"""Overlays: an activation map drawn over its image."""

import numpy as np
import numpy.typing as npt

from nstk.images.image import Image, Plane, resize_plane

FOR = np.array([0.84, 0.37, 0.0], np.float32)
AGAINST = np.array([0.0, 0.45, 0.7], np.float32)
"""Vermilion and blue, which color-blind readers tell apart (Okabe and Ito 2008)."""

_MAX_OPACITY = 0.75
_OUTSIDE = 0.35


def draw_overlay(image: Image, evidence: npt.NDArray[np.float32]) -> Image:
    """Draw evidence for a class in vermilion and evidence against it in blue.

    The map covers the largest centered square, which is the input of the classifier; the rest of
    the image is darkened.

    Args:
        image: ``(height, width, 3)``.
        evidence: ``(h, w)``, positive for the class; scaled to its largest magnitude.

    Returns:
        A new image of the same size.
    """
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    inside = np.s_[top : top + side, left : left + side]
    share = _enlarge(evidence, side)
    opacity = _MAX_OPACITY * np.abs(share)[..., np.newaxis]
    color = np.where(share[..., np.newaxis] >= 0, FOR, AGAINST)
    painted = _OUTSIDE * image
    painted[inside] = (1 - opacity) * image[inside] + opacity * color
    return painted.astype(np.float32)


def _enlarge(evidence: npt.NDArray[np.float32], side: int) -> Plane:
    largest = float(np.abs(evidence).max()) or 1.0
    # Planes are resized in [0, 1], so ½ is neutral.
    plane = ((evidence / largest + 1) / 2).astype(np.float32)
    share: Plane = 2 * resize_plane(plane, side, side) - 1
    return share
