"""The strongest channels of layers, and the image patches that activate them most.

After Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", fig. 2: the
nine patches with the highest activation, cropped to the receptive field. Two passes over the images
measure the energy of all channels, then find the patches of the strongest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.datasets.listing import SkippedFile, find_images, list_sources
from nstk.errors import ImageError, printable
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.images.loading import LoadedImage
from nstk.inspecting.layers import Field, check_field, find_whole_cells, limit_size, trace_fields
from nstk.progress import Progress, Reporter
from nstk.stylization.inputs import Source, open_image, with_range
from nstk.stylization.styles import extract_features

Maps = npt.NDArray[np.float32]
"""Feature maps of one image: ``(height, width, channels)``."""

PATCHES = 9


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of an image that activates a channel: exactly the receptive field of one cell.

    ``source`` is the index of the image; top and left are pixels at inspection size.
    """

    pixels: Image
    activation: float
    source: int
    top: int
    left: int


def channel_energy(maps: Maps) -> npt.NDArray[np.float64]:
    """Σ_ij a_ijk² of every channel k, the diagonal of its Gram matrix; adds over images."""
    energy: npt.NDArray[np.float64] = np.square(maps, dtype=np.float64).sum(axis=(0, 1))
    return energy


def strongest_channels(energy: npt.NDArray[np.float64], count: int) -> tuple[int, ...]:
    """The channels with the most energy, highest first."""
    return tuple(int(channel) for channel in np.argsort(-energy, kind="stable")[:count])


def find_patches(
    activation: npt.NDArray[np.float32], image: Image, field: Field, source: int, count: int
) -> list[Patch]:
    """The patches of one image with the highest activation, highest first.

    Only cells whose receptive field lies inside the image count, and no two patches share more
    than half of their height and width.
    """
    rows = find_whole_cells(image.shape[0], field.rows)
    columns = find_whole_cells(image.shape[1], field.columns)
    free = np.full(activation.shape, -np.inf, np.float32)
    inside = np.s_[rows.start : rows.stop, columns.start : columns.stop]
    free[inside] = activation[inside]
    apart = [
        math.ceil(extent / (2 * axis.stride))
        for extent, axis in ((field.height, field.rows), (field.width, field.columns))
    ]
    patches: list[Patch] = []
    while len(patches) < count:
        i, j = np.unravel_index(int(free.argmax()), free.shape)
        if not free[i, j] > 0:
            break
        patches.append(_crop(image, field, source, (int(i), int(j)), float(free[i, j])))
        near = (max(i - apart[0] + 1, 0), max(j - apart[1] + 1, 0))
        free[near[0] : i + apart[0], near[1] : j + apart[1]] = -np.inf
    return patches


def merge_patches(patches: Sequence[Patch], images: int, count: int = PATCHES) -> list[Patch]:
    """The patches with the highest activation over all images.

    No image contributes more than its share of ``count``, rounded up, so that nine images or more
    contribute one patch each.
    """
    share = math.ceil(count / images)
    taken: dict[int, int] = {}
    best: list[Patch] = []
    for patch in sorted(patches, key=lambda patch: -patch.activation):
        if len(best) < count and taken.get(patch.source, 0) < share:
            taken[patch.source] = taken.get(patch.source, 0) + 1
            best.append(patch)
    return best


def _crop(
    image: Image, field: Field, source: int, cell: tuple[int, int], activation: float
) -> Patch:
    top = cell[0] * field.rows.stride - field.rows.before
    left = cell[1] * field.columns.stride - field.columns.before
    # A copy: a view would keep the whole image in memory.
    pixels = image[top : top + field.height, left : left + field.width].copy()
    return Patch(pixels, activation, source, top, left)


@dataclass(frozen=True, eq=False)
class Survey:
    """The images of an inspection, and the mean squared activation of every channel by layer.

    Files are opened one at a time; ``first`` is the first image at inspection size.
    """

    names: tuple[str, ...]
    sources: tuple[Source, ...]
    first: Image
    energies: Mapping[str, npt.NDArray[np.float64]]
    skipped: tuple[SkippedFile, ...]


class Response(NamedTuple):
    """Feature map of a channel for the first image, and its best patches of all images."""

    activation: Maps
    patches: tuple[Patch, ...]


def find_sources(
    images: Source | Sequence[Source], value_range: ValueRange = VALUE_RANGE
) -> tuple[list[Source], tuple[SkippedFile, ...]]:
    """Images and unopened files, in folders too, and the folders that could not be searched."""
    given = [with_range(source, value_range) for source in list_sources(images)]
    paths = [source for source in given if isinstance(source, str | Path)]
    files, skipped = find_images(paths) if paths else ((), ())
    sources: list[Source] = [source for source in given if not isinstance(source, str | Path)]
    sources += files
    if not sources:
        where = ", ".join(map(str, paths)) or "nothing"
        raise ImageError(f"{where} contains no image; give images, or a folder of them.")
    return sources, skipped


def survey_images(
    sources: Sequence[Source],
    layers: Sequence[str],
    backbone: Backbone,
    size: int,
    on_progress: Reporter,
) -> Survey:
    """Measure the energy of every channel over all images, scaled down to ``size``."""
    names, shown, skipped, refusals = list[str](), list[Source](), [], []
    first: Image | None = None
    energies: dict[str, npt.NDArray[np.float64]] = {}
    cells = dict.fromkeys(layers, 0)
    taps = backbone.tap(layers)
    for step, source in enumerate(sources):
        on_progress(Progress(stage="energy", step=step, total=len(sources)))
        try:
            loaded = open_image(source, f"image {step + 1}")
            image = limit_size(loaded.pixels, size)
            check_field(image, str(loaded.path), layers, backbone)
        except ImageError as error:
            refusals.append(error)
            name = source if isinstance(source, str | Path) else f"image {step + 1}"
            path = source.path if isinstance(source, LoadedImage) else name
            reason = str(error).removeprefix(printable(path)).lstrip(": ").rstrip(".")
            skipped.append(SkippedFile(Path(path), reason))
            continue
        for layer, maps in extract_features(taps, image).items():
            energies[layer] = energies.get(layer, 0) + channel_energy(maps.numpy()[0])
            cells[layer] += maps.shape[1] * maps.shape[2]
        names.append(str(loaded.path))
        shown.append(source)
        first = image if first is None else first
    if first is None:
        raise refusals[0]
    on_progress(Progress(stage="energy", step=len(sources), total=len(sources)))
    means = {layer: energies[layer] / cells[layer] for layer in layers}
    return Survey(tuple(names), tuple(shown), first, means, tuple(skipped))


def find_responses(
    sources: Sequence[Source],
    channels: Mapping[str, Sequence[int]],
    backbone: Backbone,
    size: int,
    on_progress: Reporter,
) -> dict[str, list[Response]]:
    """Find the patches that activate a few channels of each layer most."""
    fields, taps = trace_fields(backbone), backbone.tap(tuple(channels))
    first: dict[str, Maps] = {}
    patches: dict[str, list[list[Patch]]] = {
        layer: [[] for _ in numbers] for layer, numbers in channels.items()
    }
    for step, source in enumerate(sources):
        on_progress(Progress(stage="patches", step=step, total=len(sources)))
        image = limit_size(open_image(source, f"image {step + 1}").pixels, size)
        for layer, features in extract_features(taps, image).items():
            maps = features.numpy()[0][..., list(channels[layer])]
            first.setdefault(layer, maps)
            for index, best in enumerate(patches[layer]):
                found = find_patches(maps[..., index], image, fields[layer], step, PATCHES)
                patches[layer][index] = merge_patches([*best, *found], len(sources))
    on_progress(Progress(stage="patches", step=len(sources), total=len(sources)))
    return {
        layer: [
            Response(first[layer][..., index], tuple(best))
            for index, best in enumerate(patches[layer])
        ]
        for layer in channels
    }
