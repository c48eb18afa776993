"""The report of a stylization: a page, and its figures as JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from nstk.errors import ImageError
from nstk.reports.pages import CaptionedImage, write_page
from nstk.reports.pages.records import check_folder, write_record
from nstk.reports.stylization_page import compose_page
from nstk.storage.files import make_folder
from nstk.storage.run_identity import list_versions
from nstk.stylization.inputs import Source, open_image
from nstk.stylization.masks import NO_MASKS, Masks, MaskSource, draw_mask
from nstk.stylization.quality import Quality, measure_quality
from nstk.stylization.recording import Trace
from nstk.stylization.result import StylizeResult
from nstk.stylization.style_files import SavedStyle
from nstk.types import Json

PAGE_NAME = "report.html"
TRACE_NAME = "trace.json"


def check_report(folder: str | Path) -> None:
    """Check, before any long work, that a report can be written.

    Args:
        folder: The report's folder; it may exist or not.

    Raises:
        OutputError: If no file can be written there, or the folder cannot be made.
    """
    check_folder(folder, (PAGE_NAME, TRACE_NAME))


def write_report(
    folder: str | Path,
    *,
    content: Source,
    styles: Sequence[Source],
    result: StylizeResult,
    trace: Trace,
    masks: Masks = NO_MASKS,
    command: str = "",
) -> Path:
    """Write ``report.html``, one self-contained page, with ``trace.json`` beside it.

    The page shows content, styles, result and masks side by side, the metrics of `Quality` (style
    errors compare whole images, so there are none with masks), the loss, its terms and every
    style layer by step, all settings, the command and the versions. The
    JSON holds the same in numbers: ``command``, ``content``, ``styles``, ``masks`` (by purpose),
    ``backbone``, ``settings``, ``strength``, ``interrupted``, ``seconds``, ``notices``,
    ``quality``, ``versions``, ``scales`` (``stage``, ``planned`` and taken ``steps`` of each) and
    ``trace`` (``loss``, ``seconds`` and ``terms`` by name, one number for each step). NaN and
    infinity are written as null.

    Args:
        folder: The report's folder; it is created if its parent exists.
        content: The content image: a file, an array of uint8 or of floats from 0 to 255, or what
            nstk returned.
        styles: The style images or their files; a style file is shown by its name only.
        result: The result of `nstk.stylize`.
        trace: What `Trace` recorded of the run.
        masks: As passed to `nstk.stylize`.
        command: The command that repeats the run.

    Returns:
        The path of the page.

    Raises:
        OutputError: If a file cannot be written.
        ImageError: If the content cannot be read.
    """
    folder = make_folder(folder)
    content_shown = CaptionedImage(open_image(content, "content").pixels, "Content", _name(content))
    styles_shown = [_show_style(each, number, len(styles)) for number, each in enumerate(styles, 1)]
    with_pixels = [each for each in styles_shown if isinstance(each, CaptionedImage)]
    captioned = masks.captioned(len(styles))
    whole = len(with_pixels) == len(styles) and not (masks.content_masks or masks.style_masks)
    quality = _measure(content_shown, with_pixels, result, whole)
    record = _record(content, styles, captioned, result, trace, quality, command)
    write_record(record, folder / TRACE_NAME)
    regions = [
        CaptionedImage(draw_mask(mask), caption, _name(mask)) for caption, mask in captioned.items()
    ]
    page = compose_page(content_shown, styles_shown, regions, record, result, trace)
    return write_page(page, folder / PAGE_NAME)


def _record(
    content: Source,
    styles: Sequence[Source],
    masks: Mapping[str, MaskSource],
    made: StylizeResult,
    trace: Trace,
    quality: Quality | None,
    command: str,
) -> dict[str, Json]:
    """Return everything except the images, as plain values."""
    return {
        "command": command,
        "content": _name(content),
        "styles": [_name(style) for style in styles],
        "masks": {purpose: _name(mask) for purpose, mask in masks.items()},
        "backbone": made.backbone,
        "settings": dataclasses.asdict(made.settings),
        "strength": made.strength,
        "interrupted": made.interrupted,
        "seconds": made.seconds,
        "notices": list(made.notices),
        "quality": None if quality is None else dataclasses.asdict(quality),
        "versions": list_versions(),
        "scales": [
            {"stage": scale.stage, "planned": scale.planned, "steps": len(scale.steps)}
            for scale in trace.scales
        ],
        "trace": {
            "loss": [step.loss for step in trace.steps],
            "seconds": [step.seconds for step in trace.steps],
            "terms": {name: [step.terms.get(name) for step in trace.steps] for name in trace.terms},
        },
    }


def _measure(
    content: CaptionedImage,
    styles: Sequence[CaptionedImage],
    made: StylizeResult,
    complete: bool,
) -> Quality | None:
    """Measure quality, without style errors where a style has no pixels; None if too small."""
    blend = made.settings.style_blend
    weights = None if isinstance(blend, str) else blend
    compared = [style.pixels for style in styles] if complete else []
    try:
        return measure_quality(
            content.pixels, compared, made.image, weights, value_range=made.value_range
        )
    except ImageError:
        return None


def _show_style(style: Source, number: int, count: int) -> CaptionedImage | str:
    """Return a style as an image, or its name where it has no pixels."""
    caption = "Style" if count == 1 else f"Style {number}"
    try:
        return CaptionedImage(open_image(style, caption).pixels, caption, _name(style))
    except ImageError:
        if isinstance(style, str | Path | SavedStyle):
            return _name(style)
        raise


def _name(image: Source | MaskSource) -> str:
    return Path(image).name if isinstance(image, str | Path) else ""
