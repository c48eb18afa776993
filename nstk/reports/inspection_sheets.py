"""Contact sheets of inspections: layers and channels, reconstructions, textures, Gram matrices."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstk.images.image import Image
from nstk.inspecting.gram import PATCHES, ChannelPair, GramInspection, LayerGram
from nstk.inspecting.job import ChannelInspection, LayerInspection, NetworkInspection
from nstk.inspecting.layers import Filters
from nstk.inspecting.patches import Patch
from nstk.inspecting.reconstruction import ContentInspection, StyleInspection
from nstk.reports.figures import LineChart, Series, draw_chart, paint_shares
from nstk.reports.formatting import format_count
from nstk.reports.sheets import Cell, Row, draw_sheet, fit_width, tile_images
from nstk.types import Array

_CELL, _FILTER, _HEAT_MAP = 190, 44, 200
_OVERVIEW_CHANNELS = 4


def draw_layer_sheet(found: NetworkInspection, layer: LayerInspection) -> Image:
    """Draw the strongest channels of a layer side by side.

    Each has its activation map of the first image, the patches with the highest activations, and a
    visualization by gradient ascent; the first convolution has its filters, too.
    """
    rows = [Row([Cell(fit_width(found.image, _CELL), Path(found.names[0]).name)])]
    if found.filters is not None and found.filters.layer == layer.layer:
        rows.append(_show_filters(found.filters))
    for show, heading, note in (
        (
            _show_activation,
            "Activation maps",
            "Of the image above; yellow is the channel's highest activation, violet is zero.",
        ),
        (
            _show_patches,
            "Patches with the highest activations",
            f"From {_count_images(found)}; each patch is the receptive field of one position.",
        ),
        (
            lambda channel: fit_width(channel.visualization, _CELL),
            "Feature visualizations",
            "Images that maximize the mean activation, by gradient ascent from faint noise.",
        ),
    ):
        cells = [Cell(show(channel), f"channel {channel.channel}") for channel in layer.channels]
        rows.append(Row(cells, heading, note))
    title = f"{layer.layer} of {found.backbone}"
    return draw_sheet(title, rows, note=describe(layer, len(layer.channels)), width=1300)


def draw_overview(found: NetworkInspection) -> Image:
    """Draw a few channels of all inspected layers on one sheet."""
    rows = [] if found.filters is None else [_show_filters(found.filters)]
    for layer in found.layers:
        cells = [
            Cell(
                tile_images([fit_width(channel.visualization, _CELL), _show_patches(channel)], 2),
                f"channel {channel.channel}",
            )
            for channel in layer.channels[:_OVERVIEW_CHANNELS]
        ]
        if cells:
            rows.append(Row(cells, heading=layer.layer, note=describe(layer, len(cells))))
    note = (
        "Left of each pair: the channel's feature visualization by gradient ascent. Right: the "
        f"patches of {_count_images(found)} with its highest activations."
    )
    return draw_sheet(f"Layers of {found.backbone}", rows, note=note, width=1700)


def draw_content_sheet(found: ContentInspection) -> Image:
    """Draw the reconstructions of an image side by side, with their loss curves."""
    cells = [
        Cell(each.image, f"{each.layer}\npixel error {each.error:.3f}")
        for each in found.reconstructions
    ]
    note = (
        "Each image starts from white noise and minimizes the content loss of one layer, "
        f"{found.steps} steps. Shallow layers preserve pixels; deep layers preserve objects and "
        "their arrangement."
    )
    curves = [(each.layer, each.losses) for each in found.reconstructions]
    losses = _draw_losses(curves, "relative content loss")
    rows = [Row([Cell(found.original, "the image"), *cells]), losses]
    title = f"Content reconstructions from {found.backbone}"
    return draw_sheet(title, rows, note=note, columns=3)


def draw_style_sheet(found: StyleInspection) -> Image:
    """Draw textures from the Gram matrices of more and more layers, with their loss curves."""
    names = ["layer 1", *(f"layers 1-{len(each.layers)}" for each in found.textures[1:])]
    named = list(zip(names, found.textures, strict=True))
    cells = [Cell(each.image, f"{name}, up to {each.layers[-1]}") for name, each in named]
    note = (
        "Each image starts from white noise and minimizes the Gram loss of some layers, "
        f"{found.steps} steps. Shallow layers capture colors and strokes; deeper layers add "
        "motifs. The arrangement is lost."
    )
    curves = [(name, each.losses) for name, each in named]
    losses = _draw_losses(curves, "relative Gram loss, mean of layers")
    rows = [Row([Cell(found.original, "the image"), *cells]), losses]
    title = f"Textures from Gram matrices of {found.backbone}"
    return draw_sheet(title, rows, note=note, columns=3)


def draw_gram_sheet(found: GramInspection) -> Image:
    """Draw the Gram matrices of images as heat maps, and pairs of channels with patches."""
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
    rows = [Row(images), *(_show_gram(layer) for layer in found.layers)]
    title = f"Gram matrices of {found.backbone}"
    return draw_sheet(title, rows, note=note, columns=len(images))


def describe(layer: LayerInspection, shown: int) -> str:
    field = f"{layer.field.width}×{layer.field.height} px" if layer.field.is_bounded else "∞"
    return (
        f"Stride {layer.stride}; receptive field {field}; the {shown} strongest "
        f"of {layer.width} channels."
    )


def _count_images(found: NetworkInspection) -> str:
    return "one image" if len(found.names) == 1 else format_count(len(found.names), "image")


def _show_activation(channel: ChannelInspection) -> Image:
    shares = channel.activation / max(float(channel.activation.max()), 1e-12)
    return fit_width(paint_shares(shares), _CELL)


def _show_patches(channel: ChannelInspection) -> Image:
    return tile_patches(channel.patches, 3, _CELL)


def _show_filters(filters: Filters) -> Row:
    oriented, opponent = (
        ", ".join(map(str, numbers)) or "none" for numbers in (filters.oriented, filters.opponent)
    )
    images = [fit_width(each, _FILTER) for each in filters.images]
    note = (
        f"Gray is 0. More oriented than 99 % of random filters: {oriented}; more color-opponent: "
        f"{opponent} (numbered from 0)."
    )
    heading = f"{len(images)} filters of {filters.layer}"
    return Row([Cell(tile_images(images, 16, gap=6))], heading=heading, note=note)


def tile_patches(patches: Sequence[Patch], columns: int, width: int) -> Image:
    """Put patches into a square grid of ``columns`` lines, white where there are too few."""
    gap = 2
    side = (width - gap * (columns - 1)) // columns
    grid: Image = np.ones((width, width, 3), np.float32)
    if patches:
        tiled = tile_images([fit_width(each.pixels, side) for each in patches], columns, gap=gap)
        height, wide = min(tiled.shape[0], width), tiled.shape[1]
        grid[:height, :wide] = tiled[:height]
    return grid


def paint_gram(gram: Array, order: Sequence[int], largest: float) -> Image:
    """Paint the square roots of a Gram matrix's entries as a heat map.

    ``order`` is that of the channels, ``largest`` the entry with the brightest color.
    """
    ordered = np.maximum(gram[np.ix_(order, order)], 0)
    shares = np.sqrt(ordered / max(largest, 1e-12)).astype(np.float32)
    return fit_width(paint_shares(shares), _HEAT_MAP)


def _show_gram(layer: LayerGram) -> Row:
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
            Cell(tile_pairs(layer.pairs, number), correlations),
        ]
    return Row(cells, heading=layer.layer)


def tile_pairs(pairs: Sequence[ChannelPair], number: int) -> Image:
    """Tile one line of patches for each pair; white where there are too few."""
    side = (_HEAT_MAP - 2 * (PATCHES - 1)) // PATCHES
    blank = np.ones((side, side, 3), np.float32)
    lines = [
        [fit_width(each.pixels, side)[:side] for each in pair.patches[number]] for pair in pairs
    ]
    padded = [[*line, *[blank] * (PATCHES - len(line))] for line in lines]
    return tile_images([each for line in padded for each in line] or [blank], PATCHES)


def _draw_losses(curves: Sequence[tuple[str, Sequence[float]]], label: str) -> Row:
    series = [Series(name, range(1, len(losses) + 1), losses) for name, losses in curves]
    chart = LineChart(series, "steps", label, log_y=True, ordered=True, height=300)
    return Row([Cell(draw_chart(chart))])
