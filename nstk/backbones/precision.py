"""Whether convolutions run in bfloat16."""

from math import prod
from typing import Literal

from nstk.backbones.backbone import Backbone
from nstk.backbones.calibration import Kernel, time_convolutions
from nstk.backbones.stages import weigh_network
from nstk.backbones.variants import Precision

LIGHT = 10_000
"""Multiplications a pixel below which the network waits for memory, not for its convolutions."""

WORTH = 1.15
"""How many times faster bfloat16 has to be; below that, its eight bits are given for nothing."""


def choose_precision(
    asked: Literal["auto"] | Precision, backbone: Backbone, layers: tuple[str, ...]
) -> Precision:
    """The precision asked for, or the one that this machine is faster with.

    Gram sums, losses and the picture are float32 in either.

    Args:
        asked: What is wanted.
        backbone: The network, in float32.
        layers: Which of its taps are looked at.
    """
    if asked != "auto":
        return asked
    load = weigh_network(backbone.tap(layers))
    if load.products < LIGHT:
        return "float32"
    wide = time_network(load.convolutions, "float32")
    half = time_network(load.convolutions, "bfloat16")
    return "bfloat16" if sum(wide) > WORTH * sum(half) else "float32"


def time_network(
    convolutions: tuple[tuple[Kernel, float], ...], precision: Precision
) -> tuple[float, float]:
    """Seconds that all convolutions take for each pixel, on the way there and on the way back.

    Args:
        convolutions: Kernels and how many cells each has for a pixel.
        precision: What to compute in.
    """
    speeds = time_convolutions((kernel for kernel, _ in convolutions), precision)
    forward = sum(prod(kernel) * cells * speeds[kernel].forward for kernel, cells in convolutions)
    backward = sum(prod(kernel) * cells * speeds[kernel].backward for kernel, cells in convolutions)
    return forward, backward
