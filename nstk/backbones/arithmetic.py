"""Choosing the precision of convolutions."""

from collections.abc import Sequence
from typing import get_args

from nstk.backbones.backbone import Backbone
from nstk.backbones.conv_benchmark import time_convolutions
from nstk.backbones.stages import Convolution, count_flops
from nstk.backbones.variants import Precision
from nstk.settings import PrecisionName

MIN_FLOPS = 10_000
"""Multiplications per pixel below which memory, not convolutions, limits the speed."""

MIN_SPEEDUP = 1.15
"""Speed-up that the less exact precision needs to be chosen."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def choose_precision(
    precision: PrecisionName, backbone: Backbone, layers: tuple[str, ...]
) -> Precision:
    """Choose the requested precision, or for ``"auto"`` the faster one on this machine.

    Gram sums, losses and the image are always float32.
    """
    if precision != "auto":
        return precision
    cost = count_flops(backbone.tap(layers))
    if cost.products < MIN_FLOPS:
        return "float32"
    exact, rough = (sum(time_network(cost.convolutions, each)) for each in PRECISIONS)
    return "bfloat16" if MIN_SPEEDUP * rough < exact else "float32"


def time_network(convolutions: Sequence[Convolution], precision: Precision) -> tuple[float, float]:
    """Seconds per pixel of all convolutions, forward and backward."""
    speeds = time_convolutions((each.kernel for each in convolutions), precision)
    forward = sum(each.products * speeds[each.kernel].forward for each in convolutions)
    backward = sum(each.products * speeds[each.kernel].backward for each in convolutions)
    return forward, backward
