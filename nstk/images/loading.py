"""Loading image files: every supported file becomes float32 sRGB."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.errors import ImageError
from nstk.images.decoding import MAX_PIXELS, Decoded, decode, identify
from nstk.images.icc_profiles import convert_to_srgb
from nstk.images.image import Image, Levels, Plane
from nstk.types import Array

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


@dataclass(frozen=True)
class LoadedImage:
    """An image from a file; as an array, it is its pixels.

    Attributes:
        pixels: The upright image in sRGB; transparent pixels keep the colors of the file.
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
) -> LoadedImage:
    """Load a JPEG, PNG, WebP, TIFF, BMP or GIF file of any extension, bit depth and color space.

    The content determines the format. EXIF orientation is applied, and an embedded color profile
    is converted to sRGB. 16-bit channels keep their precision if the colors need no conversion.
    Only the first of several images in a file is loaded.

    Args:
        path: A regular file.
        content: The bytes of the file, if they have been read already.
        max_pixels: Largest number of pixels that the header may claim; checked before decoding.
        minimum_side: Smallest height and width, in pixels.

    Raises:
        ImageError: If the file is missing, not an image, damaged, cut short, too big or too
            small.
    """
    path = Path(path)
    decoded = decode(path, max_pixels, content=content)
    width, height = decoded.image.size
    if min(width, height) < minimum_side:
        raise ImageError(
            f"{path}: {width} × {height} pixels, but each side needs at least {minimum_side}; "
            "give a larger image."
        )
    colors, alpha, notices = _separate(decoded)
    pixels = _unit(colors)
    upright = _UPRIGHT[decoded.orientation]
    if alpha is not None:
        alpha = None if alpha.min() == 1 else np.ascontiguousarray(upright(alpha))
    return LoadedImage(
        pixels=np.ascontiguousarray(upright(pixels)),
        alpha=alpha,
        notices=tuple(f"{path}: {notice}." for notice in (*decoded.notices, *notices)),
        path=path,
    )


def load_levels(
    path: str | Path, *, content: bytes | None = None, max_pixels: int = MAX_PIXELS
) -> Levels:
    """Load an image as uint8: the values of `load_image`, rounded, in less time.

    Args:
        path: A regular file.
        content: The bytes of the file, if they have been read already.
        max_pixels: Largest number of pixels that the header may claim; checked before decoding.

    Raises:
        ImageError: If the file is missing, not an image, damaged, cut short or too big.
    """
    decoded = decode(Path(path), max_pixels, content=content)
    colors, _, _ = _separate(decoded)
    if colors.dtype != np.uint8:
        colors = np.rint(colors * 255).astype(np.uint8)
    return np.ascontiguousarray(_UPRIGHT[decoded.orientation](colors))


def probe_image(path: str | Path, *, whole: bool = True) -> str:
    """Check that a file is a complete image, by decoding it.

    Args:
        path: A regular file.
        whole: False reads only the header, which is fast but accepts truncated files.

    Returns:
        The format by content: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"TIFF"``, ``"BMP"`` or
        ``"GIF"``.

    Raises:
        ImageError: ``"path: reason; what to do"``.
    """
    return decode(Path(path)).format if whole else identify(Path(path)).format


def measure_side(path: str | Path) -> int:
    """Read the shorter side of an image in pixels from its header, without decoding it.

    Raises:
        ImageError: ``"path: reason; what to do"``.
    """
    header = identify(Path(path))
    return min(header.width, header.height)


def _separate(decoded: Decoded) -> tuple[Array, Plane | None, tuple[str, ...]]:
    """Colors in sRGB, alpha and notices, not yet upright.

    Colors are `Levels` if the file has 8 bits per channel, and an `Image` otherwise.
    """
    image, alpha = _split_alpha(decoded.image)
    converted, notices = convert_to_srgb(image, decoded.image.info.get("icc_profile"))
    colors: Array = _channels(converted)
    if decoded.samples is not None:
        count = decoded.samples.shape[-1]
        if count in (2, 4):
            alpha = decoded.samples[..., -1]
        if converted is image:
            colors = decoded.samples[..., : 1 if count < 3 else 3]
        else:
            notices = (*notices, "its color profile is applied with 8 bits per channel")
    if colors.shape[-1] == 1:
        colors = np.repeat(colors, 3, axis=-1)
    return colors, alpha, notices


def _split_alpha(image: PILImage.Image) -> tuple[PILImage.Image, Plane | None]:
    """Colors in mode L, RGB, CMYK or LAB, and alpha."""
    if image.has_transparency_data:
        gray = image.mode in ("1", "L", "LA", "La")
        image = image.convert("LA" if gray else "RGBA")
        *colors, alpha = image.split()
        return PILImage.merge("L" if gray else "RGB", colors), _unit(_channels(alpha))[..., 0]
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        return image.convert("RGB"), None
    return image, None


def _channels(image: PILImage.Image) -> Levels:
    levels = np.asarray(image)
    return levels.reshape(*levels.shape[:2], -1)


def _unit(colors: Array) -> Image:
    if colors.dtype != np.uint8:
        return colors
    values: Image = np.divide(colors, 255, dtype=np.float32)
    return values
