"""Every default and every range, written once.

The shell reads its options, defaults and help texts from these classes, so a setting that
stands here is an option there, and a test holds the two together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nstk.errors import SettingsError

ColorMode = Literal["style", "luminance", "match", "match-luminance", "histogram", "lab"]
ColorMatching = Literal["symmetric", "pca", "cholesky"]
MinimizerName = Literal["adam", "gradient-descent", "lbfgs", "newton"]
Pooling = Literal["max", "average", "l2"]
EngineName = Literal["auto", "whole", "windows"]
PrecisionName = Literal["auto", "float32", "bfloat16"]
ConvolutionName = Literal["auto", "direct", "winograd"]
StyleLoss = Literal["moments", "gram", "wasserstein"]
FeatureChoice = Literal["pooled", "pooled+statistics", "auto"]
AugmentationName = Literal["auto", "none", "mixup", "light", "strong"]
LayerWeights = Mapping[str, float]

DEFAULT_SIMILARITY = 0.75
"""The content similarity that ``--strength auto`` aims at."""


def setting(
    default: Any,
    help: str,
    *,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
) -> Any:
    """Declare one field of a settings class, with what the shell needs to know about it.

    Args:
        default: The value of those who do not choose one.
        help: One sentence, without a full stop.
        parse: Turns what is typed into the value, where its type alone does not say how.
        metavar: What the help page shows in the place of such a value.
    """
    return field(default=default, metadata={"help": help, "parse": parse, "metavar": metavar})


def read_setting(settings: type, name: str, text: str) -> Any:
    """Read one value of a settings class from what was typed; its range is checked by the class.

    Args:
        settings: The class.
        name: Of one of its fields.
        text: What was typed.

    Raises:
        ValueError: If it is no such value; in words for whoever typed it.

    Example:
        >>> from nstk.settings import StylizeSettings, read_setting
        >>> read_setting(StylizeSettings, "learning_rate", "2e-2")
        0.02
    """
    (parse,) = (each.metadata["parse"] for each in fields(settings) if each.name == name)
    if parse is not None:
        return parse(text)
    kind = get_type_hints(settings)[name]
    parts = get_args(kind) or (kind,)
    number = next((part for part in parts if part in (int, float)), None)
    words = list_words(kind)
    if number is None or text in words:
        return text
    try:
        return number(text)
    except ValueError:
        choices = " nor ".join(["a whole number" if number is int else "a number", *words])
        is_none = f"is neither {choices}" if words else f"is not {choices}"
        raise ValueError(f"{text!r} {is_none}.") from None


def list_words(kind: Any) -> tuple[str, ...]:
    """The words among the values of a type: those of a ``Literal``, alone or in a union.

    Args:
        kind: The type of a setting.
    """
    parts = get_args(kind) if get_origin(kind) is not Literal else (kind,)
    return tuple(word for part in parts if get_origin(part) is Literal for word in get_args(part))


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Refuse a number outside ``[low, high]``, and anything that is not a finite number.

    Raises:
        SettingsError: With the option's name, the value received and the range needed.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or value == float("inf"):
        span = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        option = "--" + name.replace("_", "-")
        raise SettingsError(f"{option} is {value!r}; it must be a number {span}.")


def check_word(name: str, value: object, kind: Any) -> None:
    """Refuse a word that is not one of a ``Literal``.

    Raises:
        SettingsError: With the option's name, the value received and the words there are.
    """
    words = get_args(kind)
    if value not in words:
        option = "--" + name.replace("_", "-")
        raise SettingsError(f"{option} is {value!r}; it must be one of {', '.join(words)}.")


def check_switch(name: str, value: object) -> None:
    """Refuse what is neither true nor false.

    Raises:
        SettingsError: With the option's name and the value received.
    """
    if not isinstance(value, bool):
        option = "--" + name.replace("_", "-")
        raise SettingsError(f"{option} is {value!r}; it must be true or false.")


def check_blocks(name: str, value: object) -> None:
    """Refuse what is no number of blocks.

    Raises:
        SettingsError: With the option's name and the value received.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        option = "--" + name.replace("_", "-")
        raise SettingsError(
            f"{option} is {value!r}; it must be none, auto, all or a number of blocks from 1 on."
        )


def parse_layers(text: str) -> LayerWeights | str:
    """Read ``block1_conv1:4,block2_conv1``: layers with their weights, 1 where none is said.

    Raises:
        ValueError: If a weight is no number.
    """
    if text == "auto":
        return text
    pairs = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    return {name: float(weight) if colon else 1.0 for name, colon, weight in pairs}


def check_layers(name: str, value: object) -> None:
    """Refuse what does not map layers to weights of 0 or more.

    Raises:
        SettingsError: With the option's name, the value received and what is needed.
    """
    weights = list(value.values()) if isinstance(value, Mapping) else []
    numbers = [w for w in weights if isinstance(w, int | float) and 0 <= w < float("inf")]
    if value != "auto" and (len(numbers) != len(weights) or not any(weights)):
        raise SettingsError(
            f"--{name.replace('_', '-')} is {value!r}; it must be auto, or layers with weights of "
            "0 or more that are not all 0, as in block1_conv1:4,block2_conv1:1."
        )


def parse_blend(text: str) -> tuple[float, ...] | str:
    """Read ``0.7,0.3``: one weight for every style.

    Raises:
        ValueError: If a weight is no number.
    """
    return text if text == "equal" else tuple(float(part) for part in text.split(","))


def parse_strength(text: str) -> float | str:
    """Read a number, ``auto`` or ``auto=TARGET``.

    Raises:
        ValueError: If it is none of these.
    """
    return text if text.startswith("auto") else float(text)


TIME_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def parse_time(text: str) -> float:
    """Read ``60s``, ``10m``, ``1h`` or a number of seconds.

    Raises:
        ValueError: If it is none of these.
    """
    unit = text.lstrip("0123456789. ")
    if unit.lower() not in TIME_UNITS:
        raise ValueError(f"{text!r} is no time; write it as 60s or 10m.")
    return float(text.removesuffix(unit)) * TIME_UNITS[unit.lower()]


MEMORY_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
MEMORY_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_memory(text: str) -> int | str:
    """Read ``2GiB``, ``500 MB`` or a number of bytes.

    Raises:
        ValueError: If it is none of these.
    """
    if text == "auto":
        return text
    unit = text.lstrip("0123456789. ")
    if unit.lower() not in MEMORY_UNITS:
        raise ValueError(f"{text!r} is no amount of memory; write it as 2GiB or 500MB.")
    return int(float(text.removesuffix(unit)) * MEMORY_UNITS[unit.lower()])


def parse_interval(text: str) -> int | str:
    """Read ``50``, a number of steps, or ``60s``, seconds.

    Raises:
        ValueError: If it is none of these.
    """
    if not text.endswith("s"):
        return int(text)
    float(text.removesuffix("s"))
    return text


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """Whether and how often a long job keeps its state; nothing here changes its result.

    Raises:
        SettingsError: If a value is out of its range, or there is nothing to go on from.
    """

    checkpoint: Path | None = setting(
        None,
        "Folder to keep the state in, so that nothing is lost when the run is ended",
        metavar="DIR",
    )
    checkpoint_every: int | str = setting(
        "60s",
        "How often to keep it: after so many steps or, as in 60s, seconds",
        parse=parse_interval,
        metavar="N|SECONDS",
    )
    resume: bool = setting(
        False, "Go on from the last state in the --checkpoint folder, where there is one"
    )

    def __post_init__(self) -> None:
        every = self.checkpoint_every
        if isinstance(every, str) and not (self.seconds or 0) > 0:
            raise SettingsError(
                f"--checkpoint-every is {every!r}; it must be a number of steps, or seconds as in "
                "60s."
            )
        if not isinstance(every, str):
            check_range("checkpoint_every", every, 1)
        check_switch("resume", self.resume)
        if self.resume and self.checkpoint is None:
            raise SettingsError(
                "--resume was given without --checkpoint; say which folder to go on from."
            )

    @property
    def steps(self) -> int:
        """Steps from one checkpoint to the next, where that is not counted in seconds."""
        return 0 if isinstance(self.checkpoint_every, str) else self.checkpoint_every

    @property
    def seconds(self) -> float | None:
        """Seconds from one checkpoint to the next, None where that is counted in steps."""
        if not isinstance(self.checkpoint_every, str):
            return None
        try:
            return float(self.checkpoint_every.removesuffix("s"))
        except ValueError:
            return 0.0


@dataclass(frozen=True, kw_only=True)
class StylizeSettings:
    """What a picture is to become and how long to work on it.

    The objective is L = α·L_content + β·Σ λ_l·L_style^l + γ·L_variation (Gatys, Ecker and
    Bethge 2016, eq. 7, plus the variation term), every part relative to its own target.

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
    variation_weight: float = setting(0.1, "Weight γ of the variation of neighbouring pixels")
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
    style_scale: float = setting(1.0, "Size of the style's strokes against the style picture's own")
    color: ColorMode = setting(
        "style",
        "Whose colours the result has: the style's, or the content's: by painting luminance alone, "
        "by recolouring the style first (match, histogram), or by taking the hues back (lab)",
    )
    color_matching: ColorMatching = setting(
        "symmetric", "Which root of the covariance --color match uses"
    )
    minimizer: MinimizerName = setting("adam", "The rule of descent")
    learning_rate: float | Literal["auto"] = setting(
        "auto", "Its step size, for a picture in [0, 1]; auto is the minimizer's own"
    )
    tolerance: float = setting(
        0.0, "Leave a scale when the loss fell by less than this share in 20 steps; 0 is never"
    )
    pooling: Pooling = setting("max", "How a network of VGG's shape pools")
    init: str = setting(
        "content", "Where the descent starts: content, noise, gray, style, or a picture file"
    )
    engine: EngineName = setting(
        "auto",
        "Look at the whole picture at once, or in windows, which takes half as long again and a "
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
        check_range("size", self.size, 16)
        check_range("steps", self.steps, 1)
        if self.scales != "auto":
            check_range("scales", self.scales, 1, 20)
        self._check_strength()
        for weight in ("content_weight", "style_weight", "variation_weight", "tolerance"):
            check_range(weight, getattr(self, weight), 0)
        check_layers("content_layers", self.content_layers)
        check_layers("style_layers", self.style_layers)
        self._check_blend()
        check_range("style_scale", self.style_scale, 0.05, 20)
        for word, kind in (
            ("style_loss", StyleLoss),
            ("color", ColorMode),
            ("color_matching", ColorMatching),
            ("minimizer", MinimizerName),
            ("pooling", Pooling),
            ("engine", EngineName),
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
            check_range("max_memory", self.max_memory, 2**20)
        check_range("seed", self.seed, 0, 2**31 - 1)

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
                f"--strength is {self.strength!r}; it must be a number from 0 to 1, auto, or "
                "auto=TARGET with a content similarity between 0 and 1."
            )
        return value

    def _check_strength(self) -> None:
        if self.target_similarity is None and not isinstance(self.strength, str):
            check_range("strength", self.strength, 0, 1)

    def _check_blend(self) -> None:
        if self.style_blend == "equal":
            return
        weights = self.style_blend if isinstance(self.style_blend, tuple | list) else ()
        if not any(weights) or not all(0 <= weight < float("inf") for weight in weights):
            raise SettingsError(
                f"--style-blend is {self.style_blend!r}; it must be equal, or one weight of 0 or "
                "more for every style, not all of them 0, as in 0.7,0.3."
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """How a head is fitted on the features of a folder of pictures, and what may follow.

    Raises:
        SettingsError: If a value is out of its range.
    """

    size: int | Literal["auto"] = setting(
        "auto",
        "Side in pixels of the square the network sees; auto is the network's own, or 5/7 of it "
        "where it would magnify the pictures more than 2.5 times",
    )
    features: FeatureChoice = setting(
        "pooled",
        "What the head sees: pooled, the mean of the last map; pooled+statistics, also means and "
        "deviations of earlier maps; auto, the one that training pictures left out favour",
    )
    views: int = setting(
        1, "In how many ways every picture is seen, mirrored and cropped; the head sees the mean"
    )
    folds: int = setting(
        0, "Cross-validate with this many folds and learn from all pictures; 0 holds out a share"
    )
    balance: bool = setting(False, "Let every class weigh the same, however many pictures it has")
    learning_curve: bool = setting(
        False, "Measure how accuracy grows with pictures, and what twice as many would bring"
    )
    validation_share: float = setting(
        0.2, "Share of the training pictures held out where the folder brings no validation part"
    )
    unfreeze: int | Literal["none", "auto", "all"] = setting(
        "none",
        "How many of the network's last blocks go on learning once the head is solved; kept only "
        "where pictures held out favour it",
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
        "What pictures go through while blocks learn: none; mixup, which needs no new pass through "
        "the frozen blocks; light, mirrored, moved and relit; strong, RandAugment and mixup; auto, "
        "light where time allows",
    )
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        if self.size != "auto":
            check_range("size", self.size, 32, 1024)
        check_word("features", self.features, FeatureChoice)
        check_range("views", self.views, 1, 8)
        if self.folds != 0:
            check_range("folds", self.folds, 2, 100)
        check_switch("balance", self.balance)
        check_switch("learning_curve", self.learning_curve)
        if self.unfreeze not in ("none", "auto", "all"):
            check_blocks("unfreeze", self.unfreeze)
        if self.budget is not None:
            check_range("budget", self.budget, 1)
        check_word("augment", self.augment, AugmentationName)
        check_range("validation_share", self.validation_share, 0.05, 0.5)
        check_range("seed", self.seed, 0, 2**31 - 1)

    @property
    def opening(self) -> int | Literal["auto", "all"] | None:
        """How many blocks learn in a second stage; None where there is none."""
        if self.unfreeze == "none":
            return None if self.budget is None else "auto"
        return self.unfreeze


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What an audit takes for a copy, and how it deals the pictures over its folds.

    Raises:
        SettingsError: If a value is out of its range.
    """

    near_distance: int = setting(
        8, "How many of the 64 bits of their hashes may differ between near duplicates"
    )
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        check_range("near_distance", self.near_distance, 0, 32)
        check_range("seed", self.seed, 0, 2**31 - 1)


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
        20, "Train random weights for this many passes through the pictures, at most"
    )
    scratch_seconds: float = setting(60.0, "Train random weights for so many seconds, at most")
    validation_share: float = setting(
        0.2, "Share of the training pictures held out where the folder brings no validation part"
    )
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        if self.size != "auto":
            check_range("size", self.size, 32, 1024)
        check_range("scratch_passes", self.scratch_passes, 1)
        check_range("scratch_seconds", self.scratch_seconds, 0)
        check_range("validation_share", self.validation_share, 0.05, 0.5)
        check_range("seed", self.seed, 0, 2**31 - 1)


def parse_names(text: str) -> tuple[str, ...] | str:
    """Read ``block1_conv1,block2_conv1``, or ``auto``."""
    return text if text == "auto" else tuple(part.strip() for part in text.split(","))


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
    size: int = setting(256, "Longer side in pixels that larger pictures are brought to")
    channels: int = setting(6, "How many channels of a layer are shown, the strongest first")
    pairs: int = setting(3, "How many pairs of channels of a layer are shown")
    steps: int = setting(100, "Steps of every descent, or ascent")
    minimizer: MinimizerName = setting("lbfgs", "The rule of descent")
    pooling: Pooling = setting("max", "How a network of VGG's shape pools")
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        names = self.layers if isinstance(self.layers, tuple | list) else ()
        if self.layers != "auto" and not any(names):
            raise SettingsError(
                f"--layers is {self.layers!r}; it must be auto, or names of layers as in "
                "block1_conv1,block2_conv1."
            )
        check_range("size", self.size, 16)
        check_range("channels", self.channels, 1, 64)
        check_range("pairs", self.pairs, 1, 16)
        check_range("steps", self.steps, 1)
        check_word("minimizer", self.minimizer, MinimizerName)
        check_word("pooling", self.pooling, Pooling)
        check_range("seed", self.seed, 0, 2**31 - 1)
