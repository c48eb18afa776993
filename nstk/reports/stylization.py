"""A page about one stylization, and its figures as plain JSON beside it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nstk.errors import ImageError
from nstk.reports.pages import CaptionedImage, write_page
from nstk.reports.pages.records import check_folder, write_record
from nstk.reports.stylization_page import compose_page
from nstk.storage.files import make_folder
from nstk.storage.versions import list_versions
from nstk.stylization.inputs import MaskSource, Source, list_masks, open_image
from nstk.stylization.job import StylizeResult
from nstk.stylization.mask_images import draw_mask, name_masks
from nstk.stylization.quality import Quality, measure_quality
from nstk.stylization.recording import Trace

PAGE_NAME = "report.html"
TRACE_NAME = "trace.json"


def check_report(folder: str | Path) -> None:
    """Refuse, before any long work, a place where no report could be written.

    Args:
        folder: Where one is to be written later.

    Raises:
        OutputError: If no file can be written there, or the folder cannot be made.
    """
    check_folder(folder, (PAGE_NAME, TRACE_NAME))


def write_report(
    folder: str | Path,
    *,
    content: Source,
    styles: Sequence[Source],
    stylization: StylizeResult,
    trace: Trace,
    content_masks: Sequence[MaskSource] = (),
    style_masks: Sequence[MaskSource] = (),
    keep_mask: MaskSource | None = None,
    quality: Quality | None = None,
    command: str = "",
) -> Path:
    """Write ``report.html``, one page that needs nothing else, and ``trace.json`` beside it.

    The page shows content, styles, result and masks side by side, the figures of `Quality`, the
    loss, its parts and every style layer over all steps, all settings, the command and the
    versions. The JSON holds the same in numbers: ``command``, ``content``, ``styles``, ``masks``
    (by what each is for), ``backbone``, ``settings``, ``strength``, ``interrupted``, ``seconds``,
    ``notices``, ``quality``, ``versions``, ``scales`` (``stage``, ``planned`` and taken ``steps``
    of each) and ``trace`` (``loss``, ``seconds`` and ``terms`` by name, one number a step); what is
    not a finite number is null.

    Args:
        folder: Where both files go; made if it is absent, in a folder that is there.
        content: What was painted.
        styles: How it was painted: images or their files; a file that is no image, such as a
            style file, is named only.
        stylization: The result.
        trace: What it heard of the job.
        content_masks: Those that `nstk.stylize` was given.
        style_masks: Those that `nstk.stylize` was given.
        keep_mask: That which `nstk.stylize` was given.
        quality: The figures of the result; measured here when None, without those of style where
            masks say what counts: they are of whole images.
        command: The exact command, for the reader to repeat.

    Returns:
        The path of the page.

    Raises:
        OutputError: If a file cannot be written.
        ImageError: If the content cannot be read.
    """
    folder = make_folder(folder)
    subject = CaptionedImage(open_image(content, "content").pixels, "Content", _name(content))
    paintings = [_show_style(style, number, len(styles)) for number, style in enumerate(styles, 1)]
    shown = [painting for painting in paintings if isinstance(painting, CaptionedImage)]
    masks = name_masks((content_masks, style_masks, keep_mask), len(styles))
    if quality is None:
        masked = [*list_masks(content_masks), *list_masks(style_masks)]
        whole = len(shown) == len(styles) and not masked
        quality = _measure(subject, shown, stylization, whole)
    record = _record(content, styles, masks, stylization, trace, quality, command)
    write_record(record, folder / TRACE_NAME)
    regions = [CaptionedImage(draw_mask(mask), why, _name(mask)) for why, mask in masks.items()]
    page = compose_page(subject, paintings, regions, record, stylization, trace)
    return write_page(page, folder / PAGE_NAME)


def _record(
    content: Source,
    styles: Sequence[Source],
    masks: Mapping[str, MaskSource],
    made: StylizeResult,
    trace: Trace,
    quality: Quality | None,
    command: str,
) -> dict[str, Any]:
    """Everything that is not an image, as plain values."""
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
    subject: CaptionedImage,
    paintings: Sequence[CaptionedImage],
    made: StylizeResult,
    complete: bool,
) -> Quality | None:
    """The figures, without those of style where a style has no pixels; none of a tiny result."""
    blend = made.settings.style_blend
    weights = None if isinstance(blend, str) else blend
    styles = [painting.pixels for painting in paintings] if complete else []
    try:
        return measure_quality(subject.pixels, styles, made.image, weights)
    except ImageError:
        return None


def _show_style(style: Source, number: int, count: int) -> CaptionedImage | str:
    """A style as an image, or its name where it has no pixels."""
    caption = "Style" if count == 1 else f"Style {number}"
    try:
        return CaptionedImage(open_image(style, caption).pixels, caption, _name(style))
    except ImageError:
        return _name(style)


def _name(image: Source | MaskSource) -> str:
    return Path(image).name if isinstance(image, str | Path) else ""
