"""What convolutions run in, and how they are computed."""

from collections.abc import Sequence

from nstk.backbones.backbone import Backbone
from nstk.backbones.conv_benchmark import time_convolutions
from nstk.backbones.stages import Convolution, count_flops
from nstk.backbones.variants import Arithmetic
from nstk.settings import ConvolutionName, PrecisionName

MIN_FLOPS = 10_000
"""Multiplications a pixel below which the network waits for memory, not for its convolutions."""

MIN_SPEEDUP = 1.15
"""How many times faster another way has to be; below that, its lost bits are given for nothing."""

CANDIDATES = (
    Arithmetic("float32", "direct"),
    Arithmetic("float32", "winograd"),
    Arithmetic("bfloat16", "direct"),
)
"""All that there are, the most exact first."""


def choose_arithmetic(
    precision: PrecisionName,
    convolution: ConvolutionName,
    backbone: Backbone,
    layers: tuple[str, ...],
) -> Arithmetic:
    """What was asked for, or what this machine is faster with.

    Gram sums, losses and the image are float32 in any case.

    Args:
        precision: What is wanted.
        convolution: What is wanted.
        backbone: The network, in float32 and computed directly.
        layers: Which of its taps are looked at.
    """
    ways = [way for way in CANDIDATES if way.suits(precision, convolution)]
    load = count_flops(backbone.tap(layers))
    if len(ways) == 1 or load.products < MIN_FLOPS:
        return ways[0]
    chosen, fastest = ways[0], sum(time_network(load.convolutions, ways[0]))
    for way in ways[1:]:
        seconds = sum(time_network(load.convolutions, way))
        if MIN_SPEEDUP * seconds < fastest:
            chosen, fastest = way, seconds
    return chosen


def time_network(
    convolutions: Sequence[Convolution], arithmetic: Arithmetic
) -> tuple[float, float]:
    """Seconds that all convolutions take for each pixel, on the way there and on the way back.

    Args:
        convolutions: All of a network.
        arithmetic: What to compute in, and how, where a convolution suits it.
    """
    direct = arithmetic._replace(convolution="direct")
    forward = backward = 0.0
    for tiled, way in ((True, arithmetic), (False, direct)):
        alike = [each for each in convolutions if each.suits_winograd == tiled]
        speeds = time_convolutions((each.kernel for each in alike), way)
        forward += sum(each.products * speeds[each.kernel].forward for each in alike)
        backward += sum(each.products * speeds[each.kernel].backward for each in alike)
    return forward, backward
