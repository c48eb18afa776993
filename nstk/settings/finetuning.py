"""The settings of `nstk.finetune` and `nstk.audit`."""

from dataclasses import dataclass
from typing import Literal

from nstk.settings.checks import (
    check_blocks,
    check_range,
    check_switch,
    check_whole,
    check_word,
)
from nstk.settings.fields import setting
from nstk.settings.parsing import AugmentationName, FeatureChoice, parse_time


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """How `nstk.finetune` computes features, fits the head and unfreezes blocks.

    Raises:
        SettingsError: If a value is out of its range.
    """

    size: int | Literal["auto"] = setting(
        "auto",
        "Side in pixels of the square crop the network sees; auto: the network's own size, or "
        "5/7 of it if that magnified the images more than 2.5 times",
    )
    features: FeatureChoice = setting(
        "pooled",
        "Features of the head: pooled (channel means of the last map), pooled+statistics (also "
        "means and standard deviations of earlier maps) or auto (whichever scores better in "
        "cross-validation)",
    )
    views: int = setting(
        1, "Number of views per image, flipped and cropped; the head sees their mean"
    )
    folds: int = setting(
        0, "Cross-validate with this many folds and train on all images; 0 holds out a share"
    )
    balance: bool = setting(
        False, "Give every class the same weight, regardless of its number of images"
    )
    learning_curve: bool = setting(
        False,
        "Measure how accuracy grows with the number of images, and predict it for twice as many",
    )
    validation_share: float = setting(
        0.2, "Share of the training images to hold out if DATA has no validation split"
    )
    unfreeze: int | Literal["none", "auto", "all"] = setting(
        "none",
        "Number of last blocks to unfreeze and train once the head is solved; the result is "
        "kept only if it is significantly better on held-out images",
    )
    budget: float | None = setting(
        None,
        "Time limit, e.g. 60s or 10m: the head first, then blocks are unfrozen and trained in the "
        "remaining time (as many as --unfreeze says, else auto)",
        parse=parse_time,
        metavar="TIME",
    )
    augment: AugmentationName = setting(
        "auto",
        "Data augmentation for --unfreeze: none, mixup (reuses precomputed activations), light "
        "(flip, zoom, shift, color jitter), strong (RandAugment and mixup) or auto (light if "
        "time allows)",
    )
    seed: int = setting(0, "Random seed")

    def __post_init__(self) -> None:
        if self.size != "auto":
            check_whole("size", self.size, 32, 1024)
        check_word("features", self.features, FeatureChoice)
        check_whole("views", self.views, 1, 8)
        if self.folds != 0:
            check_whole("folds", self.folds, 2, 100)
        check_switch("balance", self.balance)
        check_switch("learning_curve", self.learning_curve)
        if self.unfreeze not in ("none", "auto", "all"):
            check_blocks("unfreeze", self.unfreeze)
        if self.budget is not None:
            check_range("budget", self.budget, 1)
        check_word("augment", self.augment, AugmentationName)
        check_range("validation_share", self.validation_share, 0.05, 0.5)
        check_whole("seed", self.seed, 0, 2**31 - 1)

    @property
    def unfreeze_depth(self) -> int | Literal["auto", "all"] | None:
        """How many blocks to unfreeze; None for none at all."""
        if self.unfreeze == "none":
            return None if self.budget is None else "auto"
        return self.unfreeze


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What `nstk.audit` considers a duplicate, and its random seed.

    Raises:
        SettingsError: If a value is out of its range.
    """

    near_distance: int = setting(
        8, "Bits of the 64-bit image hash that may differ between near-duplicates"
    )
    seed: int = setting(0, "Random seed")

    def __post_init__(self) -> None:
        check_whole("near_distance", self.near_distance, 0, 32)
        check_whole("seed", self.seed, 0, 2**31 - 1)
