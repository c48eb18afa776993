"""Loading image files: every supported file becomes sRGB, upright and opaque."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.errors import ImageError
from nstk.images.color_spaces import convert_to_srgb, decode_gamma
from nstk.images.decoding import MAX_PIXELS, Decoded, decode, identify
from nstk.images.image import WHITE, Image, Levels, Plane, composite
from nstk.settings.parsing import Color, DecodeMode, parse_color
from nstk.types import Array, Json

_UPRIGHT: dict[int, Callable[[Array], Array]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
"""How to turn an image upright by its EXIF orientation (Exif 2.32, tag 0x0112)."""

_PROBED_DEEP = 16


@dataclass(frozen=True)
class LoadedImage:
    """An image from a file; as an array, it is its pixels.

    Attributes:
        pixels: The upright image in sRGB, as it looks: transparent pixels show the background.
        alpha: ``(height, width)``, 0 transparent to 1 opaque; ``None`` if the image is opaque.
        notices: Warnings about the file, one sentence each.
        path: The file.
    """

    pixels: Image
    alpha: Plane | None
    notices: tuple[str, ...]
    path: Path

    value_range = (0.0, 1.0)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.pixels, dtype)


def load_image(
    path: str | Path,
    *,
    content: bytes | None = None,
    max_pixels: int = MAX_PIXELS,
    minimum_side: int = 1,
    background: Color = WHITE,
    side: int | None = None,
) -> LoadedImage:
    """Load an image file of any extension, bit depth and color space.

    The content determines the format: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or JPEG 2000. EXIF
    orientation is applied, and an embedded color profile is converted to sRGB. 16-bit channels keep
    their precision if the colors need no conversion. Transparent images are laid on a ground of
    one color. Only the first of several images in a file is loaded.

    Args:
        path: A regular file.
        content: The bytes of the file, if they have been read already.
        max_pixels: Largest number of pixels that the header may claim; checked before decoding.
        minimum_side: Smallest height and width, in pixels.
        background: The ground of transparent pixels: red, green and blue, from 0 to 255.
        side: Decode a JPEG at 1/2, 1/4 or 1/8 of its size, in a fraction of the time, if its
            shorter side keeps at least this many pixels; None decodes all of them.

    Raises:
        ImageError: If the file is missing, not an image, damaged, cut short, too big or too
            small.
    """
    path = Path(path)
    decoded = decode(path, max_pixels, content=content, side=side)
    width, height = decoded.image.size
    if min(width, height) < minimum_side:
        raise ImageError(
            f"{path}: {width} × {height} pixels, but each side needs at least {minimum_side}; "
            "give a larger image."
        )
    colors, notices = _convert(decoded)
    if colors.dtype == np.uint8:
        colors = np.divide(colors, 255, dtype=np.float32)
    upright = np.ascontiguousarray(_UPRIGHT[decoded.orientation](colors))
    alpha = upright[..., 3] if upright.shape[-1] == 4 else None
    return LoadedImage(
        pixels=np.ascontiguousarray(composite(upright, background)),
        alpha=None if alpha is None or alpha.min() == 1 else np.ascontiguousarray(alpha),
        notices=tuple(f"{path}: {notice}." for notice in (*decoded.notices, *notices)),
        path=path,
    )


def load_levels(
    path: str | Path,
    *,
    content: bytes | None = None,
    background: Color = WHITE,
    side: int | None = None,
) -> Levels:
    """Load an image as uint8: the values of `load_image`, rounded, in less time.

    Raises:
        ImageError: If the file is missing, not an image, damaged, cut short or too big.
    """
    decoded = decode(Path(path), content=content, side=side)
    colors, _ = _convert(decoded)
    opaque = composite(colors, background)
    if opaque.dtype != np.uint8:
        opaque = np.rint(opaque * 255).astype(np.uint8)
    return np.ascontiguousarray(_UPRIGHT[decoded.orientation](opaque))


@dataclass(frozen=True)
class ImageReader:
    """How all images of a job are read.

    Attributes:
        background: The ground of transparent images.
        decode: Whether a large JPEG is decoded at a fraction of its size, or whole.
    """

    background: Color = WHITE
    decode: DecodeMode = "fast"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "ImageReader":
        """The reader that the settings of a job describe; defaults where they do not.

        Raises:
            ValueError: If they are not settings.
        """
        background = parse_color(settings.get("background", "white"))
        return cls(background, "exact" if settings.get("decode") == "exact" else "fast")

    def load_levels(self, path: Path, side: int, *, content: bytes | None = None) -> Levels:
        """See `load_levels`; ``side`` is what the network needs."""
        limit = side if self.decode == "fast" else None
        return load_levels(path, content=content, background=self.background, side=limit)

    def load_image(
        self, path: Path, side: int | None = None, *, content: bytes | None = None
    ) -> LoadedImage:
        """See `load_image`; ``side`` is what is needed, None for all pixels."""
        limit = side if self.decode == "fast" else None
        return load_image(path, content=content, background=self.background, side=limit)

    def recipe(self) -> dict[str, Json]:
        """What the pixels depend on apart from the file, for keys of caches."""
        return {"background": list(self.background), "decode": self.decode}


DEFAULT_READER = ImageReader()


def warn_unused_bits(paths: Sequence[Path]) -> list[str]:
    """Warn if 16-bit images hold 12 bits or fewer, and so are nearly black, to a network as well.

    Up to sixteen of them, evenly spread, are decoded; all of these must be so. The values are not
    scaled automatically: a single dark image cannot be told from a dark scene.
    """
    unused: list[int] = []
    for path in paths[:: -(-len(paths) // _PROBED_DEEP) or 1]:
        with suppress(ImageError):
            if identify(path).is_deep:
                unused.append(decode(path).unused_bits)
    if not unused or not min(unused):
        return []
    return [
        f"No value of the 16-bit images uses the upper {min(unused)} bits, so that they are nearly "
        f"black to the network; multiply the values of all of them by {2 ** min(unused)}."
    ]


def _convert(decoded: Decoded) -> tuple[Array, tuple[str, ...]]:
    """Colors in sRGB with alpha if there is any, not yet upright, and notices.

    They are uint8 if the file has 8 bits per channel, and floats in ``[0, 1]`` otherwise.
    """
    image, alpha = _split_alpha(decoded.image)
    info: dict[Any, Any] = decoded.image.info
    converted, notices = convert_to_srgb(image, info.get("icc_profile"))
    colors: Array = _channels(converted)
    if decoded.samples is not None:
        count = decoded.samples.shape[-1]
        if count in (2, 4):
            alpha = decoded.samples[..., -1:]
        if converted is image:
            colors = decoded.samples[..., : 1 if count < 3 else 3]
        else:
            notices = (*notices, "its color profile is applied with 8 bits per channel")
    if not {"icc_profile", "srgb"} & info.keys():
        colors = decode_gamma(colors, info.get("gamma", 0.0))
    if colors.shape[-1] == 1:
        colors = np.repeat(colors, 3, axis=-1)
    if alpha is None or (decoded.format == "BMP" and not alpha.any()):
        return colors, notices  # many programs leave the fourth byte of a BMP at 0
    if colors.dtype == alpha.dtype:
        return np.concatenate([colors, alpha], axis=-1), notices
    return np.concatenate([_unit(colors), _unit(alpha)], axis=-1), notices


def _split_alpha(image: PILImage.Image) -> tuple[PILImage.Image, Array | None]:
    """Colors in mode L, RGB, CMYK or LAB, and alpha."""
    if image.has_transparency_data:
        gray = image.mode in ("1", "L", "LA", "La")
        image = image.convert("LA" if gray else "RGBA")
        *colors, alpha = image.split()
        return PILImage.merge("L" if gray else "RGB", colors), _channels(alpha)
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        return image.convert("RGB"), None
    return image, None


def _channels(image: PILImage.Image) -> Levels:
    levels = np.asarray(image)
    return levels.reshape(*levels.shape[:2], -1)


def _unit(values: Array) -> Image:
    unit: Image = np.divide(values, 255, dtype=np.float32) if values.dtype == np.uint8 else values
    return unit
