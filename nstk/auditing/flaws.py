"""Images of poor quality: beyond a bound, and not just like nearly all the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.auditing.findings import Flaw
from nstk.auditing.reading import AuditedImage
from nstk.auditing.suspects import FENCE
from nstk.images.quality import ImageQuality

_TINY_SHARE = 0.25


@dataclass(frozen=True)
class _Kind:
    """A way in which images can be poor.

    Attributes:
        value: What is measured.
        bound: Where it begins: of a thousand sound photographs one is beyond one of these
            bounds, of such blurred by σ = 2 pixels at 256 three quarters are.
        sign: 1 where large values are poor, −1 where small ones are.
        words: What such images are.
        usual: How the median of the measure is told.
        advice: What to do where nearly all images are so.
    """

    value: Callable[[ImageQuality], float]
    bound: float
    sign: int
    words: str
    usual: str
    advice: str


_KINDS = {
    "tiny": _Kind(
        lambda quality: float(quality.side),
        32,
        -1,
        "tiny",
        "{:.0f} px at the median",
        "larger ones, if there are any, show a network more",
    ),
    "blurred": _Kind(
        lambda quality: quality.blur,
        0.62,
        1,
        "without sharp edges",
        "blur {:.2f} at the median",
        "sharper ones, if there are any, show a network more",
    ),
    "dark": _Kind(
        lambda quality: quality.brightness,
        0.1,
        -1,
        "nearly black",
        "brightness {:.2f} at the median",
        "brighten all alike first, for networks see little in them (files of 16 bits that use a "
        "small part of their range look so)",
    ),
    "low_contrast": _Kind(
        lambda quality: quality.contrast,
        0.05,
        -1,
        "nearly empty",
        "contrast {:.2f} at the median",
        "stretch all alike first, for networks see little in them",
    ),
}


def find_flaws(sights: Sequence[AuditedImage]) -> tuple[Mapping[str, tuple[Flaw, ...]], list[str]]:
    """Find the images beyond the bounds of what is measured in them.

    What three quarters of the images are is no flaw of one of them but the kind of data they
    are. That is told once, and only those are listed that stand out even there, beyond Tukey's
    fence (of sizes: below a quarter of the median).

    Args:
        sights: What was seen, at least one image.

    Returns:
        The flawed images by kind, the worst first; and what all of them are, one sentence each.
    """
    found, notices = {}, []
    for name, kind in _KINDS.items():
        values = np.array([kind.value(sight.quality) for sight in sights])
        badness, bound = kind.sign * values, kind.sign * kind.bound
        lower, median, upper = np.quantile(badness, (0.25, 0.5, 0.75))
        count = int((badness > bound).sum())
        usual = 4 * count >= 3 * len(values)
        if usual:
            notices.append(_tell(kind, values, count))
        if name == "tiny":
            share = _TINY_SHARE * median
            bound = share if usual else min(bound, share)
        elif usual:
            bound = upper + FENCE * (upper - lower)
        worst = np.argsort(-badness, kind="stable")
        found[name] = tuple(
            Flaw(sights[place].path, float(values[place]))
            for place in worst
            if badness[place] > bound
        )
    return found, notices


def _tell(kind: _Kind, values: npt.NDArray[np.float64], count: int) -> str:
    usual = kind.usual.format(float(np.median(values)))
    which = "All images are" if count == len(values) else f"{count} of {len(values)} images are"
    return (
        f"{which} {kind.words} ({usual}), which is the kind of data they are, so only those far "
        f"beyond the others are listed; {kind.advice}."
    )
