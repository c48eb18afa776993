"""What an image is to look like: the statistics of a style, from its pixels or from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

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

LARGE = 3 * 2**20
"""Values in an image from which on it is looked at in windows."""


class Style(Protocol):
    """Whatever can say what a network sees in a style at a size."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that its statistics depend on, but for the network."""

    def observe(
        self, backbone: Backbone, layers: Sequence[str], longer_side: int
    ) -> Mapping[str, Statistics]:
        """The statistics of every layer, for a result whose longer side has so many pixels.

        Raises:
            ImageError: If there is too little of the style to see at this size.
            StyleFileError: If the style is a file that does not fit the network.
        """


@dataclass(frozen=True, eq=False)
class StyleImage:
    """A style given by an image, or by the part of one that a mask shows.

    Attributes:
        name: What messages call it.
        pixels: ``(height, width, 3)``.
        mask: ``(height, width)`` in ``[0, 1]``, the part that counts; all of it where None.
        scale: Size of its strokes against those of the result; 1 leaves them as they are.
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
    def part(self) -> Image:
        """The pixels that count by half at least, ``(1, n, 3)``; all of them without a mask."""
        if self.mask is None:
            return self.pixels
        return self.pixels[np.newaxis, self.mask >= self.mask.max() / 2]

    def at(self, longer_side: int) -> Image:
        """The image brought to the scale of the result: never enlarged, never stretched."""
        height, width = self.pixels.shape[:2]
        wanted = round(longer_side * self.scale)
        size = fit_size(height, width, min(wanted, max(height, width)))
        return resize_image(self.pixels, *size)

    def mask_at(self, height: int, width: int) -> Plane:
        """How much every pixel of the image brought to this size counts."""
        if self.mask is None:
            return np.ones((height, width), np.float32)
        return resize_mask(self.mask, height, width)

    def observe(
        self, backbone: Backbone, layers: Sequence[str], longer_side: int
    ) -> Mapping[str, Statistics]:
        """See `Style.observe`."""
        image = self.at(longer_side)
        self._check_size(image, backbone, layers)
        guides: dict[str, Any] = {}
        if self.mask is not None:
            mask = self.mask_at(*image.shape[:2])
            shapes = backbone.tap(layers).compute_output_shape((1, *image.shape))
            guides = {
                layer: make_guide(
                    mask, backbone, layer, shapes[layer][1:3], name=f"the mask of {self.name}"
                )
                for layer in layers
            }
        if image.size > LARGE and all(backbone.reach(name) < WHOLE_IMAGE for name in layers):
            return tiled_network_for(backbone, tuple(layers)).gather(image, guides)
        maps = extract_features(backbone.tap(layers), image)
        return {name: feature_sums(maps[name], guides.get(name)) for name in layers}

    def _check_size(self, image: Image, backbone: Backbone, layers: Sequence[str]) -> None:
        height, width = image.shape[:2]
        smallest = max(backbone.stride(name) for name in layers)
        if min(height, width) < smallest:
            raise ImageError(
                f"{self.name} is {width}×{height} pixels at this scale; the deepest style layer "
                f"needs {smallest} on the shorter side: give a larger image, a larger "
                "--style-scale or shallower --style-layers."
            )


def blend_styles(
    seen: Sequence[Mapping[str, Statistics]], weights: Sequence[float]
) -> Mapping[str, Statistics]:
    """Blend the statistics of several styles, layer by layer.

    Args:
        seen: The statistics of each style.
        weights: One for each, 0 or more, at least one of them above 0.
    """
    return {name: blend_statistics([style[name] for style in seen], weights) for name in seen[0]}


@lru_cache(maxsize=1)
def tiled_network_for(backbone: Backbone, layers: tuple[str, ...]) -> TiledNetwork:
    """The network that looks at large styles; at the next scale it need not be compiled again."""
    return TiledNetwork(backbone, layers)


def extract_features(taps: Any, image: Image) -> Any:
    """The feature maps of one image, by name."""
    return taps(tf.constant(np.asarray(image)[np.newaxis]), training=False)
