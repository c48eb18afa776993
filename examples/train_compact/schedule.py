"""The schedule: image size, batch size and learning rate of every step.

Training starts with small images: in the same time the network processes twice as many of them, and
a network that was trained below its later resolution is better at that resolution (Touvron et al.
2019, "Fixing the train-test resolution discrepancy"). The third phase adds larger images, because
users have photographs. The finishing phase, with its own learning rate, trains textures on mosaics:
on single thumbnails, the border affects all cells of the deep feature maps.
"""

import math
from typing import NamedTuple

PEAK_RATE = 0.3
WARM_UP_STEPS = 300
PHASES = (
    (0.50, ((48, 128),)),
    (0.86, ((64, 128),)),
    (1.00, ((64, 128), (96, 64), (64, 128), (128, 32))),
)
"""End of each phase as a share of the steps, and its alternating `(pixels, batch)` sizes."""

FINISH_PEAK_RATE = 0.05
FINISH_PIXELS, FINISH_BATCH = 64, 64


class Step(NamedTuple):
    """The settings of one step."""

    pixels: int
    batch: int
    rate: float
    mosaic: int = 1
    """Crops per side of the mosaics for the style teachers; 1 means single crops."""


def plan_step(step: int, steps: int, finish: int = 0, batch_share: float = 1.0) -> Step:
    """Return the settings of one step of the training or of the finishing phase.

    The learning rate has a linear warm-up of `min(300, steps / 10)` steps and a cosine decay to
    zero, and is proportional to the batch size (Goyal et al. 2017).

    Args:
        step: Number of the step, from 0.
        steps: Steps of the training.
        finish: Steps of the finishing phase.
        batch_share: Factor for every batch size, for small machines and tests.

    Returns:
        Image size, batch size, learning rate and mosaic size.
    """
    if step >= steps:
        rate = FINISH_PEAK_RATE * _decay(step - steps, finish)
        mosaic = 4 if batch_share == 1 else 2
        batch = mosaic**2 * max(1, round(FINISH_BATCH * batch_share / mosaic**2))
        return Step(FINISH_PIXELS, batch, rate, mosaic)
    progress = step / steps
    sizes = next(sizes for end, sizes in PHASES if progress < end or end == 1.0)
    pixels, batch = sizes[step % len(sizes)]
    batch = max(8, round(batch * batch_share))
    return Step(pixels, batch, PEAK_RATE * _decay(step, steps) * batch / 128)


def _decay(step: int, steps: int) -> float:
    """Warm up to 1, then decay to 0 along half a cosine."""
    warm_up = min(1.0, (step + 1) / max(1, min(WARM_UP_STEPS, steps // 10)))
    return warm_up * 0.5 * (1 + math.cos(math.pi * step / steps))
