"""The report of a study of frozen weights: a sheet or a page."""

from collections.abc import Sequence
from pathlib import Path

from nstk.heads.metrics import Evaluation
from nstk.images.encoding import save_image
from nstk.images.image import Image
from nstk.inspecting.frozen_study import FrozenStudy
from nstk.reports.figures import Box, Chain, LineChart, Series, draw_chart
from nstk.reports.formatting import format_number, format_percent
from nstk.reports.pages import write_page
from nstk.reports.sheets import Cell, Row, draw_sheet, is_page

_NAMED_CLASSES = 4
_LAYERS = "Frozen and trained layers"


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
    if not is_page(path):
        return save_image(path, draw_frozen_sheet(study))
    return write_page(
        path,
        "transfer.html",
        title=_title(study),
        subtitle=_summary(study),
        study=study,
        layers=_LAYERS,
        chain=Chain(list_boxes(study)),
        charts=_draw_charts(study),
    )


def draw_frozen_sheet(study: FrozenStudy) -> Image:
    """Draw the diagram and the three charts in one image."""
    rows = [Row([Cell(draw_chart(Chain(list_boxes(study))))], heading=_LAYERS)]
    for heading, chart, note in _draw_charts(study):
        rows.append(Row([Cell(draw_chart(chart))], heading=heading, note=note))
    return draw_sheet(_title(study), rows, note=_summary(study), width=1200)


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


def _draw_charts(study: FrozenStudy) -> list[tuple[str, LineChart, str]]:
    """Return each chart between its heading and a note."""
    pretrained, drawn, trained = "pretrained, frozen", "random, frozen", "random, trained"
    label = f"accuracy on {study.held_out_images} images"
    places = range(1, len(study.blocks) + 1)
    blocks = [
        _series(pretrained, places, [block.pretrained for block in study.blocks]),
        _series(drawn, places, [block.random for block in study.blocks]),
    ]
    images = [each.images for each in study.curve]
    data = [
        _series(pretrained, images, [each.pretrained for each in study.curve]),
        _series(drawn, images, [each.random for each in study.curve]),
        _series(trained, [study.train_images], [study.trained]),
    ]
    took = study.seconds["transfer"]
    times = [took, max(study.scratch[-1].seconds, took)]
    moments = [moment.evaluation for moment in study.scratch]
    time = [
        _series(pretrained, times, [study.transfer] * 2),
        _series(drawn, times, [study.random] * 2),
        _series(trained, [moment.seconds for moment in study.scratch], moments),
    ]
    layers = ", ".join(f"{place} {block.layer}" for place, block in enumerate(study.blocks, 1))
    saved = (
        f"With {study.images_needed} images transfer learning is more accurate than both others "
        f"with all {study.train_images}."
        if study.images_needed
        else "On these images transfer learning is not more accurate than both others."
    )
    passes = "1 epoch" if study.scratch[-1].passes == 1 else f"{study.scratch[-1].passes} epochs"
    return [
        (
            "Accuracy by block",
            LineChart(blocks, "block", label, points=True),
            f"Blocks: {layers}. Bands are 95 % Wilson intervals.",
        ),
        (
            "Accuracy by number of training images",
            LineChart(data, "training images", label, log_x=True, points=True),
            f"{saved} The dot is the network trained from random weights.",
        ),
        (
            "Accuracy by training time",
            LineChart(time, "training time in seconds", label, points=True),
            "Transfer learning: one forward pass over the training images and a solved head, "
            f"{_seconds(took)}. Random weights: {passes} of Adam (learning rate 0.001, batches of "
            f"32, random flips), {_seconds(study.seconds['scratch'])} without reading images. "
            "Compilation is excluded.",
        ),
    ]


def _series(label: str, x: Sequence[float], scores: Sequence[Evaluation]) -> Series:
    low, high = zip(*(score.accuracy_interval for score in scores), strict=True)
    return Series(label, x, [score.accuracy for score in scores], low, high)


def _title(study: FrozenStudy) -> str:
    return f"Why transfer learning: {study.backbone} on {len(study.classes)} classes"


def _summary(study: FrozenStudy) -> str:
    return (
        f"{count_parameters(study.frozen_parameters)} parameters are frozen, "
        f"{count_parameters(study.learned_parameters)} are trained on {study.train_images} images. "
        f"Accuracy on {study.held_out_images} held-out images: "
        f"{format_percent(study.transfer.accuracy)} after {_seconds(study.seconds['transfer'])} of "
        f"training, {format_percent(study.random.accuracy)} with a head on frozen random weights, "
        f"and {format_percent(study.trained.accuracy)} after training all weights from scratch for "
        f"{_seconds(study.seconds['scratch'])}."
    )


def _seconds(seconds: float) -> str:
    return f"{format_number(seconds, 2)} s"
