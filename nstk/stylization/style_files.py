"""Style files: the statistics of style images, for use without the images.

A ``.nstyle`` file is a zip with ``style.json`` and one ``.npy`` array for every size, layer and
sum, written by `nstk.storage.array_files`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.errors import StyleFileError
from nstk.storage.array_files import digest_arrays, read_arrays, write_arrays
from nstk.storage.files import atomic_write
from nstk.stylization.statistics import Statistics
from nstk.types import Array

EXTENSION = ".nstyle"
TITLE = "style.json"
VERSION = 1
MAX_BYTES = 2**30
MAX_RATIO = 20
"""Largest ratio of unpacked to packed size; sums hardly compress at all."""

_SMALL = 2**24
MAX_CHANNELS = 4096

Sums = Mapping[int, Mapping[str, Statistics]]


@dataclass(frozen=True, eq=False)
class SavedStyle:
    """A style from a file, without its images.

    Attributes:
        name: What error messages call it.
        network: Name, digest and pooling of the network it was computed with.
        sums: The statistics by longer side in pixels and by layer.
        scale: Size of its strokes relative to the image's own.
    """

    name: str
    network: Mapping[str, str]
    sums: Sums
    scale: float = 1.0

    @cached_property
    def digest(self) -> str:
        """See `nstk.stylization.styles.Style.digest`."""
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
        """Return the statistics of the nearest size.

        Raises:
            StyleFileError: If the style was computed with another network or lacks a layer.
        """
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
    """Write a style file atomically.

    Args:
        style: The style.
        path: The file, ending in ``.nstyle``.
        sources: Names of the style images, for the record.

    Returns:
        The path.

    Raises:
        StyleFileError: If the path has another extension.
        OutputError: If the file cannot be written.
    """
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
    """Read a style file.

    Args:
        path: A file from `save_style`.
        scale: Size of its strokes relative to the image's own.

    Raises:
        StyleFileError: If the file is missing, damaged or not a style.
    """
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
    """Refuse a path without the extension ``.nstyle``.

    Raises:
        StyleFileError: With the extension that is needed.
    """
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
