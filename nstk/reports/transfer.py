"""A study of frozen weights as one image or as one page."""

from collections.abc import Sequence
from pathlib import Path

from nstk.heads.metrics import Evaluation
from nstk.images.image import Image, save_image
from nstk.inspecting.frozen_study import FrozenStudy
from nstk.reports.pages import (
    Block,
    Cell,
    Chain,
    Figure,
    Headline,
    LineChart,
    Page,
    Paragraph,
    Section,
    Series,
    Table,
    write_page,
)
from nstk.reports.pages.numerals import format_number
from nstk.reports.sheets import sheet as sheets
from nstk.reports.sheets.charts import draw_chart
from nstk.reports.sheets.outputs import is_page
from nstk.reports.transfer_diagram import count_parameters, draw_diagram, list_boxes

_HEADINGS = {
    "network": "What is frozen and what is learned",
    "blocks": "Where the features are taken from",
    "data": "How many images it takes",
    "time": "How long it takes",
}


def save_frozen(study: FrozenStudy, path: str | Path) -> Path:
    """Write a study: ``.html`` makes a page, the ending of an image makes a sheet.

    Args:
        study: What was measured.
        path: Where.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be written.
    """
    if is_page(path):
        return write_page(compose_frozen_page(study), path)
    return save_image(path, draw_frozen_sheet(study))


def draw_frozen_sheet(study: FrozenStudy) -> Image:
    """Lay the diagram and the three charts out in one image."""
    rows = [sheets.Row([sheets.Cell(draw_diagram(study))], heading=_HEADINGS["network"])]
    for name, chart in _chart(study).items():
        cell = sheets.Cell(draw_chart(chart))
        rows.append(sheets.Row([cell], heading=_HEADINGS[name], note=_explain(study)[name]))
    return sheets.draw_sheet(_title(study), rows, note=_summary(study), width=1200)


def compose_frozen_page(study: FrozenStudy) -> Page:
    """Put the diagram, the charts and all figures on a page."""
    notes = _explain(study)
    diagram: list[Block] = [
        Chain(list_boxes(study)),
        Paragraph("Blue stays as it is; vermilion is learned.", "quiet"),
    ]
    blocks: list[Block] = [
        Headline(
            [
                _headline("Pretrained, frozen", study.transfer),
                _headline("Random, frozen", study.random),
                _headline("Random, trained", study.trained),
                Figure("Seconds to learn", _seconds(study.seconds["transfer"]), "pretrained"),
                Figure("Seconds to learn", _seconds(study.seconds["scratch"]), "random, trained"),
            ]
        ),
        Section(_HEADINGS["network"], diagram),
    ]
    for name, chart in _chart(study).items():
        blocks.append(Section(_HEADINGS[name], [chart, Paragraph(notes[name], "quiet")]))
    blocks.append(Section("All figures", [_tabulate_blocks(study), _tabulate_data(study)]))
    blocks += [Paragraph(notice, "quiet") for notice in study.notices]
    return Page(title=_title(study), subtitle=_summary(study), blocks=blocks)


def _explain(study: FrozenStudy) -> dict[str, str]:
    layers = ", ".join(f"{place} {block.layer}" for place, block in enumerate(study.blocks, 1))
    needed = study.images_needed
    saved = (
        f"From {needed} images transfer recognizes more than both others from all "
        f"{study.train_images}."
        if needed
        else "On these images transfer does not recognize more than both others."
    )
    passes = "1 pass" if study.scratch[-1].passes == 1 else f"{study.scratch[-1].passes} passes"
    return {
        "blocks": f"Blocks: {layers}. Bands are 95 % Wilson intervals.",
        "data": f"{saved} The dot is the network trained from random weights.",
        "time": f"Transfer: one look at each training image and a head that is solved, "
        f"{_seconds(study.seconds['transfer'])}. Random weights: {passes} of Adam "
        f"(rate 0.001, batches of 32, random flips), {_seconds(study.seconds['scratch'])} "
        "without reading images. Compilation is not counted.",
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
        "time": LineChart(time, "seconds of learning", label, points=True),
    }


def _series(label: str, x: Sequence[float], scores: Sequence[Evaluation]) -> Series:
    low, high = zip(*(score.accuracy_interval for score in scores), strict=True)
    return Series(label, x, [score.accuracy for score in scores], low, high)


def _title(study: FrozenStudy) -> str:
    return f"Why transfer learning: {study.backbone} on {len(study.classes)} classes"


def _summary(study: FrozenStudy) -> str:
    return (
        f"{count_parameters(study.frozen_parameters)} parameters stay frozen, "
        f"{count_parameters(study.learned_parameters)} are learned from "
        f"{study.train_images} images. Of {study.held_out_images} held out it recognizes "
        f"{_percent(study.transfer)} after {_seconds(study.seconds['transfer'])} of learning, a "
        f"head on frozen random weights {_percent(study.random)}, and the network trained from "
        f"random weights {_percent(study.trained)} after {_seconds(study.seconds['scratch'])}."
    )


def _headline(label: str, score: Evaluation) -> Figure:
    low, high = score.accuracy_interval
    return Figure(label, f"{100 * score.accuracy:.1f} %", f"{100 * low:.1f}–{100 * high:.1f} %")


def _tabulate_blocks(study: FrozenStudy) -> Table:
    rows: list[tuple[Cell, ...]] = [
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
    rows: list[tuple[Cell, ...]] = [
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
