"""The settings of the commands that look inside a network."""

from dataclasses import dataclass
from typing import Literal

from nstk.errors import SettingsError
from nstk.settings.checks import check_range, check_whole, check_word
from nstk.settings.fields import setting
from nstk.settings.parsing import parse_names
from nstk.settings.words import OptimizerName, Pooling


@dataclass(frozen=True, kw_only=True)
class FrozenSettings:
    """How ``nstk inspect frozen`` looks, and how long it trains what it compares with.

    Raises:
        SettingsError: If a value is out of its range.
    """

    size: int | Literal["auto"] = setting(
        "auto", "Side in pixels of the square the network sees; auto is the network's own"
    )
    scratch_passes: int = setting(
        20, "Train random weights for this many passes through the images, at most"
    )
    scratch_seconds: float = setting(60.0, "Train random weights for so many seconds, at most")
    validation_share: float = setting(
        0.2, "Share of the training images held out where the folder brings no validation part"
    )
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        if self.size != "auto":
            check_whole("size", self.size, 32, 1024)
        check_whole("scratch_passes", self.scratch_passes, 1)
        check_range("scratch_seconds", self.scratch_seconds, 0)
        check_range("validation_share", self.validation_share, 0.05, 0.5)
        check_whole("seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class InspectSettings:
    """What of a network is shown, at which size, and how long is descended for it.

    Raises:
        SettingsError: If a value is out of its range.
    """

    layers: tuple[str, ...] | Literal["auto"] = setting(
        "auto",
        "Layers to look at; auto is the first activation at every stride up to 16",
        parse=parse_names,
        metavar="LAYER,…",
    )
    size: int = setting(256, "Longer side in pixels that larger images are brought to")
    channels: int = setting(6, "How many channels of a layer are shown, the strongest first")
    pairs: int = setting(3, "How many pairs of channels of a layer are shown")
    steps: int = setting(100, "Steps of every descent, or ascent")
    optimizer: OptimizerName = setting("lbfgs", "The rule of descent")
    pooling: Pooling = setting("max", "How a network of VGG's shape pools")
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        names = self.layers if isinstance(self.layers, tuple | list) else ()
        if self.layers != "auto" and not any(names):
            raise SettingsError(
                f"--layers is {self.layers!r}; it must be auto, or names of layers as in "
                "block1_conv1,block2_conv1."
            )
        check_whole("size", self.size, 16)
        check_whole("channels", self.channels, 1, 64)
        check_whole("pairs", self.pairs, 1, 16)
        check_whole("steps", self.steps, 1)
        check_word("optimizer", self.optimizer, OptimizerName)
        check_word("pooling", self.pooling, Pooling)
        check_whole("seed", self.seed, 0, 2**31 - 1)
