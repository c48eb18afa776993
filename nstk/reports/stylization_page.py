"""The page of a stylization report."""

import dataclasses
import math
import platform
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from nstk.reports.figures import Bar, BarChart, LineChart, Marker, Series
from nstk.reports.formatting import format_decimals, format_number
from nstk.reports.pages import (
    Block,
    CaptionedImage,
    Code,
    Details,
    Facts,
    Figure,
    Headline,
    ImageRow,
    Page,
    Paragraph,
    Section,
    Table,
    Value,
)
from nstk.stylization.recording import Trace
from nstk.stylization.result import StylizeResult
from nstk.types import Json

_PARTS = ("content", "style", "tv")


def compose_page(
    content: CaptionedImage,
    styles: Sequence[CaptionedImage | str],
    masks: Sequence[CaptionedImage],
    record: Mapping[str, Json],
    made: StylizeResult,
    trace: Trace,
) -> Page:
    """Compose the page.

    Args:
        content: The content.
        styles: The styles; a style without pixels by its name.
        masks: All masks.
        record: The content of ``trace.json``.
        made: The result.
        trace: The recorded run.
    """
    height, width = made.image.shape[:2]
    result = CaptionedImage(made.image, "Result", f"{width}×{height} pixels")
    shown = [style for style in styles if isinstance(style, CaptionedImage)]
    blocks: list[Block] = [
        ImageRow([content, *shown, result], width=240),
        *([ImageRow(masks, width=160)] if masks else []),
        *(Paragraph(f"Style file: {name}", "quiet") for name in styles if isinstance(name, str)),
        Headline(_figures(record["quality"], made)),
    ]
    if made.interrupted:
        blocks.append(
            Paragraph("The run was interrupted; the image shows its state at that time.", "warning")
        )
    blocks += [Paragraph(notice, "quiet") for notice in made.notices]
    if trace.steps:
        blocks.append(Section("Loss", _curves(trace)))
    if record["quality"]:
        blocks.append(Section("Quality", _compose_quality(record["quality"])))
    blocks.append(Section("Settings", _compose_settings(record, made)))
    return Page(
        title=_title(content, styles),
        subtitle=f"{made.steps} steps with {made.backbone} at strength "
        f"{format_number(made.strength, 3)}.",
        blocks=blocks,
        footer=", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    )


def _title(content: CaptionedImage, styles: Sequence[CaptionedImage | str]) -> str:
    """``town in the style of waves``, from the file names without extensions."""
    names = [style if isinstance(style, str) else style.note for style in styles]
    joined = " and ".join(Path(name).stem for name in names if name) or "another image"
    return f"{Path(content.note or 'An image').stem} in the style of {joined}"


def _figures(quality: Mapping[str, Json], made: StylizeResult) -> list[Figure]:
    figures = []
    if quality:
        figures = [
            Figure("Content similarity", _decimals(quality["content_similarity"]), "1 = identical"),
            Figure("Style error", _decimals(quality["style_error"]), "0 = identical"),
            Figure("Luma SSIM", _decimals(quality["luma_ssim"]), "1 = identical"),
        ]
    pace = made.seconds_per_step
    per_step = f"{format_number(pace, 2)} s per step at full size" if math.isfinite(pace) else ""
    return [
        *figures,
        Figure("Steps", format_number(made.steps), per_step),
        Figure("Seconds", format_number(made.seconds, 3)),
    ]


def _curves(trace: Trace) -> list[Block]:
    """Draw the loss with its terms, and one curve for each style layer."""
    ends = accumulate(len(scale.steps) for scale in trace.scales)
    starts = [1, *(end + 1 for end in ends)]
    markers = [
        Marker(start, scale.stage) for start, scale in zip(starts, trace.scales, strict=False)
    ]
    x = range(1, len(trace.steps) + 1)

    def curve(name: str) -> Series:
        return Series(name, x, [step.terms.get(name, math.nan) for step in trace.steps])

    parts = [curve(name) for name in trace.terms if name in _PARTS]
    loss = Series("loss", x, [step.loss for step in trace.steps], reference=True)
    layers = [curve(name) for name in trace.terms if name not in _PARTS]
    blocks: list[Block] = [
        LineChart(
            [loss, *parts],
            "step (all scales)",
            "relative loss",
            "Loss, and its terms before weighting",
            log_y=True,
            markers=markers,
        )
    ]
    if layers:
        blocks.append(
            LineChart(
                layers,
                "step (all scales)",
                "relative loss",
                "Style loss by layer, from shallow to deep",
                log_y=True,
                ordered=True,
                markers=markers,
            )
        )
    return blocks


def _compose_quality(quality: Mapping[str, Json]) -> list[Block]:
    blocks: list[Block] = [
        Paragraph(
            "These metrics always use the packaged network, with content and styles at the size "
            "of the result, so they can be compared between runs. Content similarity is the mean "
            "cosine similarity at block4_conv2, style error the mean of ‖G − G*‖ / ‖G*‖ over the "
            "layers below, and luma SSIM the structural similarity of content and result in "
            "grayscale. Style errors compare whole images and are not measured with masks.",
            "quiet",
        )
    ]
    if quality["style_errors"]:
        bars = [
            Bar(name, error, _decimals(error)) for name, error in quality["style_errors"].items()
        ]
        blocks.append(BarChart(bars, "relative error of the Gram matrix", "Style error by layer"))
    return blocks


def _compose_settings(record: Mapping[str, Json], made: StylizeResult) -> list[Block]:
    rows = []
    for option in dataclasses.fields(made.settings):
        value, default = getattr(made.settings, option.name), option.default
        rows.append(
            (
                option.name.replace("_", "-"),
                _format(value),
                None if value == default else _format(default),
                option.metadata.get("help", ""),
            )
        )
    memory = made.peak_memory_bytes
    facts: dict[str, Value] = {
        "backbone": made.backbone,
        "strength": made.strength,
        "final loss": made.loss,
        "peak memory": None if memory is None else f"{memory / 1e9:.2f} GB",
    }
    versions = {**record["versions"], "python": platform.python_version()}
    return [
        *([Code(record["command"])] if record["command"] else []),
        Facts(facts),
        Table(("setting", "value", "default", "meaning"), rows),
        Details("Versions", [Facts({**versions, "machine": platform.platform()})]),
    ]


def _decimals(figure: float) -> str:
    return format_decimals(figure, 3) if math.isfinite(figure) else format_number(figure)


def _format(value: object) -> str:
    """Write a setting as a person would."""
    if value is None or isinstance(value, str):
        return value or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}:{_format(weight)}" for name, weight in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_format(part) for part in value)
    return format_number(value) if isinstance(value, int | float) else str(value)
