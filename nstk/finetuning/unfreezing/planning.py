"""How far a second stage goes: how many blocks, what images go through, how many steps."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Any, Literal

from nstk.backbones.blocks import Block, parts_of
from nstk.backbones.receptive_fields import trace_axes
from nstk.backbones.variants import Precision
from nstk.finetuning.unfreezing.augmentation import REACHING_PIXELS

EPOCHS = 20
"""How often every image is learned from, where no time is set."""

MOST_EPOCHS = 60
FEWEST_EPOCHS = 5
"""What a time must allow for, or less is opened."""

IMAGES = 25
"""How many images one block needs; each doubling is worth another."""

_BACKWARD = 2.0
_LEARNING_SHARE = 0.7


@dataclass(frozen=True)
class Plan:
    """What a second stage does, as far as it follows from the data and the time.

    Attributes:
        blocks: How many of the last blocks are opened.
        augmentation: A recipe of `Augmentation`.
        precision: What convolutions run in while blocks learn.
        steps: How many steps the schedule is made for.
        taken: How many of them were taken.
    """

    blocks: int
    augmentation: str
    precision: Precision
    steps: int
    taken: int


NOTHING = Plan(0, "none", "float32", 0, 0)
"""The plan of a run that had no second stage, although it was asked for one."""


@dataclass(frozen=True)
class Deadline:
    """How much time is left.

    Attributes:
        deadline: When the job must end, as ``time.perf_counter`` tells it; None for never.
    """

    deadline: float | None

    @property
    def left(self) -> float:
        """Seconds, below 0 when it is over."""
        return float("inf") if self.deadline is None else self.deadline - time.perf_counter()


def choose_opening(
    asked: int | Literal["auto", "all"],
    augment: str,
    blocks: Sequence[Block],
    network: Any,
    images: int,
    left: float,
    seconds: float,
) -> tuple[int, str]:
    """Say how many blocks to open, and what images go through.

    ``auto`` opens 1 + ⌊log₂(n / 25)⌋ blocks for n images, and fewer where five epochs would take
    more than 70 % of the time that is left. A step on the way there costs what the opened blocks
    take, and twice as much on the way back; the frozen blocks are passed once, or in every epoch
    where the augmentation reaches pixels.

    Args:
        asked: The setting ``unfreeze``.
        augment: The setting ``augment``.
        blocks: Those of the network.
        network: It.
        images: How many there are to learn from.
        left: Seconds that are left.
        seconds: That one image takes through the network.
    """
    most = len(blocks)
    fitting = 1 + int(log2(max(1.0, images / IMAGES)))
    wanted = {"all": most, "auto": min(most, fitting)}.get(str(asked), min(most, _number(asked)))
    fewest = 1 if asked == "auto" else wanted
    recipes = ("light", "mixup") if augment == "auto" else (augment,)
    work = weigh_blocks(blocks, network)
    for opened in range(wanted, fewest - 1, -1):
        above = sum(work[-opened:]) / sum(work)
        for recipe in recipes:
            repeated = FEWEST_EPOCHS if recipe in REACHING_PIXELS else 1
            passes = repeated * (1 - above) + FEWEST_EPOCHS * above * (1 + _BACKWARD)
            if images * seconds * passes <= _LEARNING_SHARE * left:
                return opened, recipe
    return fewest, recipes[-1]


def weigh_blocks(blocks: Sequence[Block], network: Any) -> tuple[float, ...]:
    """Multiplications of each block for one pixel of the image; a layer without any counts 1."""
    rows, columns = trace_axes(network)
    return tuple(
        sum(
            (sum(prod(weight.shape) for part in parts_of(layer) for weight in part.weights) + 1)
            / (rows[layer.name].stride * columns[layer.name].stride)
            for layer in block.layers
        )
        for block in blocks
    )


def count_steps(per_epoch: int, left: float, step: float, check: float) -> int:
    """How many steps fit into the time that is left, at most those of `MOST_EPOCHS`.

    Args:
        per_epoch: Steps of an epoch.
        left: Seconds; infinite where no time is set.
        step: Seconds of a step.
        check: Seconds of the check after an epoch.
    """
    if left == float("inf"):
        return EPOCHS * per_epoch
    return max(0, min(MOST_EPOCHS * per_epoch, int(left / (step + check / per_epoch))))


def _number(asked: int | str) -> int:
    return asked if isinstance(asked, int) else 0
