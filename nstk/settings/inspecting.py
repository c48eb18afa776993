"""The settings of inspections and of `nstk.study_frozen`."""

from dataclasses import dataclass
from typing import Any, Literal

from nstk.settings.fields import INFINITY, MAX_SEED, Settings, check_pattern, refuse, setting
from nstk.settings.parsing import OptimizerName, Pooling, parse_names


@dataclass(frozen=True, kw_only=True)
class FrozenSettings(Settings):
    """How `nstk.study_frozen` computes features, and how long it trains from scratch."""

    size: int | Literal["auto"] = setting(
        "auto",
        "Side in pixels of the square crop the network sees; auto: the network's own size",
        span=(32, 1024),
    )
    scratch_passes: int = setting(
        20, "Train from random weights for at most this many epochs", span=(1, INFINITY)
    )
    scratch_seconds: float = setting(
        60.0, "Train from random weights for at most this many seconds"
    )
    validation_share: float = setting(
        0.2,
        "Share of the training images to hold out if DATA has no validation split",
        span=(0.05, 0.5),
    )
    label_pattern: str | None = setting(
        None,
        "Regular expression that finds the label in the name of each file, as its first group",
        check=check_pattern,
        metavar="REGEX",
    )
    min_images: int = setting(
        0, "Leave out classes with fewer images than this, with a notice", span=(0, INFINITY)
    )
    seed: int = setting(0, "Random seed", span=(0, MAX_SEED))


def _check_names(name: str, value: object) -> None:
    if value != "auto" and not (isinstance(value, tuple | list) and any(value)):
        raise refuse(name, value, "auto, or layer names such as block1_conv1,block2_conv1")


def _check_formula(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise refuse(name, value, "a formula of x, such as x^2 - 2")


def _layers_setting(default: object, help: str) -> Any:
    return setting(default, help, check=_check_names, parse=parse_names, metavar="LAYER,…")


@dataclass(frozen=True, kw_only=True)
class InspectSettings(Settings):
    """Which layers and channels to inspect, at which size, and how images are optimized."""

    layers: tuple[str, ...] | Literal["auto"] = _layers_setting(
        "auto", "Layers to inspect; auto: the first activation at every stride up to 16"
    )
    size: int = setting(
        256, "Longer side in pixels; larger images are scaled down to it", span=(16, INFINITY)
    )
    channels: int = setting(
        6, "Number of channels to show per layer, those with the most energy first", span=(1, 64)
    )
    pairs: int = setting(3, "Number of channel pairs to show per layer", span=(1, 16))
    steps: int = setting(100, "Optimization steps per image", span=(1, INFINITY))
    optimizer: OptimizerName = setting("lbfgs", "Optimizer")
    pooling: Pooling = setting("max", "Pooling of VGG-like networks")
    seed: int = setting(0, "Random seed", span=(0, MAX_SEED))


@dataclass(frozen=True, kw_only=True)
class NewtonSettings(Settings):
    """The curve of Newton's method, and the image loss that optimizers are compared on."""

    function: str = setting(
        "x^2 - 2",
        "Function of x for x - f/f': numbers, + - * / ^, brackets, sin, cos, exp, log, sqrt, …",
        check=_check_formula,
        metavar="FORMULA",
    )
    start: float = setting(3.0, "First x", span=(-1e6, 1e6))
    iterations: int = setting(8, "Most steps on the curve", span=(1, 50))
    layers: tuple[str, ...] | Literal["auto"] = _layers_setting(
        "auto", "Layers of the content loss; auto: the first activation at every stride up to 16"
    )
    size: int = setting(
        128, "Longer side in pixels; larger images are scaled down to it", span=(16, INFINITY)
    )
    steps: int = setting(30, "Steps of each optimizer", span=(1, INFINITY))
    seed: int = setting(0, "Random seed", span=(0, MAX_SEED))
