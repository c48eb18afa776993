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
from nstk.settings.parsing import parse_time
from nstk.settings.words import AugmentationName, FeatureChoice


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """How a head is fitted on the features of a folder of images, and what may follow.

    Raises:
        SettingsError: If a value is out of its range.
    """

    size: int | Literal["auto"] = setting(
        "auto",
        "Side in pixels of the square the network sees; auto is the network's own, or 5/7 of it "
        "where it would magnify the images more than 2.5 times",
    )
    features: FeatureChoice = setting(
        "pooled",
        "What the head sees: pooled, the mean of the last map; pooled+statistics, also means and "
        "deviations of earlier maps; auto, the one that training images left out favor",
    )
    views: int = setting(
        1, "In how many ways every image is seen, mirrored and cropped; the head sees the mean"
    )
    folds: int = setting(
        0, "Cross-validate with this many folds and learn from all images; 0 holds out a share"
    )
    balance: bool = setting(False, "Let every class weigh the same, however many images it has")
    learning_curve: bool = setting(
        False, "Measure how accuracy grows with images, and what twice as many would bring"
    )
    validation_share: float = setting(
        0.2, "Share of the training images held out where the folder brings no validation part"
    )
    unfreeze: int | Literal["none", "auto", "all"] = setting(
        "none",
        "How many of the network's last blocks go on learning once the head is solved; kept only "
        "where images held out favor it",
    )
    budget: float | None = setting(
        None,
        "Time for all of it, as in 60s or 10m: the head first, then blocks are unfrozen (auto, "
        "unless --unfreeze says how many) for as long as is left",
        parse=parse_time,
        metavar="TIME",
    )
    augment: AugmentationName = setting(
        "auto",
        "What images go through while blocks learn: none; mixup, which needs no new pass through "
        "the frozen blocks; light, mirrored, moved and relit; strong, RandAugment and mixup; auto, "
        "light where time allows",
    )
    seed: int = setting(0, "Seed of everything random")

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
    def opening(self) -> int | Literal["auto", "all"] | None:
        """How many blocks learn in a second stage; None where there is none."""
        if self.unfreeze == "none":
            return None if self.budget is None else "auto"
        return self.unfreeze


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What an audit takes for a copy, and how it deals the images over its folds.

    Raises:
        SettingsError: If a value is out of its range.
    """

    near_distance: int = setting(
        8, "How many of the 64 bits of their hashes may differ between near duplicates"
    )
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        check_whole("near_distance", self.near_distance, 0, 32)
        check_whole("seed", self.seed, 0, 2**31 - 1)
