"""Styles: the statistics of feature maps, computed from an image or read from a file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.errors import ImageError, StyleFileError
from nstk.images.image import Image, Plane, fit_size, resize_image
from nstk.images.masks import resize_mask
from nstk.optimizers.smooth_colors import smooth_chroma
from nstk.storage.array_files import digest_arrays, read_arrays, write_arrays
from nstk.storage.files import atomic_write
from nstk.stylization.regions import make_guide
from nstk.stylization.statistics import Statistics, blend_statistics, feature_sums
from nstk.stylization.tiled.network import TiledNetwork
from nstk.types import Array, FeatureMaps, Json, KerasModel, Tensor

EXTENSION = ".nstyle"
TITLE = "style.json"
VERSION = 1
MAX_BYTES = 2**30
MAX_RATIO = 20
"""Largest ratio of unpacked to packed size; sums hardly compress at all."""

_SMALL = 2**24
MAX_CHANNELS = 4096

FLAT_STD, FLAT_COARSE_STD, FLAT_CELL = 2.5 / 255, 0.5 / 255, 8
"""A swatch has at most this standard deviation, and averaged over cells of 8×8 pixels at most the
second: faint paper and cloth have more of it, noise has less."""

Sums = Mapping[int, Mapping[str, Statistics]]


@dataclass(frozen=True, eq=False)
class SavedStyle:
    """A style from a file: statistics by longer side in pixels and by layer, without images.

    ``network`` holds name, digest and pooling of the network they were computed with; ``scale`` is
    the size of the strokes relative to their own.
    """

    name: str
    network: Mapping[str, str]
    sums: Sums
    scale: float = 1.0

    def to_dict(self) -> dict[str, Json]:
        sizes = list(self.sums)
        network, layers = self.network["backbone"], list(self.sums[sizes[0]])
        return {"backbone": network, "sizes": sizes, "layers": layers}

    @cached_property
    def digest(self) -> str:
        arrays = {
            f"{size}/{layer}/{number}": part
            for size, layers in self.sums.items()
            for layer, statistics in layers.items()
            for number, part in enumerate(statistics)
        }
        return digest_arrays({**arrays, "scale": np.float64(self.scale)})

    def compute_statistics(
        self, backbone: Backbone, layers: Sequence[str], longer_side: int
    ) -> Mapping[str, Statistics]:
        """Return the statistics of the nearest size."""
        if backbone.digest != self.network["digest"]:
            raise StyleFileError(
                f"{self.name} was made with the network {self.network['backbone']!r}; this is "
                f"{backbone.name!r} with other weights: choose "
                f"`backbone={self.network['backbone']!r}`, or save the style again."
            )
        wanted = longer_side * self.scale
        nearest = min(self.sums, key=lambda size: abs(math.log(size / wanted)))
        missing = [layer for layer in layers if layer not in self.sums[nearest]]
        if missing:
            raise StyleFileError(
                f"{self.name} has no layer {missing[0]}; it holds "
                f"{', '.join(self.sums[nearest])}: choose `style_layers` from these, or save the "
                "style again with other `style_layers`."
            )
        return {layer: self.sums[nearest][layer] for layer in layers}


def write_style(style: SavedStyle, path: str | Path, sources: Sequence[str]) -> Path:
    path = Path(path)
    check_extension(path)
    first = next(iter(style.sums.values()))
    facts = {
        "version": VERSION,
        **style.network,
        "styles": list(sources),
        "sizes": list(style.sums),
        "layers": {layer: int(sums.total.shape[0]) for layer, sums in first.items()},
    }

    arrays = {
        f"{size}/{layer}/{part}": array
        for size, by_layer in style.sums.items()
        for layer, statistics in by_layer.items()
        for part, array in _pack(statistics).items()
    }
    return atomic_write(
        path, lambda target: write_arrays(target, TITLE, facts, arrays, compress=True)
    )


def load_style(path: str | Path, *, scale: float = 1.0) -> SavedStyle:
    path = Path(path)
    try:
        limit = min(MAX_BYTES, _SMALL + MAX_RATIO * path.stat().st_size)
        facts, arrays = read_arrays(path, TITLE, limit=limit)
        network = {name: str(facts[name]) for name in ("backbone", "digest", "pooling")}
        layers = {str(name): int(channels) for name, channels in facts["layers"].items()}
        sums = {
            int(size): {
                layer: _unpack(arrays, f"{int(size)}/{layer}", channels)
                for layer, channels in layers.items()
            }
            for size in facts["sizes"]
        }
        if facts["version"] != VERSION or not sums or not layers or min(sums) < 1:
            raise ValueError("it has another version or is empty")
    except (OSError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise StyleFileError(
            f"{path} cannot be read as a style ({reason}); give an image, or a file made by "
            "nstk style save."
        ) from error
    return SavedStyle(path.name, network, sums, scale)


def check_extension(path: Path) -> None:
    if path.suffix.lower() != EXTENSION:
        raise StyleFileError(f"{path} is not a style file name; give it the extension {EXTENSION}.")


def _pack(statistics: Statistics) -> dict[str, npt.NDArray[np.float32]]:
    """The Gram matrix is symmetric: its upper half is enough."""
    gram, total, count = (np.asarray(part, np.float32) for part in statistics)
    return {"gram": gram[np.triu_indices(len(gram))], "total": total, "count": count}


def _unpack(arrays: Mapping[str, Array], prefix: str, channels: int) -> Statistics:
    if not 0 < channels <= MAX_CHANNELS:
        raise ValueError(f"{prefix} has {channels} channels")
    upper = _check(arrays, f"{prefix}/gram", (channels * (channels + 1) // 2,))
    total = _check(arrays, f"{prefix}/total", (channels,))
    count = _check(arrays, f"{prefix}/count", ())
    gram = np.zeros((channels, channels), np.float32)
    gram[np.triu_indices(channels)] = upper
    gram = gram + np.triu(gram, 1).T
    return Statistics(tf.constant(gram), tf.constant(total), tf.constant(count))


def _check(arrays: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    array = arrays[name]
    if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
        raise ValueError(f"{name} does not hold {shape} finite float32 numbers")
    return array


TILE_ABOVE = 3 * 2**20
"""Values in an image above which its statistics are computed tile by tile."""

MAX_KEPT = 32
"""Statistics that a network keeps: a few styles at a few sizes, at most some tens of megabytes."""


@dataclass(frozen=True, eq=False)
class StyleImage:
    """A style given by an image, or by the part of it inside a mask."""

    name: str
    pixels: Image
    mask: Plane | None = None
    scale: float = 1.0

    @cached_property
    def digest(self) -> str:
        scale = {"scale": np.float64(self.scale)}
        mask = {} if self.mask is None else {"mask": self.mask}
        return digest_arrays({"pixels": self.pixels, **mask, **scale})

    @property
    def counted_pixels(self) -> Image:
        """The pixels whose mask is at least half its maximum, ``(1, n, 3)``; all if unmasked."""
        if self.mask is None:
            return self.pixels
        return self.pixels[np.newaxis, self.mask >= self.mask.max() / 2]

    def size_at(self, longer_side: int) -> tuple[int, int]:
        """Height and width at the scale of the result: never enlarged, never stretched."""
        height, width = self.pixels.shape[:2]
        return fit_size(height, width, min(round(longer_side * self.scale), max(height, width)))

    def resized(self, longer_side: int) -> Image:
        return resize_image(self.pixels, *self.size_at(longer_side))

    def resized_mask(self, height: int, width: int) -> Plane:
        if self.mask is None:
            return np.ones((height, width), np.float32)
        return resize_mask(self.mask, height, width)

    def compute_statistics(
        self, backbone: Backbone, layers: Sequence[str], longer_side: int
    ) -> Mapping[str, Statistics]:
        """Return the statistics; the network keeps the last ones, for many contents of a style."""
        known = backbone.compiled.setdefault("style statistics", {})
        key = self.digest, tuple(layers), longer_side
        if key not in known:
            while len(known) >= MAX_KEPT:
                del known[next(iter(known))]  # the oldest
            known[key] = self._compute_statistics(backbone, layers, longer_side)
        kept: Mapping[str, Statistics] = known[key]
        return kept

    def _compute_statistics(
        self, backbone: Backbone, layers: Sequence[str], longer_side: int
    ) -> Mapping[str, Statistics]:
        image = smooth_chroma(self.resized(longer_side)).numpy()  # as results are
        self._check_size(image, backbone, layers)
        guides: dict[str, Tensor] = {}
        if self.mask is not None:
            mask = self.resized_mask(*image.shape[:2])
            shapes = backbone.tap(layers).compute_output_shape((1, *image.shape))
            guides = {
                layer: make_guide(
                    mask, backbone, layer, shapes[layer][1:3], name=f"the mask of {self.name}"
                )
                for layer in layers
            }
        if image.size > TILE_ABOVE and all(backbone.reach(name) < WHOLE_IMAGE for name in layers):
            return TiledNetwork.of(backbone, layers).style_statistics(image, guides)
        maps = extract_features(backbone.tap(layers), image)
        return {name: feature_sums(maps[name], guides.get(name)) for name in layers}

    def check_contrast(self) -> None:
        """Refuse a swatch: its features have no spread, which losses could be measured against."""
        seen = self.counted_pixels
        height, width = (math.ceil(side / FLAT_CELL) for side in seen.shape[:2])
        coarse = seen if self.mask is not None else resize_image(seen, height, width)
        if _std(seen) <= FLAT_STD and _std(coarse) <= FLAT_COARSE_STD:
            color = " ".join(str(round(255 * mean)) for mean in seen.mean(axis=(0, 1)))
            raise ImageError(
                f"{self.name} has a single color (RGB {color}) and no texture to transfer; give an "
                "image with strokes, threads or grain."
            )

    def _check_size(self, image: Image, backbone: Backbone, layers: Sequence[str]) -> None:
        height, width = image.shape[:2]
        smallest = max(backbone.stride(name) for name in layers)
        if min(height, width) < smallest:
            raise ImageError(
                f"{self.name} is {width}×{height} pixels at this scale; the deepest style layer "
                f"needs {smallest} on the shorter side: give a larger image, a larger "
                "`style_scale` or shallower `style_layers`."
            )


def _std(pixels: Image) -> float:
    return float(pixels.std(axis=(0, 1), dtype=np.float64).max())


Style = StyleImage | SavedStyle
"""A source of style statistics at any size."""


def blend_styles(
    styles: Sequence[Mapping[str, Statistics]], weights: Sequence[float]
) -> Mapping[str, Statistics]:
    return {
        name: blend_statistics([style[name] for style in styles], weights) for name in styles[0]
    }


def extract_features(taps: KerasModel, image: Image) -> FeatureMaps:
    maps: FeatureMaps = taps(tf.constant(np.asarray(image)[np.newaxis]), training=False)
    return maps
