"""Images in and out: any file that is an image becomes float32 sRGB, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.errors import ImageError
from nstk.images.decoding import MAX_PIXELS, Decoded, decode, identify
from nstk.images.encoding import encode, format_of
from nstk.images.icc_profiles import convert_to_srgb
from nstk.storage.files import atomic_write, check_writable

Image = npt.NDArray[np.float32]
"""An image everywhere in nstk: ``(height, width, 3)``, sRGB, ``[0, 1]``."""

Levels = npt.NDArray[np.uint8]
"""An image in whole gray levels, as other programs exchange it: ``(height, width, 3)``, sRGB."""

Plane = npt.NDArray[np.float32]
"""One channel of an image, such as its alpha: ``(height, width)``, ``[0, 1]``."""

OVERSHOOT = 0.5
"""How far beyond ``[0, 1]`` floats may lie: resampling goes that far, another scale farther."""

_UPRIGHT: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.swapaxes(0, 1),
    6: lambda seen: seen[::-1].swapaxes(0, 1),
    7: lambda seen: seen[::-1, ::-1].swapaxes(0, 1),
    8: lambda seen: seen[:, ::-1].swapaxes(0, 1),
}
"""What EXIF orientation k asks for (Exif 2.32, tag 0x0112)."""


@dataclass(frozen=True)
class LoadedImage:
    """An image from a file, with what came beside it.

    Attributes:
        pixels: The upright image in sRGB; under transparent places the colors of the file.
        alpha: ``(height, width)``, 0 transparent to 1 opaque; ``None`` where all is opaque.
        notices: What the reader of the file should know, one sentence each.
        path: The file.
    """

    pixels: Image
    alpha: Plane | None
    notices: tuple[str, ...]
    path: Path


def load_image(
    path: str | Path,
    *,
    content: bytes | None = None,
    max_pixels: int = MAX_PIXELS,
    minimum_side: int = 1,
) -> LoadedImage:
    """Load a JPEG, PNG, WebP, TIFF, BMP or GIF file, whatever its ending, depth and colors.

    EXIF orientation is applied, an embedded color profile is converted to sRGB, 16 bits a
    channel stay 16 bits where the colors need no conversion, and of several images in one
    file the first is taken.

    Args:
        path: A regular file.
        content: What is in it, where it has been read already; ``path`` is its name then.
        max_pixels: How many pixels the header may claim; checked before decoding.
        minimum_side: The least height and width in pixels that is of use.

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
    """Load an image in whole gray levels: those of `load_image`, rounded, in less time.

    Args:
        path: A regular file.
        content: What is in it, where it has been read already; ``path`` is its name then.
        max_pixels: How many pixels the header may claim; checked before decoding.

    Raises:
        ImageError: If the file is missing, not an image, damaged, cut short or too big.
    """
    decoded = decode(Path(path), max_pixels, content=content)
    colors, _, _ = _separate(decoded)
    if colors.dtype != np.uint8:
        colors = np.rint(colors * 255).astype(np.uint8)
    return np.ascontiguousarray(_UPRIGHT[decoded.orientation](colors))


def probe_image(path: str | Path, *, whole: bool = True) -> str:
    """Decode a file completely, to know that it is a whole image.

    Args:
        path: A regular file.
        whole: False looks at the header alone, which takes no time; a file that is cut short
            passes then.

    Returns:
        The format by content: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"TIFF"``, ``"BMP"`` or
        ``"GIF"``.

    Raises:
        ImageError: ``"path: reason; what to do"``.
    """
    return decode(Path(path)).format if whole else identify(Path(path)).format


def measure_side(path: str | Path) -> int:
    """The shorter side of an image in pixels, as its header has it; nothing is decoded.

    Raises:
        ImageError: ``"path: reason; what to do"``.
    """
    header = identify(Path(path))
    return min(header.width, header.height)


def check_output(path: str | Path) -> None:
    """Refuse, before any long work, a place where no image could be saved.

    Args:
        path: Where an image is to be saved later.

    Raises:
        OutputError: If the ending names no format, or no file can be written there.
    """
    format_of(Path(path))
    check_writable(path)


def take_array(array: Any, name: str) -> Image:
    """Take an image from memory for what it is.

    Args:
        array: ``(height, width, 3)`` of floats in ``[0, 1]``, which are clipped where resampling
            overshot, or of uint8.
        name: What messages call it.

    Raises:
        ImageError: If it is none, or its values are of another scale.
    """
    given = np.asarray(array)
    fits = given.ndim == 3 and given.shape[2] == 3 and given.size
    if not fits or not (given.dtype == np.uint8 or np.issubdtype(given.dtype, np.floating)):
        raise ImageError(
            f"{name}: an array {given.shape} of {given.dtype}; give (height, width, 3) of uint8, "
            "or of floats from 0 to 1."
        )
    values = _unit(given) if given.dtype == np.uint8 else given
    low, high = values.min(), values.max()
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        raise ImageError(
            f"{name}: floats from {low:g} to {high:g}; give floats from 0 to 1, or uint8 from 0 "
            "to 255."
        )
    return np.clip(values, 0, 1).astype(np.float32)


def save_image(
    path: str | Path, pixels: Image | Levels, *, alpha: Plane | None = None, quality: int = 95
) -> Path:
    """Save an image with eight bits a channel and an sRGB profile, whole or not at all.

    PNG, TIFF and BMP keep every value to half a gray level. JPEG and BMP cannot keep alpha;
    there the colors are saved as they are. BMP has no room for a profile.

    Args:
        path: Its ending names the format: .png, .jpg, .jpeg, .webp, .tif, .tiff or .bmp.
        pixels: The image; floats beyond ``[0, 1]`` are clipped.
        alpha: ``(height, width)``, 0 transparent to 1 opaque.
        quality: Of JPEG (with full color resolution, 4:4:4) and WebP, 1 to 100.

    Returns:
        ``path``.

    Raises:
        OutputError: If the file cannot be written, or the pixels are no image.
        SettingsError: If ``quality`` is out of its range.
    """
    check_output(path)
    colors: npt.NDArray[Any] = np.asarray(pixels)
    given = None if alpha is None else np.asarray(alpha)
    return atomic_write(path, encode(Path(path), colors, given, quality))


def resize_image(pixels: Image, height: int, width: int) -> Image:
    """Resize an image in floating point, antialiased (Lanczos, three lobes).

    Args:
        pixels: ``(h, w, 3)`` in ``[0, 1]``.
        height: Rows of the result, at least 1.
        width: Columns of the result, at least 1.

    Returns:
        ``(height, width, 3)``, clipped to ``[0, 1]``; always a new array.
    """
    planes = [resize_plane(pixels[..., channel], height, width) for channel in range(3)]
    return np.stack(planes, axis=-1)


def resize_plane(plane: Plane, height: int, width: int) -> Plane:
    """Resize one channel, such as alpha, as `resize_image` does."""
    image = PILImage.fromarray(np.ascontiguousarray(plane, np.float32))
    resized = image.resize((width, height), PILImage.Resampling.LANCZOS)
    clipped: Plane = np.clip(np.asarray(resized), 0, 1)
    return clipped


def crop_square(pixels: Image) -> Image:
    """The largest centered square of an image, which is what a classifier sees."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def fit_size(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """Size of an image whose longer side is given and whose aspect is kept.

    Returns:
        ``(height, width)`` in pixels, each at least 1.
    """
    longest = max(height, width)

    def scaled(side: int) -> int:
        return max(1, (2 * side * longer_side + longest) // (2 * longest))

    return scaled(height), scaled(width)


def _separate(decoded: Decoded) -> tuple[npt.NDArray[Any], Plane | None, tuple[str, ...]]:
    """Colors in sRGB, alpha and notices; still as they lie in the file, not upright.

    Colors are `Levels` where the file has no more than these, and a `Image` elsewhere.
    """
    image, alpha = _split_alpha(decoded.image)
    converted, notices = convert_to_srgb(image, decoded.image.info.get("icc_profile"))
    colors: npt.NDArray[Any] = _channels(converted)
    if decoded.samples is not None:
        count = decoded.samples.shape[-1]
        if count in (2, 4):
            alpha = decoded.samples[..., -1]
        if converted is image:
            colors = decoded.samples[..., : 1 if count < 3 else 3]
        else:
            notices = (*notices, "its color profile is applied with eight bits a channel")
    if colors.shape[-1] == 1:
        colors = np.repeat(colors, 3, axis=-1)
    return colors, alpha, notices


def _split_alpha(image: PILImage.Image) -> tuple[PILImage.Image, Plane | None]:
    """The colors of an image in mode L, RGB, CMYK or LAB, and its alpha."""
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


def _unit(colors: npt.NDArray[Any]) -> Image:
    if colors.dtype != np.uint8:
        return colors
    values: Image = np.divide(colors, 255, dtype=np.float32)
    return values
