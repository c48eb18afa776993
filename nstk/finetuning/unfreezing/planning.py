"""How far unfreezing goes: how many blocks, which augmentation, how many steps."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Literal

from nstk.backbones.blocks import Block, parts_of
from nstk.backbones.receptive_fields import trace_axes
from nstk.backbones.variants import Precision
from nstk.finetuning.unfreezing.augmentation import PIXEL_RECIPES
from nstk.types import KerasModel

EPOCHS = 20
"""Epochs of a run without a time budget."""

MAX_EPOCHS = 60
MIN_EPOCHS = 5
"""Epochs that the budget must allow for; otherwise fewer blocks are unfrozen."""

IMAGES = 25
"""Images needed to unfreeze one block; each doubling allows another."""

_BACKWARD_COST = 2.0
_TRAINING_SHARE = 0.7


@dataclass(frozen=True)
class Plan:
    """What follows from the data and the time budget."""

    blocks: int
    augmentation: str
    precision: Precision
    steps: int
    taken: int


NO_UNFREEZING = Plan(0, "none", "float32", 0, 0)
"""The plan of a run that asked for unfreezing but skipped it."""


@dataclass(frozen=True)
class Deadline:
    """The end of a time budget."""

    end: float | None

    @property
    def remaining(self) -> float:
        """Seconds until the end, negative after it, infinite without one."""
        return float("inf") if self.end is None else self.end - time.perf_counter()


def choose_depth(
    asked: int | Literal["auto", "all"],
    augment: str,
    blocks: Sequence[Block],
    network: KerasModel,
    images: int,
    remaining: float,
    seconds: float,
) -> tuple[int, str]:
    """Choose how many blocks to unfreeze, and the augmentation.

    ``auto`` unfreezes 1 + ⌊log₂(n / 25)⌋ blocks for n images, and fewer if five epochs would take
    more than 70 % of the remaining time. A step costs one forward pass through the unfrozen
    blocks and twice as much for the backward pass; the frozen blocks run once, or in every epoch
    if the augmentation changes pixels.

    """
    fitting = 1 + int(log2(max(1.0, images / IMAGES)))
    number = asked if isinstance(asked, int) else fitting if asked == "auto" else len(blocks)
    most = min(len(blocks), number)
    fewest = 1 if asked == "auto" else most
    recipes = ("light", "mixup") if augment == "auto" else (augment,)
    cost = count_multiplications(blocks, network)
    for depth in range(most, fewest - 1, -1):
        share = sum(cost[-depth:]) / sum(cost)
        for recipe in recipes:
            repeated = MIN_EPOCHS if recipe in PIXEL_RECIPES else 1
            passes = repeated * (1 - share) + MIN_EPOCHS * share * (1 + _BACKWARD_COST)
            if images * seconds * passes <= _TRAINING_SHARE * remaining:
                return depth, recipe
    return fewest, recipes[-1]


def count_multiplications(blocks: Sequence[Block], network: KerasModel) -> tuple[float, ...]:
    """Multiplications of each block per pixel of the image; layers without weights count 1."""
    rows, columns = trace_axes(network)
    return tuple(
        sum(
            (sum(prod(weight.shape) for part in parts_of(layer) for weight in part.weights) + 1)
            / (rows[layer.name].stride * columns[layer.name].stride)
            for layer in block.layers
        )
        for block in blocks
    )


def count_steps(per_epoch: int, remaining: float, step: float, check: float) -> int:
    """How many steps fit into the remaining time, at most those of `MAX_EPOCHS`."""
    if remaining == float("inf"):
        return EPOCHS * per_epoch
    return max(0, min(MAX_EPOCHS * per_epoch, int(remaining / (step + check / per_epoch))))
