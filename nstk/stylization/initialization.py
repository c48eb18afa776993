"""The initial image of an optimization."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nstk.images.image import Image, Plane, resize_image
from nstk.images.loading import load_image
from nstk.types import Tensor

INITS = ("content", "noise", "gray", "style")
"""The named initial images; any other value is the path of an image."""


class Palette(NamedTuple):
    """The colors of a style.

    Attributes:
        pixels: ``(h, w, 3)``.
        weights: The weight of each pixel, ``(h, w)``, 0 or more, not all 0.
        share: The weight of the style among others, 0 or more.
        area: Where it goes, ``(height, width)`` of the result in ``[0, 1]``; everywhere if None.
            Either all palettes have an area or none.
    """

    pixels: Image
    weights: Plane
    share: float
    area: Plane | None


def initial_image(
    init: str, content: Image, palettes: Sequence[Palette], generator: np.random.Generator
) -> Image:
    """Create the initial image, with the size of the content.

    Args:
        init: ``content``; ``noise``, uniform; ``gray``, with invisible noise, so that no two
            pixels have to stay equal; ``style``, noise with the mean color and the color
            covariance of the styles, each in its area; anything else is the path of an image.
        content: ``(height, width, 3)``.
        palettes: The palettes of the styles; needed if ``init`` is ``style``.
        generator: The random generator.

    Raises:
        ImageError: If ``init`` is a path that is not an image.
    """
    shape = content.shape
    if init == "content":
        return content
    if init == "noise":
        return generator.random(shape, np.float32)
    if init == "gray":
        return (0.5 + (generator.random(shape, np.float32) - 0.5) / 255).astype(np.float32)
    if init == "style":
        return _noise_with_colors(shape, palettes, generator)
    return resize_image(load_image(init).pixels, shape[0], shape[1])


def _noise_with_colors(
    shape: tuple[int, ...], palettes: Sequence[Palette], generator: np.random.Generator
) -> Image:
    """Independent pixels, each from the normal distribution of the colors of its area."""
    noise = generator.standard_normal(shape)
    image = _color_noise(noise, palettes)
    areas = [palette.area for palette in palettes if palette.area is not None]
    if areas:
        # Outside all areas the colors of all styles are used; where areas overlap, they mix.
        covered = np.sum(areas, axis=0)[..., np.newaxis]
        image = image * np.maximum(1 - covered, 0)
        for palette, area in zip(palettes, areas, strict=True):
            image += area[..., np.newaxis] * _color_noise(noise, [palette])
        image /= np.maximum(covered, 1)
    clipped: Image = np.clip(image, 0, 1).astype(np.float32)
    return clipped


def _color_noise(noise: Tensor, palettes: Sequence[Palette]) -> Tensor:
    """Give white noise the mean and the covariance of some palettes together."""
    colors = np.concatenate([each.pixels.reshape(-1, 3) for each in palettes]).astype(np.float64)
    shares = [each.weights * (each.share / each.weights.sum()) for each in palettes]
    weights = np.concatenate([share.ravel() for share in shares])
    mean = np.average(colors, axis=0, weights=weights)
    covariance = np.cov(colors, rowvar=False, aweights=weights)
    return mean + noise @ np.linalg.cholesky(covariance + 1e-8 * np.eye(3)).T
