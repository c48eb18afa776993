"""The scales of a run, coarse to fine: image sizes and steps at each.

Large motifs form quickly on a small image and hardly at all on a large one, where the receptive
field of a layer covers little of the scene.
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
    """One scale of a run.

    Attributes:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        steps: Number of steps.
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
        """Width and height as text: ``256×192``."""
        return f"{self.width}×{self.height}"


def plan_scales(
    height: int, width: int, *, size: int, steps: int, scales: int | Literal["auto"], smallest: int
) -> Sequence[Scale]:
    """Choose the scales, coarsest first; each is √2 larger than the one before.

    A scale k steps below the full one gets ``steps``·√2ᵏ steps. With 2⁻ᵏ of the pixels it still
    costs less, and what it settles stays settled.

    Args:
        height: Height of the content image.
        width: Width of the content image.
        size: Longer side of the result.
        steps: Steps at the full scale.
        scales: How many, or ``auto`` for as many as fit above a longer side of 128.
        smallest: Shortest side in pixels that the network can process.

    Raises:
        SettingsError: If even the full scale is too small for the network.
    """
    shorter_side = min(fit_size(height, width, size))
    if shorter_side < smallest:
        raise SettingsError(
            f"`size={size}` makes the image's shorter side {shorter_side} px; the network needs "
            f"at least {smallest} px: choose a larger `size` or a less narrow image."
        )
    # 181, the integer nearest to 128·√2, is slightly smaller; it still counts as one step.
    fitting = math.floor(2 * math.log2(max(size / COARSEST, 1)) + 0.01)
    deepest = fitting if scales == "auto" else scales - 1
    plan = []
    for k in range(deepest, -1, -1):
        scaled = fit_size(height, width, round(size / math.sqrt(2) ** k))
        if min(scaled) >= smallest:
            plan.append(Scale(*scaled, steps=round(steps * math.sqrt(2) ** k)))
    return tuple(plan)
