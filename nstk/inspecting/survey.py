"""One walk over the pictures to see which channels are strong, another to see where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.datasets.folders import find_pictures
from nstk.datasets.listing import SkippedFile, list_sources
from nstk.errors import PictureError, printable
from nstk.images.image import Picture
from nstk.inspecting.excitation import (
    PATCHES,
    Maps,
    Patch,
    find_patches,
    measure_energy,
    merge_patches,
)
from nstk.inspecting.layers import bring_to_size, check_field, trace_fields
from nstk.progress import Progress, Reporter
from nstk.stylization.inputs import Source, open_picture
from nstk.stylization.styles import look


@dataclass(frozen=True, eq=False)
class Survey:
    """The pictures a network was shown, and how strong its channels were.

    Attributes:
        names: Of the pictures.
        sources: The pictures, or their files: however many there are, one is open at a time.
        first: The first of them, as it was looked at.
        energies: Mean squared activation of every channel, by layer.
        skipped: Files that are no pictures, or too small for the layers.
    """

    names: tuple[str, ...]
    sources: tuple[Source, ...]
    first: Picture
    energies: Mapping[str, npt.NDArray[np.float64]]
    skipped: tuple[SkippedFile, ...]


class Response(NamedTuple):
    """Where a channel is strong: its map of the first picture, and the best patches of all."""

    activation: Maps
    patches: tuple[Patch, ...]


def gather_pictures(
    pictures: Source | Sequence[Source],
) -> tuple[list[Source], tuple[SkippedFile, ...]]:
    """Find the pictures in what was given.

    Args:
        pictures: Pictures, files, and folders, which are searched to the bottom.

    Returns:
        Pictures and files, not yet opened, and the folders that could not be searched.

    Raises:
        PictureError: If there is none.
    """
    given = list_sources(pictures)
    paths = [source for source in given if isinstance(source, str | Path)]
    files, skipped = find_pictures(paths) if paths else ((), ())
    sources: list[Source] = [source for source in given if not isinstance(source, str | Path)]
    sources += files
    if not sources:
        where = ", ".join(map(str, paths)) or "nothing"
        raise PictureError(f"{where} holds no picture; name pictures, or a folder of them.")
    return sources, skipped


def survey_pictures(
    sources: Sequence[Source],
    layers: Sequence[str],
    backbone: Backbone,
    size: int,
    on_progress: Reporter,
) -> Survey:
    """Look at every picture once and measure the energy of every channel.

    Args:
        sources: Pictures and files.
        layers: To be looked at.
        backbone: Their network.
        size: Longer side in pixels that larger pictures are brought to.
        on_progress: Told of every picture.

    Raises:
        PictureError: If no picture can be read and is large enough for the layers.
    """
    names, shown, skipped, refusals = list[str](), list[Source](), [], []
    first: Picture | None = None
    energies: dict[str, npt.NDArray[np.float64]] = {}
    cells = dict.fromkeys(layers, 0)
    taps = backbone.tap(layers)
    for step, source in enumerate(sources):
        on_progress(Progress(stage="look", step=step, total=len(sources)))
        try:
            loaded = open_picture(source, f"picture {step + 1}")
            picture = bring_to_size(loaded.pixels, size)
            check_field(picture, str(loaded.path), layers, backbone)
        except PictureError as error:
            refusals.append(error)
            path = source if isinstance(source, str | Path) else f"picture {step + 1}"
            reason = str(error).removeprefix(printable(path)).lstrip(": ").rstrip(".")
            skipped.append(SkippedFile(Path(path), reason))
            continue
        for layer, maps in look(taps, picture).items():
            energies[layer] = energies.get(layer, 0) + measure_energy(maps.numpy()[0])
            cells[layer] += maps.shape[1] * maps.shape[2]
        names.append(str(loaded.path))
        shown.append(source)
        first = picture if first is None else first
    if first is None:
        raise refusals[0]
    on_progress(Progress(stage="look", step=len(sources), total=len(sources)))
    means = {layer: energies[layer] / cells[layer] for layer in layers}
    return Survey(tuple(names), tuple(shown), first, means, tuple(skipped))


def find_responses(
    sources: Sequence[Source],
    channels: Mapping[str, Sequence[int]],
    backbone: Backbone,
    size: int,
    on_progress: Reporter,
) -> dict[str, list[Response]]:
    """Look at every picture again, for what excites a few channels most.

    Args:
        sources: Pictures and files that were looked at before.
        channels: Numbers of channels by layer.
        backbone: Their network.
        size: Longer side in pixels that larger pictures are brought to.
        on_progress: Told of every picture.

    Returns:
        For each layer a response of each channel, in the order given.

    Raises:
        PictureError: If a file can no longer be read.
    """
    fields, taps = trace_fields(backbone), backbone.tap(tuple(channels))
    first: dict[str, Maps] = {}
    patches: dict[str, list[list[Patch]]] = {
        layer: [[] for _ in numbers] for layer, numbers in channels.items()
    }
    for step, source in enumerate(sources):
        on_progress(Progress(stage="patches", step=step, total=len(sources)))
        picture = bring_to_size(open_picture(source, f"picture {step + 1}").pixels, size)
        for layer, seen in look(taps, picture).items():
            maps = seen.numpy()[0][..., list(channels[layer])]
            first.setdefault(layer, maps)
            for place, best in enumerate(patches[layer]):
                found = find_patches(maps[..., place], picture, fields[layer], step, PATCHES)
                patches[layer][place] = merge_patches([*best, *found], len(sources))
    on_progress(Progress(stage="patches", step=len(sources), total=len(sources)))
    return {
        layer: [
            Response(first[layer][..., place], tuple(best))
            for place, best in enumerate(patches[layer])
        ]
        for layer in channels
    }
