"""The settings of `nstk.stylize`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nstk.errors import SettingsError
from nstk.settings.checks import are_weights, check_layers, check_range, check_whole, check_word
from nstk.settings.fields import setting
from nstk.settings.parsing import parse_blend, parse_layers, parse_memory, parse_strength
from nstk.settings.words import (
    ColorMatching,
    ColorMode,
    ConvolutionName,
    LayerWeights,
    OptimizerName,
    Pooling,
    PrecisionName,
    StyleLoss,
    TilingName,
)

DEFAULT_SIMILARITY = 0.75
"""The content similarity that ``--strength auto`` aims at."""


@dataclass(frozen=True, kw_only=True)
class StylizeSettings:
    """What an image is to become and how long to work on it.

    The objective is L = α·L_content + β·Σ λ_l·L_style^l + γ·L_variation (Gatys, Ecker and
    Bethge 2016, eq. 7, plus the variation term); content and style are relative to their targets.

    Raises:
        SettingsError: If a value is out of its range.
    """

    size: int = setting(512, "Longer side of the result in pixels; the content's aspect is kept")
    steps: int = setting(
        80, "Steps at the last, full scale; every coarser scale gets √2 times as many as the next"
    )
    scales: int | Literal["auto"] = setting(
        "auto",
        "How many scales, coarse to fine, each √2 larger than the one before; 1 is one scale",
    )
    strength: float | str = setting(
        0.5,
        "How far to go: 0 keeps nearly all of the content, 1 lets the style take over; "
        "auto=TARGET searches for the strength that keeps this content similarity",
        parse=parse_strength,
        metavar="X|auto[=TARGET]",
    )
    content_weight: float = setting(
        0.4, "Weight α of the content loss, at strength 0.5 and 512 pixels"
    )
    style_weight: float = setting(1.0, "Weight β of the style loss")
    tv_weight: float = setting(0.1, "Weight γ of the variation of neighboring pixels")
    content_layers: LayerWeights | Literal["auto"] = setting(
        "auto",
        "Content layers; auto is one at stride 8",
        parse=parse_layers,
        metavar="LAYER[:WEIGHT],…",
    )
    style_layers: LayerWeights | Literal["auto"] = setting(
        "auto",
        "Style layers with their weights λ; auto is every activation up to stride 16",
        parse=parse_layers,
        metavar="LAYER[:WEIGHT],…",
    )
    style_loss: StyleLoss = setting(
        "moments",
        "How a layer is compared with the style: Gram matrix with means and deviations, Gram "
        "matrix alone (Gatys et al.), or Wasserstein-2 distance",
    )
    style_blend: tuple[float, ...] | Literal["equal"] = setting(
        "equal",
        "How much each of several styles counts",
        parse=parse_blend,
        metavar="X,X,…",
    )
    style_scale: float = setting(1.0, "Size of the style's strokes against the style image's own")
    color: ColorMode = setting(
        "style",
        "Whose colors the result has: the style's, or the content's: by painting luminance alone, "
        "by recolouring the style first (match, histogram), or by taking the hues back (lab)",
    )
    color_matching: ColorMatching = setting(
        "symmetric", "Which root of the covariance --color match uses"
    )
    optimizer: OptimizerName = setting("adam", "The rule of descent")
    learning_rate: float | Literal["auto"] = setting(
        "auto", "Its step size, for an image in [0, 1]; auto is the optimizer's own"
    )
    tolerance: float = setting(
        0.0, "Leave a scale when the loss fell by less than this share in 20 steps; 0 is never"
    )
    pooling: Pooling = setting("max", "How a network of VGG's shape pools")
    init: str = setting(
        "content", "Where the descent starts: content, noise, gray, style, or an image file"
    )
    tiling: TilingName = setting(
        "auto",
        "Look at the whole image at once, or in windows, which takes half as long again and a "
        "fraction of the memory; auto looks at once where it fits",
    )
    precision: PrecisionName = setting(
        "auto", "What convolutions run in; auto is bfloat16 where this machine is faster with it"
    )
    convolution: ConvolutionName = setting(
        "auto",
        "How 3×3 convolutions of many channels are computed in float32: directly, or by Winograd's "
        "filtering, with a fourth of the products; auto is what this machine is faster with",
    )
    max_memory: int | Literal["auto"] = setting(
        "auto",
        "How much memory may be taken, as in 2GiB; auto is most of what is free",
        parse=parse_memory,
        metavar="SIZE",
    )
    seed: int = setting(0, "Seed of everything random")

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
                "--convolution winograd computes in float32, but --precision is bfloat16; "
                "choose one of the two and leave the other at auto."
            )
        if self.max_memory != "auto":
            check_whole("max_memory", self.max_memory, 2**20)
        check_whole("seed", self.seed, 0, 2**31 - 1)

    @property
    def target_similarity(self) -> float | None:
        """The content similarity that ``auto`` aims at, None where the strength is a number."""
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
                "more for every style, not all of them 0, as in 0.7,0.3."
            )
