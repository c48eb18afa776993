"""Pages with sliders: one image after the other, with its numbers and its place on the curves.

All frames stand in the page, so it prints, and shows everything where scripts are forbidden. With
them, a slider selects the frame, and whatever else of the page has its place in ``data-at``.
"""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path

from markupsafe import Markup

from nstk.reports.figures import LineChart
from nstk.reports.pages import CaptionedImage, Value, write_page

MOST_CHARACTERS, FEWEST_IMAGES = 70_000, 25
"""Of all embedded images together: so many characters for each, but of at least so many images."""

LARGEST, SMALLEST = 640, 96
"""Longer side of an image in pixels, before and after it is scaled down to these characters."""

_SCRIPT = Path(__file__).parent / "templates" / "slider.js"


@dataclass(frozen=True)
class Slider:
    """One slider, a label for each of its values, and the index of the first one shown."""

    name: str
    labels: Sequence[str]
    start: int = 0


@dataclass(frozen=True, eq=False)
class Frame:
    """What a page shows at one index of each of its sliders, None for every one.

    In a formula, ``_l`` and ``^2`` begin a subscript and a superscript of one word.
    """

    at: tuple[int | None, ...]
    images: Sequence[CaptionedImage]
    formula: Sequence[str] = ()
    facts: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Stage:
    """Frames with their sliders, and below them images and charts that stay."""

    sliders: Sequence[Slider]
    frames: Sequence[Frame]
    given: Sequence[CaptionedImage] = ()
    charts: Sequence[LineChart] = ()
    heading: str = ""
    text: str = ""


def write_slider_page(
    path: str | Path,
    stages: Sequence[Stage],
    *,
    title: str,
    subtitle: str = "",
    template: str = "slider.html",
    **values: object,
) -> Path:
    """Write a page of stages, one below the other."""
    script = _SCRIPT.read_text(encoding="utf-8").strip()
    return write_page(
        path,
        template,
        title=title,
        subtitle=subtitle,
        stages=[_fit_stage(stage) for stage in stages],
        script=Markup(script),
        digest=b64encode(sha256(script.encode()).digest()).decode("ascii"),
        place=format_place,
        **values,
    )


def _fit_stage(stage: Stage) -> Stage:
    given = [replace(image, kind="webp", longest_side=320) for image in stage.given]
    return replace(stage, frames=fit_images(stage.frames), given=given)


def format_place(indices: Sequence[int | None]) -> str:
    """Write the index of each slider, ``*`` for every one: ``2 *``."""
    return " ".join("*" if index is None else str(index) for index in indices)


def fit_images(frames: Sequence[Frame]) -> list[Frame]:
    """Scale all images to one longer side at which they are small enough together, as WebP."""
    count = sum(len(frame.images) for frame in frames)
    most, side = MOST_CHARACTERS * max(count, FEWEST_IMAGES), LARGEST
    while True:
        fitted = [
            replace(
                frame,
                images=[replace(each, kind="webp", longest_side=side) for each in frame.images],
            )
            for frame in frames
        ]
        size = sum(len(image.uri) for image in chain(*(frame.images for frame in fitted)))
        if size <= most or side <= SMALLEST:
            return fitted
        shown = max(max(image.size) for frame in fitted for image in frame.images)
        side = max(SMALLEST, math.floor(shown * max(0.5, 0.95 * math.sqrt(most / size))))
