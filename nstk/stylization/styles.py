"""Styles: the statistics of feature maps, computed from an image or read from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.errors import ImageError
from nstk.images.image import Image, Plane, fit_size, resize_image
from nstk.images.masks import resize_mask
from nstk.storage.array_files import digest_arrays
from nstk.stylization.regions import make_guide
from nstk.stylization.statistics import Statistics, blend_statistics, feature_sums
from nstk.stylization.tiled.network import TiledNetwork
from nstk.types import FeatureMaps, KerasModel, Tensor

TILE_ABOVE = 3 * 2**20
"""Values in an image above which its statistics are computed tile by tile."""


class Style(Protocol):
    """A source of style statistics at any size."""

    @property
    def name(self) -> str:
        """What error messages call it."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything its statistics depend on except the network."""

    def compute_statistics(
        self, backbone: Backbone, layers: Sequence[str], longer_side: int
    ) -> Mapping[str, Statistics]:
        """Return the statistics of every layer for a result of the given longer side in pixels.

        Raises:
            ImageError: If the style is too small at this size.
            StyleFileError: If the style is a file that does not fit the network.
        """


@dataclass(frozen=True, eq=False)
class StyleImage:
    """A style given by an image, or by the part of it inside a mask.

    Attributes:
        name: What error messages call it.
        pixels: ``(height, width, 3)``.
        mask: The part that counts, ``(height, width)`` in ``[0, 1]``; everything if None.
        scale: Size of its strokes relative to the image's own.
    """

    name: str
    pixels: Image
    mask: Plane | None = None
    scale: float = 1.0

    @cached_property
    def digest(self) -> str:
        """See `Style.digest`."""
        scale = {"scale": np.float64(self.scale)}
        mask = {} if self.mask is None else {"mask": self.mask}
        return digest_arrays({"pixels": self.pixels, **mask, **scale})

    @property
    def counted_pixels(self) -> Image:
        """The pixels whose mask is at least half its maximum, ``(1, n, 3)``; all if unmasked."""
        if self.mask is None:
            return self.pixels
        return self.pixels[np.newaxis, self.mask >= self.mask.max() / 2]

    def resized(self, longer_side: int) -> Image:
        """The image at the scale of the result: never enlarged, never stretched."""
        height, width = self.pixels.shape[:2]
        wanted = round(longer_side * self.scale)
        size = fit_size(height, width, min(wanted, max(height, width)))
        return resize_image(self.pixels, *size)

    def resized_mask(self, height: int, width: int) -> Plane:
        """The mask at a size; ones if there is none."""
        if self.mask is None:
            return np.ones((height, width), np.float32)
        return resize_mask(self.mask, height, width)

    def compute_statistics(
        self, backbone: Backbone, layers: Sequence[str], longer_side: int
    ) -> Mapping[str, Statistics]:
        """See `Style.compute_statistics`."""
        image = self.resized(longer_side)
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
            return tiled_network_for(backbone, tuple(layers)).style_statistics(image, guides)
        maps = extract_features(backbone.tap(layers), image)
        return {name: feature_sums(maps[name], guides.get(name)) for name in layers}

    def _check_size(self, image: Image, backbone: Backbone, layers: Sequence[str]) -> None:
        height, width = image.shape[:2]
        smallest = max(backbone.stride(name) for name in layers)
        if min(height, width) < smallest:
            raise ImageError(
                f"{self.name} is {width}×{height} pixels at this scale; the deepest style layer "
                f"needs {smallest} on the shorter side: give a larger image, a larger "
                "`style_scale` or shallower `style_layers`."
            )


def blend_styles(
    styles: Sequence[Mapping[str, Statistics]], weights: Sequence[float]
) -> Mapping[str, Statistics]:
    """Blend the statistics of several styles, layer by layer.

    Args:
        styles: The statistics of each style by layer.
        weights: A weight for each style, 0 or more, not all 0.
    """
    return {
        name: blend_statistics([style[name] for style in styles], weights) for name in styles[0]
    }


@lru_cache(maxsize=1)
def tiled_network_for(backbone: Backbone, layers: tuple[str, ...]) -> TiledNetwork:
    """Return the tiled network for large styles; the last one is cached with its compiled code."""
    return TiledNetwork(backbone, layers)


def extract_features(taps: KerasModel, image: Image) -> FeatureMaps:
    """Return the feature maps of one image by layer.

    Args:
        taps: A model as `Backbone.tap` returns it.
        image: ``(height, width, 3)``.
    """
    maps: FeatureMaps = taps(tf.constant(np.asarray(image)[np.newaxis]), training=False)
    return maps
