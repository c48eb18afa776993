"""Where a descent starts."""

import numpy as np

from nstk.media.pictures import Picture, load_picture, resize_picture

STARTS = ("content", "noise", "gray", "style")
"""The starts that have a name; any other is the path of a picture."""


def start_picture(
    init: str, content: Picture, styles: list[Picture], generator: np.random.Generator
) -> Picture:
    """Make the first picture, of the size of the content.

    Args:
        init: ``content``; ``noise``, uniform; ``gray``, with noise too faint to see, so that
            no two pixels are bound to stay equal; ``style``, noise with the mean colour and the
            colour covariance of the style pictures; anything else is the path of a picture.
        content: ``(height, width, 3)``.
        styles: Of any sizes.
        generator: The source of all randomness.

    Raises:
        PictureError: If ``init`` is a path and no picture.
    """
    shape = content.shape
    if init == "content":
        return content
    if init == "noise":
        return generator.random(shape, np.float32)
    if init == "gray":
        return (0.5 + (generator.random(shape, np.float32) - 0.5) / 255).astype(np.float32)
    if init == "style":
        return _paint_with_colors(shape, styles, generator)
    return resize_picture(load_picture(init).pixels, shape[0], shape[1])


def _paint_with_colors(
    shape: tuple[int, ...], styles: list[Picture], generator: np.random.Generator
) -> Picture:
    """Independent pixels from the normal distribution of the styles' colours."""
    colors = np.concatenate([style.reshape(-1, 3) for style in styles]).astype(np.float64)
    covariance = np.cov(colors, rowvar=False) + 1e-8 * np.eye(3)
    noise = generator.standard_normal(shape) @ np.linalg.cholesky(covariance).T
    picture: Picture = np.clip(colors.mean(axis=0) + noise, 0, 1).astype(np.float32)
    return picture
