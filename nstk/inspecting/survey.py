"""Two passes over the images: the energy of all channels, then the patches of the strongest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.datasets.folders import find_images
from nstk.datasets.listing import SkippedFile, list_sources
from nstk.errors import ImageError, printable
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.images.loading import LoadedImage
from nstk.inspecting.layers import check_field, limit_size, trace_fields
from nstk.inspecting.patches import (
    PATCHES,
    Maps,
    Patch,
    channel_energy,
    find_patches,
    merge_patches,
)
from nstk.progress import Progress, Reporter
from nstk.stylization.inputs import Source, open_image, with_range
from nstk.stylization.styles import extract_features


@dataclass(frozen=True, eq=False)
class Survey:
    """The images of an inspection, and the energy of every channel.

    Attributes:
        names: Of the images.
        sources: The images, or their files; only one is open at a time.
        first: The first image at inspection size.
        energies: Mean squared activation of every channel, by layer.
        skipped: Files that are not images, or too small for the layers.
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
    """Find images in files and folders.

    Args:
        images: Images, files, and folders, which are searched recursively.
        value_range: Values of black and white in arrays of floats.

    Returns:
        Images and unopened files, and the folders that could not be searched.

    Raises:
        ImageError: If there is none.
    """
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
    """Measure the energy of every channel over all images.

    Args:
        sources: Images and files.
        layers: The layers.
        backbone: Their network.
        size: Longer side in pixels to which larger images are scaled down.
        on_progress: Called for every image, stage ``"energy"``.

    Raises:
        ImageError: If no image can be read and is large enough for the layers.
    """
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
    """Find the patches that activate a few channels most.

    Args:
        sources: The images of the survey.
        channels: Channels by layer.
        backbone: Their network.
        size: Longer side in pixels to which larger images are scaled down.
        on_progress: Called for every image, stage ``"patches"``.

    Returns:
        For each layer the response of each channel, in the order given.

    Raises:
        ImageError: If a file can no longer be read.
    """
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
