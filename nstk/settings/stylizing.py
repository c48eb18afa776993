"""The settings of `nstk.stylize`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nstk.errors import SettingsError
from nstk.settings.checks import are_weights, check_layers, check_range, check_whole, check_word
from nstk.settings.fields import setting
from nstk.settings.parsing import (
    ColorMatching,
    ColorMode,
    ConvolutionName,
    LayerWeights,
    OptimizerName,
    Pooling,
    PrecisionName,
    StyleLoss,
    TilingName,
    parse_blend,
    parse_layers,
    parse_memory,
    parse_strength,
)

DEFAULT_SIMILARITY = 0.75
"""The target content similarity of ``--strength auto``."""


@dataclass(frozen=True, kw_only=True)
class StylizeSettings:
    """The settings of `nstk.stylize`.

    The objective is L = α·L_content + β·Σ λ_l·L_style^l + γ·L_tv (Gatys, Ecker and Bethge 2016,
    eq. 7, plus total variation); content and style losses are relative to their targets.

    Raises:
        SettingsError: If a value is out of range.
    """

    size: int = setting(
        512, "Longer side of the result in pixels; the aspect ratio is that of the content"
    )
    steps: int = setting(
        80,
        "Steps at the full scale; each coarser scale gets √2 times as many as the next finer one",
    )
    scales: int | Literal["auto"] = setting(
        "auto",
        "Number of scales, coarse to fine, each √2 larger than the one before",
    )
    strength: float | str = setting(
        0.5,
        "Strength of the style, from 0 (mostly content) to 1 (mostly style); auto=TARGET finds the "
        "strength whose result has this content similarity",
        parse=parse_strength,
        metavar="X|auto[=TARGET]",
    )
    content_weight: float = setting(
        0.4, "Weight α of the content loss, at strength 0.5 and 512 pixels"
    )
    style_weight: float = setting(1.0, "Weight β of the style loss")
    tv_weight: float = setting(0.1, "Weight γ of the total variation")
    content_layers: LayerWeights | Literal["auto"] = setting(
        "auto",
        "Content layers with their weights; auto chooses one at stride 8",
        parse=parse_layers,
        metavar="LAYER[:WEIGHT],…",
    )
    style_layers: LayerWeights | Literal["auto"] = setting(
        "auto",
        "Style layers with their weights λ; auto chooses the activations up to stride 16",
        parse=parse_layers,
        metavar="LAYER[:WEIGHT],…",
    )
    style_loss: StyleLoss = setting(
        "moments",
        "Style loss: Gram matrix with means and standard deviations (moments), Gram matrix alone "
        "(gram, Gatys et al.), or Wasserstein-2 distance",
    )
    style_blend: tuple[float, ...] | Literal["equal"] = setting(
        "equal",
        "Weights of several styles",
        parse=parse_blend,
        metavar="X,X,…",
    )
    style_scale: float = setting(1.0, "Size of the strokes relative to those of the style image")
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
        "auto", "Learning rate for an image in [0, 1]; auto is the optimizer's default"
    )
    tolerance: float = setting(
        0.0,
        "Stop a scale early when the loss improves by less than this fraction over 20 steps; 0 "
        "disables this",
    )
    pooling: Pooling = setting("max", "Pooling of networks with 2×2 max-pooling, such as VGG")
    init: str = setting("content", "Initial image: content, noise, gray, style, or an image file")
    tiling: TilingName = setting(
        "auto",
        "Process the image tile by tile, which takes half as long again and a fraction of the "
        "memory; auto does so only if the whole image does not fit",
    )
    precision: PrecisionName = setting(
        "auto", "Number format of convolutions; auto is bfloat16 if this machine is faster with it"
    )
    convolution: ConvolutionName = setting(
        "auto",
        "Algorithm of 3×3 float32 convolutions with many channels: direct, or Winograd with a "
        "quarter of the multiplications; auto is the faster one on this machine",
    )
    max_memory: int | Literal["auto"] = setting(
        "auto",
        "Memory limit, such as 2GiB; auto is most of the available memory",
        parse=parse_memory,
        metavar="SIZE",
    )
    seed: int = setting(0, "Random seed")

    def __post_init__(self) -> None:
        check_whole("size", self.size, 16)
        check_whole("steps", self.steps, 1)
        if self.scales != "auto":
            check_whole("scales", self.scales, 1, 20)
        self._check_strength()
        for weight in ("content_weight", "style_weight", "tv_weight", "tolerance"):
            check_range(weight, getattr(self, weight), 0)
        check_layers("content_layers", self.content_layers)
        check_layers("style_layers", self.style_layers)
        self._check_blend()
        self._check_init()
        check_range("style_scale", self.style_scale, 0.05, 20)
        for word, kind in (
            ("style_loss", StyleLoss),
            ("color", ColorMode),
            ("color_matching", ColorMatching),
            ("optimizer", OptimizerName),
            ("pooling", Pooling),
            ("tiling", TilingName),
            ("precision", PrecisionName),
            ("convolution", ConvolutionName),
        ):
            check_word(word, getattr(self, word), kind)
        if self.learning_rate != "auto":
            check_range("learning_rate", self.learning_rate, 1e-6, 1e6)
        if (self.precision, self.convolution) == ("bfloat16", "winograd"):
            raise SettingsError(
                "`convolution='winograd'` computes in float32, but `precision` is bfloat16; "
                "choose one of the two and leave the other at auto."
            )
        if self.max_memory != "auto":
            check_whole("max_memory", self.max_memory, 2**20)
        check_whole("seed", self.seed, 0, 2**31 - 1)

    @property
    def target_similarity(self) -> float | None:
        """The target content similarity of ``auto``; None if the strength is a number."""
        if not isinstance(self.strength, str):
            return None
        word, _, target = self.strength.partition("=")
        try:
            value = float(target or DEFAULT_SIMILARITY)
        except ValueError:
            value = float("nan")
        if word != "auto" or not 0 < value < 1:
            raise SettingsError(
                f"`strength` is {self.strength!r}; it must be a number from 0 to 1, auto, or "
                "auto=TARGET with a content similarity between 0 and 1."
            )
        return value

    def _check_strength(self) -> None:
        if self.target_similarity is None and not isinstance(self.strength, str):
            check_range("strength", self.strength, 0, 1)

    def _check_init(self) -> None:
        init: object = self.init
        if isinstance(init, Path):  # reports and checkpoints hold text
            object.__setattr__(self, "init", str(init))
        elif not isinstance(init, str):
            raise SettingsError(
                f"`init` is {init!r}; it must be content, noise, gray, style, or the path of "
                "an image."
            )

    def _check_blend(self) -> None:
        blend = self.style_blend
        if isinstance(blend, str) and blend == "equal":
            return
        if not (isinstance(blend, tuple | list) and are_weights(blend)):
            raise SettingsError(
                f"`style_blend` is {self.style_blend!r}; it must be equal, or one weight of 0 or "
                "more for each style, not all 0, as in 0.7,0.3."
            )
