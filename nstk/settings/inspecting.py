"""The settings of inspections and of `nstk.study_frozen`."""

from dataclasses import dataclass
from typing import Literal

from nstk.errors import SettingsError
from nstk.settings.checks import check_range, check_whole, check_word
from nstk.settings.fields import setting
from nstk.settings.parsing import OptimizerName, Pooling, parse_names


@dataclass(frozen=True, kw_only=True)
class FrozenSettings:
    """How `nstk.study_frozen` computes features, and how long it trains from scratch.

    Raises:
        SettingsError: If a value is out of its range.
    """

    size: int | Literal["auto"] = setting(
        "auto", "Side in pixels of the square crop the network sees; auto: the network's own size"
    )
    scratch_passes: int = setting(20, "Train from random weights for at most this many epochs")
    scratch_seconds: float = setting(
        60.0, "Train from random weights for at most this many seconds"
    )
    validation_share: float = setting(
        0.2, "Share of the training images to hold out if DATA has no validation split"
    )
    seed: int = setting(0, "Random seed")

    def __post_init__(self) -> None:
        if self.size != "auto":
            check_whole("size", self.size, 32, 1024)
        check_whole("scratch_passes", self.scratch_passes, 1)
        check_range("scratch_seconds", self.scratch_seconds, 0)
        check_range("validation_share", self.validation_share, 0.05, 0.5)
        check_whole("seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class InspectSettings:
    """Which layers and channels to inspect, at which size, and how images are optimized.

    Raises:
        SettingsError: If a value is out of its range.
    """

    layers: tuple[str, ...] | Literal["auto"] = setting(
        "auto",
        "Layers to inspect; auto: the first activation at every stride up to 16",
        parse=parse_names,
        metavar="LAYER,…",
    )
    size: int = setting(256, "Longer side in pixels; larger images are scaled down to it")
    channels: int = setting(
        6, "Number of channels to show per layer, those with the most energy first"
    )
    pairs: int = setting(3, "Number of channel pairs to show per layer")
    steps: int = setting(100, "Optimization steps per image")
    optimizer: OptimizerName = setting("lbfgs", "Optimizer")
    pooling: Pooling = setting("max", "Pooling of VGG-like networks")
    seed: int = setting(0, "Random seed")

    def __post_init__(self) -> None:
        names = self.layers if isinstance(self.layers, tuple | list) else ()
        if self.layers != "auto" and not any(names):
            raise SettingsError(
                f"`layers` is {self.layers!r}; it must be auto, or layer names such as "
                "block1_conv1,block2_conv1."
            )
        check_whole("size", self.size, 16)
        check_whole("channels", self.channels, 1, 64)
        check_whole("pairs", self.pairs, 1, 16)
        check_whole("steps", self.steps, 1)
        check_word("optimizer", self.optimizer, OptimizerName)
        check_word("pooling", self.pooling, Pooling)
        check_whole("seed", self.seed, 0, 2**31 - 1)
