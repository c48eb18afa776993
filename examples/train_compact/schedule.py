"""The schedule: what size the images have, and how long a step is, at every step.

Small images first: the same time shows the network twice as many of them, and a network
trained below its later resolution is the better one there (Touvron et al. 2019, "Fixing the
train-test resolution discrepancy"). The third part mixes in larger ones, since people bring
photographs. The finish, with a learning rate of its own, teaches textures on mosaics: on single
thumbnails the deep maps are all border.
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
"""Until which share of the steps, and the `(pixels, batch)` that take turns until then."""

FINISH_PEAK_RATE = 0.05
FINISH_PIXELS, FINISH_BATCH = 64, 64


class Step(NamedTuple):
    """What one step does."""

    pixels: int
    batch: int
    rate: float
    mosaic: int = 1
    """The style teachers see squares of so many by so many crops; 1 is the crop itself."""


def plan_step(step: int, steps: int, finish: int = 0, batch_share: float = 1.0) -> Step:
    """Plan one step of the training and of the finish that follows it.

    The learning rate rises linearly over the first `min(300, steps / 10)` steps, falls as half a
    cosine to zero, and is proportional to the batch (Goyal et al. 2017).

    Args:
        step: Counted from 0.
        steps: The budget of the training.
        finish: That of the finish.
        batch_share: Scales every batch, for small machines and tests.

    Returns:
        Size of the images, their number and the learning rate.
    """
    if step >= steps:
        rate = FINISH_PEAK_RATE * _fall(step - steps, finish)
        mosaic = 4 if batch_share == 1 else 2
        batch = mosaic**2 * max(1, round(FINISH_BATCH * batch_share / mosaic**2))
        return Step(FINISH_PIXELS, batch, rate, mosaic)
    done = step / steps
    turns = next(turns for until, turns in PHASES if done < until or until == 1.0)
    pixels, batch = turns[step % len(turns)]
    batch = max(8, round(batch * batch_share))
    return Step(pixels, batch, PEAK_RATE * _fall(step, steps) * batch / 128)


def _fall(step: int, steps: int) -> float:
    """Warm up to 1, then fall as half a cosine to 0."""
    warm_up = min(1.0, (step + 1) / max(1, min(WARM_UP_STEPS, steps // 10)))
    return warm_up * 0.5 * (1 + math.cos(math.pi * step / steps))
