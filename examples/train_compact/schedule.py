"""The schedule: what size the pictures have, and how long a step is, at every step.

Small pictures first: the same time shows the network twice as many of them, and a network
trained below its later resolution is the better one there (Touvron et al. 2019, "Fixing the
train-test resolution discrepancy"). The last part mixes in larger ones, since people bring
photographs.
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


class Step(NamedTuple):
    """What one step does."""

    pixels: int
    batch: int
    rate: float


def plan_step(step: int, steps: int, batch_share: float = 1.0) -> Step:
    """Plan one step.

    The learning rate rises linearly over the first `min(300, steps / 10)` steps, falls as half a
    cosine to zero, and is proportional to the batch (Goyal et al. 2017).

    Args:
        step: Counted from 0.
        steps: The whole budget.
        batch_share: Scales every batch, for small machines and tests.

    Returns:
        Size of the pictures, their number and the learning rate.
    """
    done = step / steps
    turns = next(turns for until, turns in PHASES if done < until or until == 1.0)
    pixels, batch = turns[step % len(turns)]
    batch = max(8, round(batch * batch_share))
    warm_up = min(1.0, (step + 1) / max(1, min(WARM_UP_STEPS, steps // 10)))
    rate = PEAK_RATE * warm_up * 0.5 * (1 + math.cos(math.pi * done)) * batch / 128
    return Step(pixels, batch, rate)
