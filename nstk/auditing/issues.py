"""Images of poor quality: beyond a limit, and not just like nearly all the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.auditing.findings import ImageIssue
from nstk.auditing.reading import AuditedImage
from nstk.auditing.suspects import FENCE
from nstk.images.quality import ImageQuality

_TINY_SHARE = 0.25


@dataclass(frozen=True)
class _Kind:
    """One kind of poor quality.

    Attributes:
        value: The measure.
        limit: Where it begins. One in a thousand good photographs is beyond one of these limits;
            of photographs blurred by σ = 2 pixels at 256, three quarters are.
        sign: 1 if large values are poor, −1 if small ones are.
        adjective: Describes such images.
        median: Format of the median.
        advice: What to do if nearly all images are like that.
    """

    value: Callable[[ImageQuality], float]
    limit: float
    sign: int
    adjective: str
    median: str
    advice: str


_KINDS = {
    "tiny": _Kind(
        lambda quality: float(quality.side),
        32,
        -1,
        "tiny",
        "{:.0f} px at the median",
        "use larger ones if there are any, as a network sees more in them",
    ),
    "blurred": _Kind(
        lambda quality: quality.blur,
        0.62,
        1,
        "without sharp edges",
        "blur {:.2f} at the median",
        "use sharper ones if there are any, as a network sees more in them",
    ),
    "dark": _Kind(
        lambda quality: quality.brightness,
        0.1,
        -1,
        "nearly black",
        "brightness {:.2f} at the median",
        "brighten all of them alike first, as networks see little in them (16-bit files that use "
        "a small part of their range look like that)",
    ),
    "low_contrast": _Kind(
        lambda quality: quality.contrast,
        0.05,
        -1,
        "nearly empty",
        "contrast {:.2f} at the median",
        "stretch the contrast of all of them first, as networks see little in them",
    ),
}


def find_quality_issues(
    images: Sequence[AuditedImage],
) -> tuple[Mapping[str, tuple[ImageIssue, ...]], list[str]]:
    """Find the images beyond the limits of quality.

    If three quarters of the images are beyond a limit, that is the kind of data they are. A
    notice says so, and only images that stand out even among these are listed: beyond Tukey's
    fence, or for sizes below a quarter of the median.

    Args:
        images: At least one image.

    Returns:
        The issues by kind, the worst first, and the notices.
    """
    issues, notices = {}, []
    for name, kind in _KINDS.items():
        values = np.array([kind.value(image.quality) for image in images])
        badness, limit = kind.sign * values, kind.sign * kind.limit
        lower, median, upper = np.quantile(badness, (0.25, 0.5, 0.75))
        count = int((badness > limit).sum())
        usual = 4 * count >= 3 * len(values)
        if usual:
            notices.append(_describe(kind, values, count))
        if name == "tiny":
            share = _TINY_SHARE * median
            limit = share if usual else min(limit, share)
        elif usual:
            limit = upper + FENCE * (upper - lower)
        worst = np.argsort(-badness, kind="stable")
        issues[name] = tuple(
            ImageIssue(images[index].path, float(values[index]))
            for index in worst
            if badness[index] > limit
        )
    return issues, notices


def _describe(kind: _Kind, values: npt.NDArray[np.float64], count: int) -> str:
    median = kind.median.format(float(np.median(values)))
    which = "All images are" if count == len(values) else f"{count} of {len(values)} images are"
    return (
        f"{which} {kind.adjective} ({median}). As that is the kind of data they are, only images "
        f"far beyond the others are listed; {kind.advice}."
    )
