"""The settings of `nstk.stylize`, and those of checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nstk.settings.fields import (
    INFINITY,
    MAX_SEED,
    Settings,
    are_weights,
    check_layers,
    check_range,
    check_whole,
    refuse,
    setting,
)
from nstk.settings.parsing import (
    ColorMatching,
    ColorMode,
    LayerWeights,
    OptimizerName,
    Pooling,
    PrecisionName,
    QualityName,
    StyleLoss,
    TilingName,
    parse_blend,
    parse_interval,
    parse_layers,
    parse_memory,
    parse_strength,
)

DEFAULT_SIMILARITY = 0.75
"""The target content similarity of ``--strength auto``."""

STEPS: Mapping[QualityName, int] = {"draft": 10, "standard": 60, "best": 200}
"""Steps at every scale by quality."""


def _target_similarity(strength: str) -> float:
    """The number in ``auto=0.8``; NaN if the text is not of this form."""
    word, _, target = strength.partition("=")
    try:
        return float(target or DEFAULT_SIMILARITY) if word == "auto" else float("nan")
    except ValueError:
        return float("nan")


def _check_strength(name: str, value: Any) -> None:
    if not isinstance(value, str):
        check_range(name, value, 0, 1)
    elif not 0 < _target_similarity(value) < 1:
        auto = "auto=TARGET with a content similarity between 0 and 1"
        raise refuse(name, value, f"a number from 0 to 1, auto, or {auto}")


def _check_init(name: str, value: object) -> None:
    if not isinstance(value, str | Path):
        raise refuse(name, value, "content, noise, gray, style, or the path of an image")


def _check_blend(name: str, value: object) -> None:
    if isinstance(value, tuple | list):
        fits = are_weights(value)
    else:
        fits = isinstance(value, str) and value == "equal"
    if not fits:
        weights = "one weight of 0 or more for each style, not all 0, as in 0.7,0.3"
        raise refuse(name, value, f"equal, or {weights}")


@dataclass(frozen=True, kw_only=True)
class StylizeSettings(Settings):
    """The settings of `nstk.stylize`.

    The objective is L = α·L_content + β·Σ λ_l·L_style^l + γ·L_tv (Gatys, Ecker and Bethge 2016,
    eq. 7, plus total variation); content and style losses are relative to their targets.

    Raises:
        SettingsError: If a value is out of range.
    """

    size: int = setting(
        512,
        "Longer side of the result in pixels; the aspect ratio is that of the content",
        span=(16, INFINITY),
    )
    quality: QualityName = setting(
        "standard", "Number of steps: draft for a first look, standard, or best for a final image"
    )
    steps: int | Literal["auto"] = setting(
        "auto",
        "Steps at every scale; auto follows quality",
        span=(1, INFINITY),
    )
    scales: int | Literal["auto"] = setting(
        "auto", "Number of scales, coarse to fine, each √2 larger than the one before", span=(1, 20)
    )
    strength: float | str = setting(
        0.5,
        "Strength of the style, from 0 (mostly content) to 1 (mostly style); auto=TARGET finds the "
        "strength whose result has this content similarity",
        check=_check_strength,
        parse=parse_strength,
        metavar="X|auto[=TARGET]",
    )
    content_weight: float = setting(
        0.25, "Weight α of the content loss, at strength 0.5 and 512 pixels"
    )
    style_weight: float = setting(1.0, "Weight β of the style loss")
    tv_weight: float = setting(0.1, "Weight γ of the total variation")
    content_layers: LayerWeights | Literal["auto"] = setting(
        "auto",
        "Content layers with their weights; auto chooses one at stride 8",
        check=check_layers,
        parse=parse_layers,
        metavar="LAYER[:WEIGHT],…",
    )
    style_layers: LayerWeights | Literal["auto"] = setting(
        "auto",
        "Style layers with their weights λ; auto chooses the activations up to stride 16",
        check=check_layers,
        parse=parse_layers,
        metavar="LAYER[:WEIGHT],…",
    )
    style_loss: StyleLoss = setting(
        "moments",
        "Style loss: Gram matrix with means and standard deviations (moments), Gram matrix alone "
        "(gram, Gatys et al.), or Wasserstein-2 distance",
    )
    style_blend: tuple[float, ...] | Literal["equal"] = setting(
        "equal", "Weights of several styles", check=_check_blend, parse=parse_blend, metavar="X,X,…"
    )
    style_scale: float = setting(
        1.0, "Size of the strokes relative to those of the style image", span=(0.05, 20)
    )
    color: ColorMode = setting(
        "style",
        "Colors of the result: those of the style, or those of the content by transferring only "
        "luminance, by recoloring the style first (match, histogram), or by restoring the "
        "content's hues (lab)",
    )
    color_matching: ColorMatching = setting(
        "symmetric", "Square root of the covariance that --color match uses"
    )
    optimizer: OptimizerName = setting("adam", "Optimizer")
    learning_rate: float | Literal["auto"] = setting(
        "auto",
        "Learning rate for an image in [0, 1]; auto is the optimizer's default",
        span=(1e-6, 1e6),
    )
    tolerance: float = setting(
        0.0,
        "Stop a scale early when the loss improves by less than this fraction over 20 steps; 0 "
        "disables this",
    )
    pooling: Pooling = setting("max", "Pooling of networks with 2×2 max-pooling, such as VGG")
    init: str = setting(
        "content", "Initial image: content, noise, gray, style, or an image file", check=_check_init
    )
    tiling: TilingName = setting(
        "auto",
        "Process the image tile by tile, which takes half as long again and a fraction of the "
        "memory; auto does so only if the whole image does not fit",
    )
    precision: PrecisionName = setting(
        "auto", "Number format of convolutions; auto is bfloat16 if this machine is faster with it"
    )
    max_memory: int | Literal["auto"] = setting(
        "auto",
        "Memory limit, such as 2GiB; auto is most of the available memory",
        span=(2**20, INFINITY),
        parse=parse_memory,
        metavar="SIZE",
    )
    seed: int = setting(0, "Random seed", span=(0, MAX_SEED))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "init", str(self.init))  # reports and checkpoints hold text

    @property
    def steps_per_scale(self) -> int:
        """The number of ``steps``, that of the quality if it is auto."""
        return STEPS[self.quality] if isinstance(self.steps, str) else self.steps

    @property
    def target_similarity(self) -> float | None:
        """The target content similarity of ``auto``; None if the strength is a number."""
        return _target_similarity(self.strength) if isinstance(self.strength, str) else None


def _check_interval(name: str, value: Any) -> None:
    if not isinstance(value, str):
        check_whole(name, value, 1)
    elif not _seconds(value) > 0:
        raise refuse(name, value, "a number of steps, or seconds as in 60s")


def _seconds(interval: str) -> float:
    try:
        return float(interval.removesuffix("s"))
    except ValueError:
        return 0.0


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings(Settings):
    """Where and how often a long job saves its state; none of this changes its result.

    Raises:
        SettingsError: If a value is out of its range.
    """

    checkpoint: Path | None = setting(
        None, "Folder for the state of the run, so that it can be resumed", metavar="DIR"
    )
    checkpoint_every: int | str = setting(
        "60s",
        "Interval between checkpoints: a number of steps, or seconds as in 60s",
        check=_check_interval,
        parse=parse_interval,
        metavar="N|SECONDS",
    )
    resume: bool = setting(
        False, "Resume from the last state in the checkpoint folder, if there is one"
    )

    @property
    def steps(self) -> int:
        """Steps between two checkpoints; 0 if the interval is in seconds."""
        return 0 if isinstance(self.checkpoint_every, str) else self.checkpoint_every

    @property
    def seconds(self) -> float | None:
        """Seconds between two checkpoints; None if the interval is in steps."""
        every = self.checkpoint_every
        return _seconds(every) if isinstance(every, str) else None
