"""Numbers as colors."""

import numpy as np
import numpy.typing as npt

from nstk.images.image import Image
from nstk.reports.pages.palettes import VIRIDIS

Grid = npt.NDArray[np.float32]
"""Any numbers, ``(height, width)``."""

_FOR = np.array([0.70, 0.24, 0.0], np.float32)
_AGAINST = np.array([0.0, 0.35, 0.60], np.float32)


def paint_shares(shares: Grid) -> Image:
    """Paint shares from dark violet for 0 to yellow for 1 (viridis, Smith 2015).

    Args:
        shares: ``(height, width)``; values beyond ``[0, 1]`` are clipped.
    """
    ramp = np.array(VIRIDIS, np.float32) / 255
    places = np.clip(shares, 0, 1) * (len(ramp) - 1)
    channels = [np.interp(places, np.arange(len(ramp)), ramp[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def paint_signed(values: Grid) -> Image:
    """Paint −1 blue, 0 white and 1 vermilion.

    Args:
        values: ``(height, width)``; values beyond ``[−1, 1]`` are clipped.
    """
    share = np.clip(values, -1, 1)[..., np.newaxis].astype(np.float32)
    color = np.where(share >= 0, _FOR, _AGAINST)
    painted: Image = 1 - np.abs(share) * (1 - color)
    return painted
