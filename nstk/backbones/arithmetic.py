"""Choosing the precision and the algorithm of convolutions."""

from collections.abc import Sequence

from nstk.backbones.backbone import Backbone
from nstk.backbones.conv_benchmark import time_convolutions
from nstk.backbones.stages import Convolution, count_flops
from nstk.backbones.variants import Arithmetic
from nstk.settings import ConvolutionName, PrecisionName

MIN_FLOPS = 10_000
"""Multiplications per pixel below which memory, not convolutions, limits the speed."""

MIN_SPEEDUP = 1.15
"""Speed-up that a less exact candidate needs to be chosen."""

CANDIDATES = (
    Arithmetic("float32", "direct"),
    Arithmetic("float32", "winograd"),
    Arithmetic("bfloat16", "direct"),
)
"""All combinations, the most exact first."""


def choose_arithmetic(
    precision: PrecisionName,
    convolution: ConvolutionName,
    backbone: Backbone,
    layers: tuple[str, ...],
) -> Arithmetic:
    """Choose the requested arithmetic, or the fastest one on this machine for ``"auto"``.

    Gram sums, losses and the image are always float32.

    Args:
        precision: The requested precision.
        convolution: The requested algorithm.
        backbone: The network, in float32 with direct convolutions.
        layers: The taps in use.
    """
    candidates = [each for each in CANDIDATES if each.suits(precision, convolution)]
    cost = count_flops(backbone.tap(layers))
    if len(candidates) == 1 or cost.products < MIN_FLOPS:
        return candidates[0]
    chosen, fastest = candidates[0], sum(time_network(cost.convolutions, candidates[0]))
    for candidate in candidates[1:]:
        seconds = sum(time_network(cost.convolutions, candidate))
        if MIN_SPEEDUP * seconds < fastest:
            chosen, fastest = candidate, seconds
    return chosen


def time_network(
    convolutions: Sequence[Convolution], arithmetic: Arithmetic
) -> tuple[float, float]:
    """Seconds per pixel of all convolutions, forward and backward.

    Args:
        convolutions: The convolutions of a network.
        arithmetic: The arithmetic of the convolutions that suit it.
    """
    direct = arithmetic._replace(convolution="direct")
    forward = backward = 0.0
    for suits, used in ((True, arithmetic), (False, direct)):
        group = [each for each in convolutions if each.suits_winograd == suits]
        speeds = time_convolutions((each.kernel for each in group), used)
        forward += sum(each.products * speeds[each.kernel].forward for each in group)
        backward += sum(each.products * speeds[each.kernel].backward for each in group)
    return forward, backward
