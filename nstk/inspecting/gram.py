"""Gram matrices side by side, and the pairs of channels that are correlated in a style.

G_kk′ = Σ_ij a_ijk·a_ijk′ measures how channels k and k′ are active at the same positions (Gatys et
al. 2016, eq. 3); the patches where a pair is strongest show what that means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.errors import SettingsError
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.inspecting.layers import Field, check_field, choose_layers, limit_size, trace_fields
from nstk.inspecting.patches import Patch, find_patches
from nstk.progress import Progress, Reporter, Stopwatch, no_progress
from nstk.settings import InspectSettings, resolve_settings
from nstk.stylization.inputs import Source, open_image, with_ranges
from nstk.stylization.statistics import Moments, covariance, feature_sums, to_moments
from nstk.stylization.styles import extract_features
from nstk.types import Array, Json, SettingValue, Tensor

PATCHES = 4

_EPSILON = 1e-12


@dataclass(frozen=True, eq=False)
class ChannelPair:
    """Two channels that are active at the same positions of the style.

    Correlations, −1 to 1, and the patches where both are strongest are those of each image.
    """

    channels: tuple[int, int]
    correlations: tuple[float, ...]
    patches: tuple[tuple[Patch, ...], ...]


@dataclass(frozen=True, eq=False)
class LayerGram:
    """The Gram matrices of one layer.

    Attributes:
        order: Channels ordered for a heat map, correlated ones together.
        grams: G of each image per position, ``(C, C)``, channels in the network's order.
        errors: ‖G − G*‖_F / ‖G*‖_F of each image, with G* of the first image.
        pairs: The most correlated pairs of channels of the first image.
    """

    layer: str
    order: tuple[int, ...]
    grams: tuple[Array, ...]
    errors: tuple[float, ...]
    pairs: tuple[ChannelPair, ...]


@dataclass(frozen=True, eq=False, repr=False)
class GramInspection:
    """Gram matrices of images at inspection size, the first of which is the style."""

    names: tuple[str, ...]
    images: tuple[Image, ...]
    layers: tuple[LayerGram, ...]
    backbone: str
    seconds: float

    def __repr__(self) -> str:
        return f"GramInspection({len(self.images)} images, {len(self.layers)} layers)"

    def to_dict(self) -> dict[str, Json]:
        """Errors and correlations as plain values for JSON."""
        return {
            "backbone": self.backbone,
            "images": self.names,
            "layers": [
                {
                    "layer": each.layer,
                    "channels": len(each.order),
                    "errors": each.errors,
                    "pairs": [
                        {"channels": pair.channels, "correlations": pair.correlations}
                        for pair in each.pairs
                    ],
                }
                for each in self.layers
            ],
            "seconds": self.seconds,
        }


def inspect_gram(
    images: Sequence[Source],
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> GramInspection:
    """Compare the Gram matrices of a style with those of other images.

    Args:
        images: The style first, then others, such as a result and its content; images or paths.
        value_range: Values of black and white in arrays of floats, as in Keras.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: All settings as one object (layers, size and pairs are used); or give them as
            keyword arguments.
        on_progress: Called after each layer, stage ``"gram"``.
        **options: Fields of `InspectSettings`, instead of ``settings``.

    Returns:
        The matrices of every layer, and the most correlated pairs of channels with patches.

    Raises:
        SettingsError: If ``images`` is empty.
        ImageError: If a file is not an image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    watch, chosen = Stopwatch(), resolve_settings(InspectSettings, settings, options)
    if not images:
        raise SettingsError("`images` is empty; give the style, and images to compare with it.")
    backbone = load_backbone(backbone, on_progress=on_progress)
    layers = choose_layers(backbone, chosen.layers)
    ranged = with_ranges(images, value_range)
    opened = [open_image(source, f"image {k}") for k, source in enumerate(ranged, 1)]
    names = tuple(loaded.path.name for loaded in opened)
    shown = tuple(limit_size(loaded.pixels, chosen.size) for loaded in opened)
    for loaded, image in zip(opened, shown, strict=True):
        check_field(image, str(loaded.path), layers, backbone)
    fields, taps = trace_fields(backbone), backbone.tap(layers)
    features = [extract_features(taps, each) for each in shown]
    found = []
    for step, layer in enumerate(layers):
        on_progress(Progress(stage="gram", step=step, total=len(layers)))
        maps = [each[layer] for each in features]
        found.append(_compare(layer, maps, shown, fields[layer], chosen.pairs))
    on_progress(Progress(stage="gram", step=len(layers), total=len(layers)))
    return GramInspection(names, shown, tuple(found), backbone.name, watch.total)


def _compare(
    layer: str, maps: Sequence[Tensor], images: Sequence[Image], field: Field, pairs: int
) -> LayerGram:
    moments = [to_moments(feature_sums(each)) for each in maps]
    grams = tuple(each.gram.numpy() for each in moments)
    size = max(float(np.linalg.norm(grams[0])), _EPSILON)
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
            for channels in pick_pairs(correlations[0], pairs, among=strong_channels(moments[0]))
        ),
    )


def correlate(covariances: Array) -> Array:
    """Correlations from covariances, −1 to 1; 0 for constant channels."""
    stds = np.sqrt(np.maximum(np.diag(covariances), 0))
    constant = stds <= 1e-6 * max(float(stds.max()), _EPSILON)
    scale = np.where(constant, 0, 1 / np.where(constant, 1, stds))
    correlations: Array = np.clip(covariances * np.outer(scale, scale), -1, 1)
    return correlations.astype(np.float32)


def strong_channels(moments: Moments) -> npt.NDArray[np.bool_]:
    """Which channels vary at least as much as the median; the others are almost never active."""
    variances = moments.variance.numpy()
    return np.asarray(variances >= np.median(variances))


def pick_pairs(
    correlations: Array, count: int, among: npt.NDArray[np.bool_] | None = None
) -> list[tuple[int, int]]:
    """The pairs of channels with the highest correlation; no channel is in two pairs."""
    if among is not None:
        correlations = np.where(np.outer(among, among), correlations, -1)
    rows, columns = np.triu_indices(len(correlations), k=1)
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for index in np.argsort(-correlations[rows, columns], kind="stable"):
        k, other = int(rows[index]), int(columns[index])
        if len(pairs) == count or not correlations[k, other] > 0:
            break
        if not {k, other} & taken:
            pairs.append((k, other))
            taken |= {k, other}
    return pairs


def order_channels(correlations: Array) -> tuple[int, ...]:
    """Order the channels so that correlated ones are neighbors.

    The order is that of the second eigenvector of the graph Laplacian of the positive correlations
    (Fiedler 1973).
    """
    similarity = np.maximum(correlations.astype(np.float64), 0)
    np.fill_diagonal(similarity, 0)
    degrees = np.maximum(similarity.sum(axis=1), _EPSILON)
    scale = 1 / np.sqrt(degrees)
    laplacian = np.eye(len(similarity)) - similarity * np.outer(scale, scale)
    _, vectors = np.linalg.eigh(laplacian)
    positions = vectors[:, min(1, len(similarity) - 1)] * scale
    return tuple(int(channel) for channel in np.argsort(positions, kind="stable"))


def _find_both(
    maps: Array, channels: tuple[int, int], image: Image, field: Field, source: int
) -> list[Patch]:
    """Patches where both channels are active, by the geometric mean of their activations."""
    one, other = (np.maximum(maps[..., channel], 0) for channel in channels)
    both = np.sqrt((one / max(one.max(), _EPSILON)) * (other / max(other.max(), _EPSILON)))
    return find_patches(both.astype(np.float32), image, field, source, PATCHES)
