"""Pages of inspections with sliders: reconstructions, textures and Gram matrices by layer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from nstk.images.encoding import save_image
from nstk.images.image import Image
from nstk.inspecting.gram import GramInspection, LayerGram
from nstk.inspecting.reconstruction import ContentInspection, StyleInspection
from nstk.reports.figures import LineChart, Series, Spot
from nstk.reports.formatting import format_count, format_number
from nstk.reports.inspection_sheets import (
    draw_content_sheet,
    draw_gram_sheet,
    draw_style_sheet,
    paint_gram,
    tile_pairs,
)
from nstk.reports.pages import CaptionedImage, Value
from nstk.reports.sheets import is_page
from nstk.reports.sliders import Frame, Slider, Stage, format_place, write_slider_page

Found = TypeVar("Found")

Snapshots = Sequence[tuple[int, Image]]
"""Numbers of steps, and the images after them."""


def save_content(found: ContentInspection, path: str | Path) -> Path:
    """Write reconstructions as a page with sliders, or as a contact sheet."""
    return _save(found, path, draw_content_sheet, write_content_page)


def save_textures(found: StyleInspection, path: str | Path) -> Path:
    """Write textures as a page with sliders, or as a contact sheet."""
    return _save(found, path, draw_style_sheet, write_style_page)


def save_grams(found: GramInspection, path: str | Path) -> Path:
    """Write Gram matrices as a page with a slider, or as a contact sheet."""
    return _save(found, path, draw_gram_sheet, write_gram_page)


def _save(
    found: Found,
    path: str | Path,
    draw: Callable[[Found], Image],
    write: Callable[[Found, str | Path], Path],
) -> Path:
    return write(found, path) if is_page(path) else save_image(path, draw(found))


class Run(NamedTuple):
    """One optimization: its name, the images on its way, its losses, and what else to tell."""

    name: str
    snapshots: Snapshots
    losses: Sequence[float]
    facts: Mapping[str, Value]


def write_content_page(found: ContentInspection, path: str | Path) -> Path:
    """Write a page with a slider for the layer and one for the step."""
    runs = [
        Run(each.layer, each.snapshots, each.losses, {"pixel error at the end": each.error})
        for each in found.reconstructions
    ]
    return write_slider_page(
        path,
        [
            Stage(
                sliders=list_sliders("layer", runs),
                frames=show_runs(runs, "L = ½·‖a − a*‖^2 / ½·‖a*‖^2"),
                given=[CaptionedImage(found.original, "the image")],
                charts=[draw_losses(runs, "Content loss by step, for each layer")],
            )
        ],
        title=f"What the layers of {found.backbone} keep of an image",
        subtitle="Each image starts from white noise and minimizes the content loss of one layer. "
        "Shallow layers keep pixels; deep layers keep objects and their arrangement.",
    )


def write_style_page(found: StyleInspection, path: str | Path) -> Path:
    """Write a page with a slider for the layers and one for the step."""
    runs = [
        Run(
            "1" if number == 1 else f"1–{number}",
            each.snapshots,
            each.losses,
            {f"error of {layer}": error for layer, error in each.errors.items()},
        )
        for number, each in enumerate(found.textures, 1)
    ]
    return write_slider_page(
        path,
        [
            Stage(
                sliders=list_sliders("layers", runs),
                frames=show_runs(runs, "L = ‖G − G*‖^2 / ‖G*‖^2"),
                given=[CaptionedImage(found.original, "the image")],
                charts=[draw_losses(runs, "Style loss by step, mean of the layers")],
            )
        ],
        title=f"Textures from Gram matrices of {found.backbone}",
        subtitle="Each image starts from white noise and matches the Gram matrices of some layers. "
        "Shallow layers give colors and strokes, deeper ones motifs; the arrangement is lost.",
    )


def list_sliders(name: str, runs: Sequence[Run]) -> list[Slider]:
    """Return a slider for the runs and one for their steps, which shows the last at first."""
    steps = [str(step) for step, _ in runs[0].snapshots]
    return [Slider(name, [run.name for run in runs]), Slider("steps", steps, len(steps) - 1)]


def show_runs(runs: Sequence[Run], formula: str) -> list[Frame]:
    """Return a frame for every snapshot of every run."""
    return [
        Frame(
            at=(k, n),
            images=[CaptionedImage(image, f"{run.name}, after {format_count(step, 'step')}")],
            formula=[formula, f"= {format_number(_loss_after(run, step), 3)}"],
            facts=run.facts,
        )
        for k, run in enumerate(runs)
        for n, (step, image) in enumerate(run.snapshots)
    ]


def draw_losses(runs: Sequence[Run], title: str) -> LineChart:
    """Draw the losses of all runs; a spot follows the sliders."""
    return LineChart(
        [
            Series(run.name, range(len(run.losses)), run.losses, at=format_place((k, None)))
            for k, run in enumerate(runs)
        ],
        "steps done",
        "relative loss",
        title,
        log_y=True,
        ordered=True,
        spots=[
            Spot(min(step, len(run.losses) - 1), _loss_after(run, step), format_place((k, n)))
            for k, run in enumerate(runs)
            for n, (step, _) in enumerate(run.snapshots)
        ],
    )


def _loss_after(run: Run, step: int) -> float:
    """The loss after some steps; the last image was not evaluated any more."""
    return run.losses[min(step, len(run.losses) - 1)]


def write_gram_page(found: GramInspection, path: str | Path) -> Path:
    """Write a page with a slider for the layer."""
    others = found.names[1:]
    places = range(1, len(found.layers) + 1)
    errors = [
        Series(name, places, [layer.errors[k] for layer in found.layers])
        for k, name in enumerate(others, 1)
    ]
    spots = [
        Spot(place, error, format_place((place - 1,)))
        for place, layer in zip(places, found.layers, strict=True)
        for error in layer.errors[1:]
    ]
    layers = ", ".join(f"{place} {layer.layer}" for place, layer in enumerate(found.layers, 1))
    chart = LineChart(
        errors,
        f"layer: {layers}",
        "‖G − G*‖ / ‖G*‖",
        f"Distance of the Gram matrices from those of {found.names[0]}",
        points=True,
        spots=spots,
    )
    return write_slider_page(
        path,
        [
            Stage(
                sliders=[Slider("layer", [layer.layer for layer in found.layers])],
                frames=[
                    Frame(
                        at=(k,),
                        images=list(_show_layer(found, layer)),
                        formula=["G_kk′ = Σ_ij a_ijk·a_ijk′"],
                        facts={
                            f"‖G − G*‖ / ‖G*‖ of {name}": error
                            for name, error in zip(others, layer.errors[1:], strict=True)
                        },
                    )
                    for k, layer in enumerate(found.layers)
                ],
                given=[
                    CaptionedImage(image, name)
                    for image, name in zip(found.images, found.names, strict=True)
                ],
                charts=[chart] if others else [],
            )
        ],
        title=f"Gram matrices of {found.backbone}",
        subtitle="Each entry says how strongly two channels are active at the same positions. "
        "Similar channels stand together, in the same order in all matrices. Below each: the "
        f"pairs most correlated in {found.names[0]}, with the patches where both are active.",
    )


def _show_layer(found: GramInspection, layer: LayerGram) -> Sequence[CaptionedImage]:
    largest = max(float(gram.max()) for gram in layer.grams)
    matrices = [
        CaptionedImage(paint_gram(gram, layer.order, largest), name, f"{len(gram)} channels")
        for gram, name in zip(layer.grams, found.names, strict=True)
    ]
    patches = [
        CaptionedImage(
            tile_pairs(layer.pairs, number),
            f"patches of {name}",
            ", ".join(
                f"{one} × {other}: {pair.correlations[number]:.2f}"
                for pair in layer.pairs
                for one, other in [pair.channels]
            ),
        )
        for number, name in enumerate(found.names)
    ]
    return [*matrices, *patches]
