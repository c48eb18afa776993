"""The report of a stylization: a page, and its figures as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from nstk.errors import ImageError
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.reports.figures import Bar, BarChart, LineChart, Series, mark_stages
from nstk.reports.formatting import format_decimals, format_number
from nstk.reports.pages import CaptionedImage, check_folder, list_settings, write_page, write_record
from nstk.settings import StylizeSettings
from nstk.storage.checkpoints import list_versions
from nstk.storage.files import make_folder
from nstk.stylization.inputs import Source, open_image, with_range, with_ranges
from nstk.stylization.quality import Quality, measure_quality
from nstk.stylization.regions import NO_MASKS, Masks, MaskSource, draw_mask
from nstk.stylization.result import StylizeResult, Trace
from nstk.stylization.styles import SavedStyle

PAGE_NAME = "report.html"
TRACE_NAME = "trace.json"

_PARTS = ("content", "style", "tv")


def check_report(folder: str | Path) -> None:
    """Check, before any long work, that a report can be written; else raise OutputError."""
    check_folder(folder, (PAGE_NAME, TRACE_NAME))


def write_report(
    folder: str | Path,
    *,
    content: Source,
    styles: Sequence[Source],
    result: StylizeResult,
    masks: Masks = NO_MASKS,
    command: str = "",
    value_range: ValueRange = VALUE_RANGE,
) -> Path:
    """Write ``report.html``, one self-contained page, with ``trace.json`` beside it.

    The page shows all images, the metrics of `Quality` (with masks, none of the style), the loss by
    step, settings, command and versions. The JSON holds the numbers; NaN and infinity are null.

    Args:
        folder: The report's folder; it is created if its parent exists.
        content: As passed to `nstk.stylize`.
        styles: The same; a style file is shown by its name only.
        result: The result of `nstk.stylize`.
        masks: As passed to `nstk.stylize`.
        command: The command that repeats the run.
        value_range: Values of black and white in arrays of floats, as in Keras.

    Returns:
        The path of the page.

    Raises:
        NstkError: If an image cannot be read or a file cannot be written.
    """
    folder = make_folder(folder)
    content, styles = with_range(content, value_range), with_ranges(styles, value_range)
    shown = CaptionedImage(open_image(content, "content").pixels, "Content", _name(content))
    drawn = [_show_style(*each) for each in zip(styles, _number(styles), strict=True)]
    images = [style for style in drawn if style is not None]
    names = [_name(style) for style in styles]
    labeled = masks.captioned(len(styles))
    whole = len(images) == len(styles) and not (masks.content_masks or masks.style_masks)
    quality = _measure(shown, images if whole else [], result)
    mask_names = {purpose: _name(mask) for purpose, mask in labeled.items()}
    inputs = {"content": _name(content), "styles": names, "masks": mask_names}
    measured = {"quality": quality and asdict(quality), **_describe_run(result)}
    record = {"command": command, **inputs, **measured}
    write_record(record, folder / TRACE_NAME)
    made = CaptionedImage(result.image, "Result", _describe_size(result.image))
    return write_page(
        folder / PAGE_NAME,
        "stylization.html",
        title=_describe_inputs(_name(content), names),
        subtitle=_describe_steps(result),
        images=[shown, *images, made],
        masks=[CaptionedImage(draw_mask(m), text, _name(m)) for text, m in labeled.items()],
        style_files=[name for name, image in zip(names, drawn, strict=True) if image is None],
        result=result,
        curves=_draw_curves(result.history) if result.history.steps else [],
        quality=quality,
        errors=_draw_errors(quality.style_errors) if quality else None,
        record=record,
        settings=list_settings(StylizeSettings, asdict(result.settings)),
    )


def _number(styles: Sequence[Source]) -> list[str]:
    return ["Style"] if len(styles) == 1 else [f"Style {k + 1}" for k in range(len(styles))]


def _describe_inputs(content: str | None, styles: Sequence[str | None]) -> str:
    stems = " and ".join(Path(name).stem for name in styles if name) or "another image"
    return f"{Path(content or 'An image').stem} in the style of {stems}"


def _describe_size(image: Image) -> str:
    return f"{image.shape[1]}×{image.shape[0]} pixels"


def _describe_steps(result: StylizeResult) -> str:
    strength = format_number(result.strength, 3)
    return f"{result.steps} steps with {result.backbone} at strength {strength}."


def _describe_run(made: StylizeResult) -> dict[str, object]:
    trace = made.history
    return {
        "backbone": made.backbone,
        "settings": asdict(made.settings),
        "strength": made.strength,
        "interrupted": made.interrupted,
        "seconds": made.seconds,
        "notices": list(made.notices),
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
    content: CaptionedImage, styles: Sequence[CaptionedImage], made: StylizeResult
) -> Quality | None:
    """Measure quality, without style errors if there are no styles; None if it is too small."""
    blend = made.settings.style_blend
    weights = None if isinstance(blend, str) else blend
    pixels = [style.pixels for style in styles]
    try:
        return measure_quality(
            content.pixels, pixels, made.image, weights, value_range=made.value_range
        )
    except ImageError:
        return None


def _show_style(style: Source, caption: str) -> CaptionedImage | None:
    """Return a style as an image; None for a style file, which has no pixels."""
    try:
        return CaptionedImage(open_image(style, caption).pixels, caption, _name(style))
    except ImageError:
        if isinstance(style, str | Path | SavedStyle):
            return None
        raise


def _name(image: Source | MaskSource) -> str:
    return Path(image).name if isinstance(image, str | Path) else ""


def _draw_curves(trace: Trace) -> list[LineChart]:
    """Draw the loss with its terms, and one curve for each style layer."""
    stages = [(scale.stage, len(scale.steps)) for scale in trace.scales]
    x = range(1, len(trace.steps) + 1)

    def draw(title: str, names: Sequence[str], loss: Sequence[Series] = ()) -> LineChart:
        terms = [
            Series(name, x, [step.terms.get(name, math.nan) for step in trace.steps])
            for name in names
        ]
        return LineChart(
            [*loss, *terms],
            "step (all scales)",
            "relative loss",
            title,
            log_y=True,
            ordered=not loss,
            markers=mark_stages(stages),
        )

    loss = Series("loss", x, [step.loss for step in trace.steps], reference=True)
    parts = [name for name in trace.terms if name in _PARTS]
    layers = [name for name in trace.terms if name not in _PARTS]
    by_layer = [draw("Style loss by layer, from shallow to deep", layers)] if layers else []
    return [draw("Loss, and its terms before weighting", parts, [loss]), *by_layer]


def _draw_errors(errors: Mapping[str, float]) -> BarChart:
    bars = [Bar(name, error, format_decimals(error, 3)) for name, error in errors.items()]
    return BarChart(bars, "relative error of the Gram matrix", "Style error by layer")
