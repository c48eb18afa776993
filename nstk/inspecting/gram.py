"""Gram matrices side by side, and the pairs of channels that go together in a style.

G_kk′ = Σ_ij a_ijk·a_ijk′ says how often channels k and k′ are strong at the same place (Gatys et
al. 2016, eq. 3); the patches where a pair is strongest show what that means.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.errors import SettingsError
from nstk.images.image import Image
from nstk.inspecting.excitation import Patch, find_patches
from nstk.inspecting.layers import (
    Field,
    bring_to_size,
    check_field,
    choose_layers,
    trace_fields,
)
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source, open_image
from nstk.stylization.preparing import find_network
from nstk.stylization.statistics import Moments, covariance, feature_sums, to_moments
from nstk.stylization.styles import extract_features

Matrix = npt.NDArray[np.float32]
"""One number for every pair of channels, ``(C, C)``."""

PATCHES = 4

_NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class ChannelPair:
    """Two channels that are strong at the same places of the style.

    Attributes:
        channels: Their numbers.
        correlations: Of their activations over the places of each image, −1 to 1.
        patches: Of each image, where both are strongest; what one cell sees.
    """

    channels: tuple[int, int]
    correlations: tuple[float, ...]
    patches: tuple[tuple[Patch, ...], ...]


@dataclass(frozen=True, eq=False)
class LayerGram:
    """The Gram matrices of one layer.

    Attributes:
        layer: Its name.
        order: Channels in the order in which a heat map shows structure: alike ones together.
        grams: G of each image, per place, ``(C, C)``, channels in the network's order.
        errors: ‖G − G*‖_F / ‖G*‖_F of each image, with G* that of the first.
        pairs: The pairs of channels that are most correlated in the first image.
    """

    layer: str
    order: tuple[int, ...]
    grams: tuple[Matrix, ...]
    errors: tuple[float, ...]
    pairs: tuple[ChannelPair, ...]


@dataclass(frozen=True, eq=False)
class GramInspection:
    """Gram matrices of images, the first of which is the style.

    Attributes:
        names: Of the images.
        images: As they were looked at.
        layers: Their matrices, from the image to the deepest layer.
        backbone: The network's name.
        seconds: Wall time.
    """

    names: tuple[str, ...]
    images: tuple[Image, ...]
    layers: tuple[LayerGram, ...]
    backbone: str
    seconds: float


def inspect_gram(
    images: Sequence[Source],
    *,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = no_progress,
) -> GramInspection:
    """Compare the Gram matrices of a style and of what was made from it.

    Args:
        images: The style first, then any others: a result, the content. Images or paths.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: Layers, size and pairs.
        on_progress: Told how many layers are done, stage ``"gram"``.

    Returns:
        The matrices of every layer, and the most correlated pairs of channels with patches.

    Raises:
        SettingsError: If there is no image.
        ImageError: If one is no image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    began, settings = time.monotonic(), settings or InspectSettings()
    if not images:
        raise SettingsError("No image was given; give the style, and what was made from it.")
    backbone = find_network(backbone, on_progress)
    layers = choose_layers(backbone, settings.layers)
    opened = [open_image(source, f"image {k}") for k, source in enumerate(images, 1)]
    names = tuple(loaded.path.name for loaded in opened)
    shown = tuple(bring_to_size(loaded.pixels, settings.size) for loaded in opened)
    for loaded, image in zip(opened, shown, strict=True):
        check_field(image, str(loaded.path), layers, backbone)
    fields, seen = (
        trace_fields(backbone),
        [extract_features(backbone.tap(layers), each) for each in shown],
    )
    found = []
    for step, layer in enumerate(layers):
        on_progress(Progress(stage="gram", step=step, total=len(layers)))
        maps = [each[layer] for each in seen]
        found.append(_compare(layer, maps, shown, fields[layer], settings.pairs))
    on_progress(Progress(stage="gram", step=len(layers), total=len(layers)))
    return GramInspection(names, shown, tuple(found), backbone.name, time.monotonic() - began)


def _compare(
    layer: str, maps: Sequence[Any], images: Sequence[Image], field: Field, pairs: int
) -> LayerGram:
    moments = [to_moments(feature_sums(each)) for each in maps]
    grams = tuple(each.gram.numpy() for each in moments)
    size = max(float(np.linalg.norm(grams[0])), _NOTHING)
    correlations = [correlate(covariance(each).numpy()) for each in moments]
    return LayerGram(
        layer=layer,
        order=order_channels(correlations[0]),
        grams=grams,
        errors=tuple(float(np.linalg.norm(gram - grams[0])) / size for gram in grams),
        pairs=tuple(
            ChannelPair(
                channels,
                tuple(float(each[channels]) for each in correlations),
                tuple(
                    tuple(_find_both(each.numpy()[0], channels, image, field, number))
                    for number, (each, image) in enumerate(zip(maps, images, strict=True))
                ),
            )
            for channels in pick_pairs(correlations[0], pairs, among=find_strong(moments[0]))
        ),
    )


def correlate(covariances: Matrix) -> Matrix:
    """Correlations from covariances, −1 to 1; 0 for a channel that is the same everywhere."""
    stds = np.sqrt(np.maximum(np.diag(covariances), 0))
    still = stds <= 1e-6 * max(float(stds.max()), _NOTHING)
    scale = np.where(still, 0, 1 / np.where(still, 1, stds))
    correlations: Matrix = np.clip(covariances * np.outer(scale, scale), -1, 1)
    return correlations.astype(np.float32)


def find_strong(moments: Moments) -> npt.NDArray[np.bool_]:
    """Which channels vary at least as much as the middle one; the rest is hardly ever awake."""
    variances = moments.variance.numpy()
    strong: npt.NDArray[np.bool_] = variances >= np.median(variances)
    return strong


def pick_pairs(
    correlations: Matrix, count: int, among: npt.NDArray[np.bool_] | None = None
) -> list[tuple[int, int]]:
    """The pairs of different channels with the highest correlation; no channel is in two.

    Args:
        correlations: ``(C, C)``, symmetric.
        count: How many pairs at most.
        among: Which channels may be in a pair, ``(C,)``; all when None.
    """
    if among is not None:
        correlations = np.where(np.outer(among, among), correlations, -1)
    rows, columns = np.triu_indices(len(correlations), k=1)
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for place in np.argsort(-correlations[rows, columns], kind="stable"):
        k, other = int(rows[place]), int(columns[place])
        if len(pairs) == count or not correlations[k, other] > 0:
            break
        if not {k, other} & taken:
            pairs.append((k, other))
            taken |= {k, other}
    return pairs


def order_channels(correlations: Matrix) -> tuple[int, ...]:
    """An order of the channels in which those that go together stand together.

    It is that of the second eigenvector of the graph Laplacian of the positive correlations
    (Fiedler 1973), which puts strongly tied channels at near places of a line.
    """
    ties = np.maximum(correlations.astype(np.float64), 0)
    np.fill_diagonal(ties, 0)
    degrees = np.maximum(ties.sum(axis=1), _NOTHING)
    scale = 1 / np.sqrt(degrees)
    laplacian = np.eye(len(ties)) - ties * np.outer(scale, scale)
    _, vectors = np.linalg.eigh(laplacian)
    places = vectors[:, min(1, len(ties) - 1)] * scale
    return tuple(int(channel) for channel in np.argsort(places, kind="stable"))


def _find_both(
    maps: Matrix, channels: tuple[int, int], image: Image, field: Field, source: int
) -> list[Patch]:
    """Where two channels are strong together: by the geometric mean of their activations."""
    one, other = (np.maximum(maps[..., channel], 0) for channel in channels)
    both = np.sqrt((one / max(one.max(), _NOTHING)) * (other / max(other.max(), _NOTHING)))
    return find_patches(both.astype(np.float32), image, field, source, PATCHES)
