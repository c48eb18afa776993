"""Types of setting values, and parsers that raise ValueError where a text is none of them."""

from collections.abc import Mapping
from typing import Literal

ColorMode = Literal["style", "luminance", "match", "match-luminance", "histogram", "lab"]
ColorMatching = Literal["symmetric", "pca", "cholesky"]
OptimizerName = Literal["adam", "gradient-descent", "lbfgs", "newton"]
Pooling = Literal["max", "average", "l2"]
TilingName = Literal["auto", "off", "on"]
PrecisionName = Literal["auto", "float32", "bfloat16"]
QualityName = Literal["draft", "standard", "best"]
StyleLoss = Literal["moments", "gram", "wasserstein"]
FeatureChoice = Literal["pooled", "pooled+statistics", "auto"]
AugmentationName = Literal["auto", "none", "mixup", "light", "strong"]
ExecutorName = Literal["auto", "tensorflow", "litert"]
DecodeMode = Literal["fast", "exact"]
LayerWeights = Mapping[str, float]
Color = tuple[int, int, int]
"""Red, green and blue, from 0 to 255."""

_COLORS: Mapping[str, Color] = {
    "white": (255, 255, 255),
    "gray": (128, 128, 128),
    "black": (0, 0, 0),
}


def parse_color(text: str) -> Color:
    """Parse white, gray, black or ``#rrggbb``."""
    if text in _COLORS:
        return _COLORS[text]
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{text!r} is not white, gray, black or #rrggbb.") from None
    return red, green, blue


def parse_layers(text: str) -> LayerWeights | str:
    """Parse ``block1_conv1:4,block2_conv1``: layers with weights, 1 by default."""
    if text == "auto":
        return text
    pairs = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    return {name: float(weight) if colon else 1.0 for name, colon, weight in pairs}


def parse_blend(text: str) -> tuple[float, ...] | str:
    """Parse ``0.7,0.3``: one weight for each style."""
    return text if text == "equal" else tuple(float(part) for part in text.split(","))


def parse_strength(text: str) -> float | str:
    """Parse a number, ``auto`` or ``auto=TARGET``."""
    return text if text.startswith("auto") else float(text)


TIME_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def parse_time(text: str) -> float:
    """Parse ``60s``, ``10m``, ``1h`` or a number of seconds."""
    unit = text.lstrip("0123456789. ")
    if unit.lower() not in TIME_UNITS:
        raise ValueError(f"{text!r} is not a time; write it as 60s or 10m.")
    return float(text.removesuffix(unit)) * TIME_UNITS[unit.lower()]


MEMORY_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
MEMORY_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_memory(text: str) -> int | str:
    """Parse ``2GiB``, ``500 MB`` or a number of bytes."""
    if text == "auto":
        return text
    unit = text.lstrip("0123456789. ")
    if unit.lower() not in MEMORY_UNITS:
        raise ValueError(f"{text!r} is not an amount of memory; write it as 2GiB or 500MB.")
    return int(float(text.removesuffix(unit)) * MEMORY_UNITS[unit.lower()])


def parse_interval(text: str) -> int | str:
    """Parse ``50``, a number of steps, or ``60s``, seconds."""
    if not text.endswith("s"):
        return int(text)
    float(text.removesuffix("s"))
    return text


def parse_names(text: str) -> tuple[str, ...] | str:
    """Parse ``block1_conv1,block2_conv1``, or ``auto``."""
    return text if text == "auto" else tuple(part.strip() for part in text.split(","))
