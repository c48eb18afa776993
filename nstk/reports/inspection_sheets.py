"""Contact sheets of reconstructions, textures and Gram matrices."""

from collections.abc import Sequence

import numpy as np

from nstk.images.image import Image
from nstk.inspecting.gram import PATCHES, ChannelPair, GramInspection, LayerGram
from nstk.inspecting.reconstruction import ContentInspection
from nstk.inspecting.textures import StyleInspection
from nstk.reports.figures import LineChart, Series, draw_chart, paint_shares
from nstk.reports.sheets import Cell, Row, draw_sheet, fit_width, tile_images
from nstk.types import Array

_COLUMNS = 3
_HEAT_MAP = 200


def draw_content_sheet(found: ContentInspection) -> Image:
    """Draw the reconstructions of an image side by side, with their loss curves.

    Args:
        found: The result of `nstk.inspect_content`.
    """
    cells = [
        Cell(found.original, "the image"),
        *(
            Cell(each.image, f"{each.layer}\npixel error {each.error:.3f}")
            for each in found.reconstructions
        ),
    ]
    curves = [(each.layer, each.losses) for each in found.reconstructions]
    note = (
        "Each image starts from white noise and minimizes the content loss of one layer, "
        f"{found.steps} steps. Shallow layers preserve pixels; deep layers preserve objects and "
        "their arrangement."
    )
    title = f"Content reconstructions from {found.backbone}"
    return _draw_loss_curves(title, note, cells, _draw_losses(curves, "relative content loss"))


def draw_style_sheet(found: StyleInspection) -> Image:
    """Draw textures from the Gram matrices of more and more layers, with their loss curves.

    Args:
        found: The result of `nstk.inspect_style`.
    """
    names = ["layer 1", *(f"layers 1-{len(each.layers)}" for each in found.textures[1:])]
    named = list(zip(names, found.textures, strict=True))
    cells = [
        Cell(found.original, "the image"),
        *(Cell(each.image, f"{name}, up to {each.layers[-1]}") for name, each in named),
    ]
    curves = [(name, each.losses) for name, each in named]
    note = (
        "Each image starts from white noise and minimizes the Gram loss of some layers, "
        f"{found.steps} steps. Shallow layers capture colors and strokes; deeper layers add "
        "motifs. The arrangement is lost."
    )
    title = f"Textures from Gram matrices of {found.backbone}"
    losses = _draw_losses(curves, "relative Gram loss, mean of layers")
    return _draw_loss_curves(title, note, cells, losses)


def draw_gram_sheet(found: GramInspection) -> Image:
    """Draw the Gram matrices of images as heat maps, and pairs of channels with patches.

    Args:
        found: The result of `nstk.inspect_gram`.
    """
    blank = np.ones((1, _HEAT_MAP, 3), np.float32)
    images = [
        cell
        for image, name in zip(found.images, found.names, strict=True)
        for cell in (Cell(fit_width(image, _HEAT_MAP), name), Cell(blank))
    ]
    note = (
        "Each entry is the correlation of two channels over all positions. Channels have the same "
        "order in all images, similar ones together; colors show √G on one scale per layer. "
        "Beside each matrix: the channel pairs most correlated in the first image, with the "
        "patches of this image where both are strongly active."
    )
    return draw_sheet(
        f"Gram matrices of {found.backbone}",
        [Row(images), *(_show_layer(layer) for layer in found.layers)],
        note=note,
        columns=len(images),
    )


def paint_gram(gram: Array, order: Sequence[int], largest: float) -> Image:
    """Paint the square roots of a Gram matrix's entries as a heat map.

    Args:
        gram: ``(C, C)``, 0 or more where activations are.
        order: The order of the channels.
        largest: The entry with the brightest color.
    """
    ordered = np.maximum(gram[np.ix_(order, order)], 0)
    shares = np.sqrt(ordered / max(largest, 1e-12)).astype(np.float32)
    return fit_width(paint_shares(shares), _HEAT_MAP)


def _show_layer(layer: LayerGram) -> Row:
    largest = max(float(gram.max()) for gram in layer.grams)
    cells = []
    for number, (gram, error) in enumerate(zip(layer.grams, layer.errors, strict=True)):
        off = f"relative error {100 * error:.0f} %" if number else f"{len(gram)} channels"
        correlations = "\n".join(
            f"{pair.channels[0]} × {pair.channels[1]}: {pair.correlations[number]:.2f}"
            for pair in layer.pairs
        )
        cells += [
            Cell(paint_gram(gram, layer.order, largest), off),
            Cell(_tile_pairs(layer.pairs, number), correlations),
        ]
    return Row(cells, heading=layer.layer)


def _tile_pairs(pairs: Sequence[ChannelPair], number: int) -> Image:
    """Tile one line of patches for each pair; white where there are too few."""
    side = (_HEAT_MAP - 2 * (PATCHES - 1)) // PATCHES
    blank = np.ones((side, side, 3), np.float32)
    lines = [
        [fit_width(each.pixels, side)[:side] for each in pair.patches[number]] for pair in pairs
    ]
    padded = [[*line, *[blank] * (PATCHES - len(line))] for line in lines]
    return tile_images([each for line in padded for each in line] or [blank], PATCHES)


def _draw_loss_curves(title: str, note: str, cells: Sequence[Cell], losses: Image) -> Image:
    return draw_sheet(title, [Row(cells), Row([Cell(losses)])], note=note, columns=_COLUMNS)


def _draw_losses(curves: Sequence[tuple[str, Sequence[float]]], label: str) -> Image:
    series = [Series(name, list(range(1, len(losses) + 1)), losses) for name, losses in curves]
    return draw_chart(LineChart(series, "steps", label, log_y=True, ordered=True, height=300))
