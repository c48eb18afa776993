"""Contact sheets of filters, activation maps, patches and feature visualizations."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nstk.images.image import Image
from nstk.inspecting.filters import Filters
from nstk.inspecting.job import ChannelInspection, LayerInspection, NetworkInspection
from nstk.inspecting.patches import Patch
from nstk.reports.figures import paint_shares
from nstk.reports.sheets import Cell, Row, draw_sheet, fit_width, tile_images

_SHEET, _CELL, _FILTER = 1300, 190, 44
_OVERVIEW_CHANNELS = 4


def draw_layer_sheet(found: NetworkInspection, layer: LayerInspection) -> Image:
    """Draw the sheet of one layer.

    Args:
        found: The result of `nstk.inspect_layers`.
        layer: One of its layers.

    Returns:
        The strongest channels side by side: their activation map of the first image, the patches
        with the highest activations, and a visualization by gradient ascent; for the first
        convolution also its filters.
    """
    rows = [Row([Cell(fit_width(found.image, _CELL), Path(found.names[0]).name)])]
    if found.filters is not None and found.filters.layer == layer.layer:
        rows.append(_show_filters(found.filters))
    rows += [
        Row(
            _cells(layer, _show_activation),
            heading="Activation maps",
            note="Of the image above; yellow is the channel's highest activation, violet is zero.",
        ),
        Row(
            _cells(layer, _show_patches),
            heading="Patches with the highest activations",
            note=f"From {count_images(found)}; each patch is the receptive field of one position.",
        ),
        Row(
            _cells(layer, _show_visualization),
            heading="Feature visualizations",
            note="Images that maximize the mean activation, by gradient ascent from faint noise.",
        ),
    ]
    title = f"{layer.layer} of {found.backbone}"
    return draw_sheet(title, rows, note=describe(layer, len(layer.channels)), width=_SHEET)


def draw_overview(found: NetworkInspection) -> Image:
    """Draw a few channels of all inspected layers on one sheet.

    Args:
        found: The result of `nstk.inspect_layers`.
    """
    rows = [] if found.filters is None else [_show_filters(found.filters)]
    for layer in found.layers:
        cells = [
            Cell(
                tile_images([_show_visualization(channel), _show_patches(channel)], 2),
                f"channel {channel.channel}",
            )
            for channel in layer.channels[:_OVERVIEW_CHANNELS]
        ]
        if cells:
            rows.append(Row(cells, heading=layer.layer, note=describe(layer, len(cells))))
    note = (
        "Left of each pair: the channel's feature visualization by gradient ascent. Right: the "
        f"patches of {count_images(found)} with its highest activations."
    )
    return draw_sheet(f"Layers of {found.backbone}", rows, note=note, width=1700)


def describe(layer: LayerInspection, shown: int) -> str:
    """Describe a layer: its stride, its receptive field, and how many channels are shown."""
    field = f"{layer.field.width}×{layer.field.height} px" if layer.field.is_bounded else "∞"
    return (
        f"Stride {layer.stride}; receptive field {field}; the {shown} strongest "
        f"of {layer.width} channels."
    )


def count_images(found: NetworkInspection) -> str:
    """Write ``one image`` or ``12 images``."""
    return "one image" if len(found.names) == 1 else f"{len(found.names)} images"


def _cells(layer: LayerInspection, show: Callable[[ChannelInspection], Image]) -> list[Cell]:
    return [Cell(show(each), f"channel {each.channel}") for each in layer.channels]


def _show_activation(channel: ChannelInspection) -> Image:
    shares = channel.activation / max(float(channel.activation.max()), 1e-12)
    return fit_width(paint_shares(shares), _CELL)


def _show_patches(channel: ChannelInspection) -> Image:
    return tile_patches(channel.patches, 3, _CELL)


def _show_visualization(channel: ChannelInspection) -> Image:
    return fit_width(channel.visualization, _CELL)


def _show_filters(filters: Filters) -> Row:
    images = [fit_width(each, _FILTER) for each in filters.images]
    note = (
        f"Gray is 0. More oriented than 99 % of random filters: {_list(filters.oriented)}; more "
        f"color-opponent: {_list(filters.opponent)} (numbered from 0)."
    )
    heading = f"{len(images)} filters of {filters.layer}"
    return Row([Cell(tile_images(images, 16, gap=6))], heading=heading, note=note)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def tile_patches(patches: Sequence[Patch], columns: int, width: int) -> Image:
    """Put patches into a square grid, white where there are too few.

    Args:
        patches: At most ``columns`` × ``columns``.
        columns: How many in a line.
        width: Of the grid in pixels.
    """
    gap = 2
    side = (width - gap * (columns - 1)) // columns
    grid: Image = np.ones((width, width, 3), np.float32)
    if patches:
        tiled = tile_images([fit_width(each.pixels, side) for each in patches], columns, gap=gap)
        height, wide = min(tiled.shape[0], width), tiled.shape[1]
        grid[:height, :wide] = tiled[:height]
    return grid
