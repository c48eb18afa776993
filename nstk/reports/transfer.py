"""The report of a study of frozen weights: a sheet or a page."""

from collections.abc import Sequence
from pathlib import Path

from nstk.heads.metrics import Evaluation
from nstk.images.encoding import save_image
from nstk.images.image import Image
from nstk.inspecting.frozen_study import FrozenStudy
from nstk.reports.figures import Box, Chain, LineChart, Series, draw_chart
from nstk.reports.formatting import format_number
from nstk.reports.pages import (
    Block,
    Figure,
    Headline,
    Page,
    Paragraph,
    Section,
    Table,
    Value,
    write_page,
)
from nstk.reports.sheets import Cell, Row, draw_sheet, is_page

_NAMED_CLASSES = 4

_HEADINGS = {
    "network": "Frozen and trained layers",
    "blocks": "Accuracy by block",
    "data": "Accuracy by number of training images",
    "time": "Accuracy by training time",
}


def save_frozen(study: FrozenStudy, path: str | Path) -> Path:
    """Write a study: ``.html`` writes a page, an image extension a sheet.

    Args:
        study: The result of `nstk.study_frozen`.
        path: The file.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be written.
    """
    if is_page(path):
        return write_page(compose_frozen_page(study), path)
    return save_image(path, draw_frozen_sheet(study))


def draw_frozen_sheet(study: FrozenStudy) -> Image:
    """Draw the diagram and the three charts in one image."""
    rows = [Row([Cell(draw_chart(Chain(list_boxes(study))))], heading=_HEADINGS["network"])]
    for name, chart in _chart(study).items():
        cell = Cell(draw_chart(chart))
        rows.append(Row([cell], heading=_HEADINGS[name], note=_explain(study)[name]))
    return draw_sheet(_title(study), rows, note=_summary(study), width=1200)


def compose_frozen_page(study: FrozenStudy) -> Page:
    """Compose a page of the diagram, the charts and all figures."""
    notes = _explain(study)
    diagram: list[Block] = [
        Chain(list_boxes(study)),
        Paragraph("Blue is frozen, vermilion is trained.", "quiet"),
    ]
    blocks: list[Block] = [
        Headline(
            [
                _headline("Pretrained, frozen", study.transfer),
                _headline("Random, frozen", study.random),
                _headline("Random, trained", study.trained),
                Figure("Training time", _seconds(study.seconds["transfer"]), "pretrained"),
                Figure("Training time", _seconds(study.seconds["scratch"]), "random, trained"),
            ]
        ),
        Section(_HEADINGS["network"], diagram),
    ]
    for name, chart in _chart(study).items():
        blocks.append(Section(_HEADINGS[name], [chart, Paragraph(notes[name], "quiet")]))
    blocks.append(Section("All figures", [_tabulate_blocks(study), _tabulate_data(study)]))
    blocks += [Paragraph(notice, "quiet") for notice in study.notices]
    return Page(title=_title(study), subtitle=_summary(study), blocks=blocks)


def list_boxes(study: FrozenStudy) -> Sequence[Box]:
    """Return the layers as boxes, from the image to the classes: blue frozen, vermilion trained."""
    frozen = [
        Box(
            block.layer,
            (
                "frozen",
                f"{count_parameters(block.parameters)} parameters",
                f"{block.channels} channels",
                f"stride {block.stride}",
            ),
            "accent",
        )
        for block in study.blocks
    ]
    head = ("trained", f"{count_parameters(study.learned_parameters)} parameters")
    more = ["…"] if len(study.classes) > _NAMED_CLASSES else []
    named = ", ".join([*study.classes[:_NAMED_CLASSES], *more])
    return [
        Box("image", (f"{study.size} × {study.size}",)),
        *frozen,
        Box("mean, head", head, "warning"),
        Box(f"{len(study.classes)} classes", (named,)),
    ]


def count_parameters(number: int) -> str:
    """Write a number of parameters: ``770``, ``1.2 million``."""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else format_number(number)


def _explain(study: FrozenStudy) -> dict[str, str]:
    layers = ", ".join(f"{place} {block.layer}" for place, block in enumerate(study.blocks, 1))
    needed = study.images_needed
    saved = (
        f"With {needed} images transfer learning is more accurate than both others with all "
        f"{study.train_images}."
        if needed
        else "On these images transfer learning is not more accurate than both others."
    )
    passes = "1 epoch" if study.scratch[-1].passes == 1 else f"{study.scratch[-1].passes} epochs"
    return {
        "blocks": f"Blocks: {layers}. Bands are 95 % Wilson intervals.",
        "data": f"{saved} The dot is the network trained from random weights.",
        "time": f"Transfer learning: one forward pass over the training images and a solved head, "
        f"{_seconds(study.seconds['transfer'])}. Random weights: {passes} of Adam "
        f"(learning rate 0.001, batches of 32, random flips), "
        f"{_seconds(study.seconds['scratch'])} without reading images. Compilation is excluded.",
    }


def _chart(study: FrozenStudy) -> dict[str, LineChart]:
    pretrained, drawn = "pretrained, frozen", "random, frozen"
    places = range(1, len(study.blocks) + 1)
    images = [each.images for each in study.curve]
    blocks = [
        _series(pretrained, places, [block.pretrained for block in study.blocks]),
        _series(drawn, places, [block.random for block in study.blocks]),
    ]
    data = [
        _series(pretrained, images, [each.pretrained for each in study.curve]),
        _series(drawn, images, [each.random for each in study.curve]),
        _series("random, trained", [study.train_images], [study.trained]),
    ]
    took, end = study.seconds["transfer"], study.scratch[-1].seconds
    later = max(end, took)
    time = [
        _series(pretrained, [took, later], [study.transfer] * 2),
        _series(drawn, [took, later], [study.random] * 2),
        _series(
            "random, trained",
            [moment.seconds for moment in study.scratch],
            [moment.evaluation for moment in study.scratch],
        ),
    ]
    label = f"accuracy on {study.held_out_images} images"
    return {
        "blocks": LineChart(blocks, "block", label, points=True),
        "data": LineChart(data, "training images", label, log_x=True, points=True),
        "time": LineChart(time, "training time in seconds", label, points=True),
    }


def _series(label: str, x: Sequence[float], scores: Sequence[Evaluation]) -> Series:
    low, high = zip(*(score.accuracy_interval for score in scores), strict=True)
    return Series(label, x, [score.accuracy for score in scores], low, high)


def _title(study: FrozenStudy) -> str:
    return f"Why transfer learning: {study.backbone} on {len(study.classes)} classes"


def _summary(study: FrozenStudy) -> str:
    return (
        f"{count_parameters(study.frozen_parameters)} parameters are frozen, "
        f"{count_parameters(study.learned_parameters)} are trained on {study.train_images} images. "
        f"Accuracy on {study.held_out_images} held-out images: {_percent(study.transfer)} after "
        f"{_seconds(study.seconds['transfer'])} of training, {_percent(study.random)} with a head "
        f"on frozen random weights, and {_percent(study.trained)} after training all weights from "
        f"scratch for {_seconds(study.seconds['scratch'])}."
    )


def _headline(label: str, score: Evaluation) -> Figure:
    low, high = score.accuracy_interval
    return Figure(label, f"{100 * score.accuracy:.1f} %", f"{100 * low:.1f}–{100 * high:.1f} %")


def _tabulate_blocks(study: FrozenStudy) -> Table:
    rows: list[tuple[Value, ...]] = [
        (
            block.layer,
            block.stride,
            block.channels,
            block.parameters,
            _interval(block.pretrained),
            _interval(block.random),
        )
        for block in study.blocks
    ]
    columns = ("layer", "stride", "channels", "parameters", "pretrained", "random")
    return Table(columns, rows, numeric=columns[4:], caption="Accuracy by block")


def _tabulate_data(study: FrozenStudy) -> Table:
    rows: list[tuple[Value, ...]] = [
        (each.images, _interval(each.pretrained), _interval(each.random)) for each in study.curve
    ]
    columns = ("training images", "pretrained", "random")
    return Table(columns, rows, numeric=columns[1:], caption="Accuracy by number of images")


def _interval(score: Evaluation) -> str:
    low, high = score.accuracy_interval
    return f"{100 * score.accuracy:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def _percent(score: Evaluation) -> str:
    return f"{100 * score.accuracy:.1f} %"


def _seconds(seconds: float) -> str:
    return f"{format_number(seconds, 2)} s"
