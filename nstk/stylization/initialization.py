"""Where a descent starts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nstk.images.image import Image, Plane, load_image, resize_image

INITS = ("content", "noise", "gray", "style")
"""The starts that have a name; any other is the path of an image."""


class Palette(NamedTuple):
    """The colors of a style.

    Attributes:
        pixels: ``(h, w, 3)``.
        weights: How much each of them counts, ``(h, w)``, 0 or more, not all 0.
        share: How much the style counts among others, 0 or more.
        area: Where it goes, ``(height, width)`` of the result in ``[0, 1]``; everywhere where
            None. Either all palettes have one, or none.
    """

    pixels: Image
    weights: Plane
    share: float
    area: Plane | None


def initial_image(
    init: str, content: Image, palettes: Sequence[Palette], generator: np.random.Generator
) -> Image:
    """Make the first image, of the size of the content.

    Args:
        init: ``content``; ``noise``, uniform; ``gray``, with noise too faint to see, so that
            no two pixels are bound to stay equal; ``style``, noise with the mean color and the
            color covariance of the styles, each in its area; anything else is the path of an
            image.
        content: ``(height, width, 3)``.
        palettes: Of the styles; at least one that counts where ``init`` is ``style``.
        generator: The source of all randomness.

    Raises:
        ImageError: If ``init`` is a path and no image.
    """
    shape = content.shape
    if init == "content":
        return content
    if init == "noise":
        return generator.random(shape, np.float32)
    if init == "gray":
        return (0.5 + (generator.random(shape, np.float32) - 0.5) / 255).astype(np.float32)
    if init == "style":
        return _paint_with_colors(shape, palettes, generator)
    return resize_image(load_image(init).pixels, shape[0], shape[1])


def _paint_with_colors(
    shape: tuple[int, ...], palettes: Sequence[Palette], generator: np.random.Generator
) -> Image:
    """Independent pixels from the normal distribution of the colors that belong at their place."""
    noise = generator.standard_normal(shape)
    image = _draw_colors(noise, palettes)
    areas = [palette.area for palette in palettes if palette.area is not None]
    if areas:
        # What no area covers keeps the colors of all styles; where areas overlap, they mix.
        covered = np.sum(areas, axis=0)[..., np.newaxis]
        image = image * np.maximum(1 - covered, 0)
        for palette, area in zip(palettes, areas, strict=True):
            image += area[..., np.newaxis] * _draw_colors(noise, [palette])
        image /= np.maximum(covered, 1)
    clipped: Image = np.clip(image, 0, 1).astype(np.float32)
    return clipped


def _draw_colors(noise: Any, palettes: Sequence[Palette]) -> Any:
    """Give white noise the mean and the covariance of some palettes together."""
    colors = np.concatenate([each.pixels.reshape(-1, 3) for each in palettes]).astype(np.float64)
    shares = [each.weights * (each.share / each.weights.sum()) for each in palettes]
    weights = np.concatenate([share.ravel() for share in shares])
    mean = np.average(colors, axis=0, weights=weights)
    covariance = np.cov(colors, rowvar=False, aweights=weights)
    return mean + noise @ np.linalg.cholesky(covariance + 1e-8 * np.eye(3)).T
