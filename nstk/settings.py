"""Every default and every range, written once.

The shell reads its options, defaults and help texts from these classes, so a setting that
stands here is an option there, and a test holds the two together.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from nstk.errors import SettingsError


def setting(default: Any, help: str) -> Any:
    """Declare one field of a settings class, with the help text that the shell shows.

    Args:
        default: The value of those who do not choose one.
        help: One sentence, without a full stop.
    """
    return field(default=default, metadata={"help": help})


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
    content_weight: float = setting(0.07, "Weight α of the content loss")
    style_weight: float = setting(1.0, "Weight β of the style loss")
    variation_weight: float = setting(0.1, "Weight γ of the variation of neighbouring pixels")
    learning_rate: float = setting(0.05, "Step size of Adam, for a picture in [0, 1]")
    init: str = setting(
        "content", "Where the descent starts: content, noise, gray, style, or a picture file"
    )
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        check_range("size", self.size, 16)
        check_range("steps", self.steps, 1)
        if self.scales != "auto":
            check_range("scales", self.scales, 1, 20)
        check_range("content_weight", self.content_weight, 0)
        check_range("style_weight", self.style_weight, 0)
        check_range("variation_weight", self.variation_weight, 0)
        check_range("learning_rate", self.learning_rate, 1e-6, 10)
        check_range("seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """How a head is fitted on the frozen features of a folder of pictures.

    Raises:
        SettingsError: If a value is out of its range.
    """

    size: int | Literal["auto"] = setting(
        "auto", "Side in pixels of the square the network sees; auto is the network's own"
    )
    validation_share: float = setting(
        0.2, "Share of the training pictures held out where the folder brings no validation part"
    )
    seed: int = setting(0, "Seed of everything random")

    def __post_init__(self) -> None:
        if self.size != "auto":
            check_range("size", self.size, 32, 1024)
        check_range("validation_share", self.validation_share, 0.05, 0.5)
        check_range("seed", self.seed, 0, 2**31 - 1)
