"""From coarse to fine: which sizes an image goes through and how long it stays at each.

Large motifs are cheap to paint on a small image and nearly impossible to paint on a large one,
where a layer's receptive field covers little of the scene.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nstk.errors import SettingsError
from nstk.images.image import fit_size

COARSEST = 128
"""Longer side in pixels of the coarsest scale that ``auto`` chooses."""


@dataclass(frozen=True)
class Scale:
    """One stage of the descent.

    Attributes:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        steps: How many steps are taken here.
    """

    height: int
    width: int
    steps: int

    @property
    def longer_side(self) -> int:
        """The longer side in pixels."""
        return max(self.height, self.width)

    @property
    def name(self) -> str:
        """Its size in words: ``256×192``."""
        return f"{self.width}×{self.height}"


def plan_scales(
    height: int, width: int, *, size: int, steps: int, scales: int | Literal["auto"], smallest: int
) -> Sequence[Scale]:
    """Choose the scales, coarsest first; each is √2 larger than the one before.

    A scale k steps below the full one gets ``steps``·√2ᵏ steps: as it has 2⁻ᵏ of the pixels it
    still costs less, and what it settles need not be settled again.

    Args:
        height: Of the content image.
        width: Of the content image.
        size: Longer side of the result.
        steps: Steps at the full scale.
        scales: How many, or ``auto`` for as many as fit above a longer side of 128.
        smallest: Shortest side in pixels that the network can look at.

    Raises:
        SettingsError: If even the full scale is too small for the network.
    """
    shorter_side = min(fit_size(height, width, size))
    if shorter_side < smallest:
        raise SettingsError(
            f"--size {size} makes the image's shorter side {shorter_side} px; the network needs "
            f"at least {smallest} px: choose a larger size or a less narrow image."
        )
    # 181 is the whole number nearest to 128·√2, but a little less: it shall count as one step.
    fitting = math.floor(2 * math.log2(max(size / COARSEST, 1)) + 0.01)
    deepest = fitting if scales == "auto" else scales - 1
    plan = []
    for k in range(deepest, -1, -1):
        scaled = fit_size(height, width, round(size / math.sqrt(2) ** k))
        if min(scaled) >= smallest:
            plan.append(Scale(*scaled, steps=round(steps * math.sqrt(2) ** k)))
    return tuple(plan)
