"""The recipe: the layers of a network, the scales of a run, and what a strength means.

Large motifs form quickly on a small image and hardly at all on a large one, where the receptive
field of a layer covers little of the scene; so a run goes from coarse to fine.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from nstk.backbones.backbone import Backbone, activated_taps
from nstk.errors import BackboneError, SettingsError
from nstk.images.image import fit_size
from nstk.progress import Progress, Reporter, no_progress

STYLE_WEIGHTS = (16.0, 8.0, 4.0, 2.0, 1.0)
"""Weight of each stride from shallow to deep: color and strokes first, motifs last.

Crowson uses powers of 4 for squared losses; powers of 2 do the same for distances."""

CONTENT_STRIDE = 8
STYLE_STRIDE = 16

COARSEST = 64
"""Longer side in pixels of the coarsest scale that ``auto`` chooses."""

RANGE = 4.0
"""Orders of magnitude of α between strength 0 and strength 1."""

REFERENCE_SIZE = 512
"""Longer side in pixels at which α has the value of the settings."""

TRIALS = 7
TOLERANCE = 0.004
"""Difference of content similarities at which the search stops."""


def choose_style_layers(backbone: Backbone) -> dict[str, float]:
    """Return the activations up to stride 16, one at 16, with their weights λ_l; Σ λ_l = 1.

    For VGG19 these are ``block1_conv1`` to ``block5_conv1``. Gatys et al. use only the first of
    each block. The others constrain what these leave open and cost only a few sums, because the
    network computes them anyway. The layers of one stride share its weight.
    """
    taps = activated_taps(backbone)
    strides = sorted(stride for stride in taps if stride <= STYLE_STRIDE)[: len(STYLE_WEIGHTS)]
    if not strides:
        raise BackboneError(
            f"{backbone.name} has no activation at a stride of {STYLE_STRIDE} or less, which "
            "stylize needs; choose another backbone."
        )
    weights = dict(zip(strides, STYLE_WEIGHTS, strict=False))
    total = sum(weights.values())
    layers: dict[str, float] = {}
    for stride, weight in weights.items():
        names = taps[stride] if stride < STYLE_STRIDE else taps[stride][:1]
        layers |= {name: weight / (total * len(names)) for name in names}
    return layers


def choose_content_layer(backbone: Backbone) -> str:
    """Return the first activation at stride 8 or the deepest before it: VGG19's ``block4_conv1``.

    Gatys et al. use the second. The first is the one that `compact` was trained to match, and it
    keeps the content better there at equal style.
    """
    taps = activated_taps(backbone)
    strides = [stride for stride in taps if stride <= CONTENT_STRIDE]
    if not strides:
        raise BackboneError(
            f"{backbone.name} has no activation at a stride of {CONTENT_STRIDE} or less, which "
            "stylize needs; choose another backbone."
        )
    return taps[max(strides)][0]


@dataclass(frozen=True)
class Scale:
    height: int
    width: int
    steps: int

    @property
    def longer_side(self) -> int:
        return max(self.height, self.width)

    @property
    def name(self) -> str:
        """Width and height as text: ``256×192``."""
        return f"{self.width}×{self.height}"


def plan_scales(
    height: int, width: int, *, size: int, steps: int, scales: int | Literal["auto"], smallest: int
) -> Sequence[Scale]:
    """Choose the scales, coarsest first; each is √2 larger than the one before.

    All scales get the same number of steps, so that the full one takes half of the time.
    """
    shorter_side = min(fit_size(height, width, size))
    if shorter_side < smallest:
        raise SettingsError(
            f"`size={size}` makes the image's shorter side {shorter_side} px; the network needs "
            f"at least {smallest} px: choose a larger `size` or a less narrow image."
        )
    # 181, the integer nearest to 64·√2³, is slightly smaller; it still counts as three steps.
    fitting = math.floor(2 * math.log2(max(size / COARSEST, 1)) + 0.01)
    deepest = fitting if scales == "auto" else scales - 1
    plan = []
    for k in range(deepest, -1, -1):
        scaled = fit_size(height, width, round(size / math.sqrt(2) ** k))
        if min(scaled) >= smallest:
            plan.append(Scale(*scaled, steps=steps))
    return tuple(plan)


def content_weight_at(strength: float, content_weight: float, longer_side: int) -> float:
    """α·10^(2 − 4·strength)·√(longer side / 512).

    A hundred times α at strength 0, α itself at 0.5, a hundredth at 1. Losses are relative, so a
    strength means the same for every style. Without the root, quality metrics rate small images
    nearer to their content than large ones of the same strength.
    """
    size = math.sqrt(longer_side / REFERENCE_SIZE)
    return float(content_weight * 10 ** (RANGE * (0.5 - strength)) * size)


def search_strength(
    measure: Callable[[float], float], target: float, on_progress: Reporter = no_progress
) -> float:
    """Find the strength whose result has a given content similarity, by bisection."""
    low, high = 0.0, 1.0
    on_progress(Progress(stage="strength", step=0, total=TRIALS))
    for trial in range(1, TRIALS + 1):
        strength = (low + high) / 2
        similarity = measure(strength)
        on_progress(Progress(stage="strength", step=trial, total=TRIALS))
        if abs(similarity - target) <= TOLERANCE:
            return strength
        low, high = (strength, high) if similarity > target else (low, strength)
    # An end that was never moved means that the target lies at or beyond it.
    return 1.0 if high == 1.0 else 0.0 if low == 0.0 else (low + high) / 2
