"""The settings of `nstk.finetune`, `nstk.audit` and `nstk.export`."""

from dataclasses import dataclass
from typing import Literal

from nstk.settings.fields import (
    INFINITY,
    MAX_SEED,
    Settings,
    check_blocks,
    check_color,
    check_pattern,
    check_whole,
    setting,
)
from nstk.settings.parsing import (
    AugmentationName,
    DecodeMode,
    ExecutorName,
    FeatureChoice,
    parse_time,
)

_BACKGROUND = "Color under transparent pixels: white, gray, black or one such as #ff8000"
_DECODE = (
    "How JPEGs are decoded whose shorter side is at least twice what the network needs: at a "
    "fraction of their size (fast), or whole (exact)"
)
_EXECUTOR = (
    "What runs the frozen network: tensorflow, litert (LiteRT with XNNPACK, faster on most "
    "processors once it has converted the network) or auto (the faster one)"
)


def _check_folds(name: str, value: int) -> None:
    if value != 0:
        check_whole(name, value, 2, 100)


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(Settings):
    """How `nstk.finetune` computes features, fits the head and unfreezes blocks.

    Raises:
        SettingsError: If a value is out of its range.
    """

    size: int | Literal["auto"] = setting(
        "auto",
        "Side in pixels of the square crop the network sees; auto: the network's own size, or "
        "5/7 of it if that magnified the images more than 2.5 times",
        span=(32, 1024),
    )
    features: FeatureChoice = setting(
        "pooled",
        "Features of the head: pooled (channel means of the last map), pooled+statistics (also "
        "means and standard deviations of earlier maps) or auto (whichever scores better in "
        "cross-validation)",
    )
    views: int = setting(
        1, "Number of views per image, flipped and cropped; the head sees their mean", span=(1, 8)
    )
    folds: int = setting(
        0,
        "Cross-validate with this many folds and train on all images; 0 holds out a share",
        check=_check_folds,
    )
    balance: bool = setting(
        False, "Give every class the same weight, regardless of its number of images"
    )
    learning_curve: bool = setting(
        False,
        "Measure how accuracy grows with the number of images, and predict it for twice as many",
    )
    validation_share: float = setting(
        0.2,
        "Share of the training images to hold out if DATA has no validation split",
        span=(0.05, 0.5),
    )
    label_pattern: str | None = setting(
        None,
        "Regular expression that finds the label in the name of each file, as its first group: "
        r"'(.+)_\d+' for cat_17.jpg; with a /, it is searched in the path below DATA",
        check=check_pattern,
        metavar="REGEX",
    )
    min_images: int = setting(
        0,
        "Leave out classes with fewer images than this, with a notice; 0 refuses data with an "
        "empty class or one with a single image",
    )
    background: str = setting("white", _BACKGROUND, check=check_color, metavar="COLOR")
    decode: DecodeMode = setting("fast", _DECODE)
    executor: ExecutorName = setting("auto", _EXECUTOR)
    unfreeze: int | Literal["none", "auto", "all"] = setting(
        "none",
        "Number of last blocks to unfreeze and train once the head is solved; the result is "
        "kept only if its log-loss on held-out images is smaller",
        check=check_blocks,
    )
    budget: float | None = setting(
        None,
        "Time limit, e.g. 60s or 10m: the head first, then blocks are unfrozen and trained in the "
        "remaining time (as many as --unfreeze says, else auto)",
        span=(1, INFINITY),
        parse=parse_time,
        metavar="TIME",
    )
    augment: AugmentationName = setting(
        "auto",
        "Data augmentation for --unfreeze: none, mixup (reuses precomputed activations), light "
        "(flip, zoom, shift, color jitter), strong (RandAugment and mixup) or auto (light if "
        "time allows)",
    )
    seed: int = setting(0, "Random seed", span=(0, MAX_SEED))

    @property
    def unfreeze_depth(self) -> int | Literal["auto", "all"] | None:
        """How many blocks to unfreeze; None for none at all."""
        if self.unfreeze == "none":
            return None if self.budget is None else "auto"
        return self.unfreeze


@dataclass(frozen=True, kw_only=True)
class AuditSettings(Settings):
    """What `nstk.audit` considers a duplicate, and how it reads images."""

    near_distance: int = setting(
        8, "Bits of the 64-bit image hash that may differ between near-duplicates", span=(0, 32)
    )
    label_pattern: str | None = setting(
        None,
        "Regular expression that finds the label in the name of each file, as its first group",
        check=check_pattern,
        metavar="REGEX",
    )
    background: str = setting("white", _BACKGROUND, check=check_color, metavar="COLOR")
    decode: DecodeMode = setting("fast", _DECODE)
    executor: ExecutorName = setting("auto", _EXECUTOR)
    seed: int = setting(0, "Random seed", span=(0, MAX_SEED))


@dataclass(frozen=True, kw_only=True)
class ExportSettings(Settings):
    """How an exported classifier is verified."""

    min_agreement: float = setting(
        0.97, "Share of the images that tflite-int8 must label like the original", span=(0, 1)
    )
    size: int | None = setting(
        None,
        "Height and width of the input of a tflite file, as phones need it; default: any",
        span=(1, 4096),
    )
    max_images: int = setting(200, "Number of images to verify with, at most", span=(1, INFINITY))
    seed: int = setting(0, "Random seed for choosing the images", span=(0, MAX_SEED))
