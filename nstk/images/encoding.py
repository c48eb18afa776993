"""Saving images: which format an extension selects, and what each format can store."""

import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.errors import OutputError
from nstk.images.icc_profiles import SRGB_PROFILE
from nstk.images.image import Image, Levels, Plane
from nstk.settings import check_whole
from nstk.storage.files import atomic_write, check_writable
from nstk.types import Array

_log = logging.getLogger("nstk")

_EXTENSIONS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
_MAX_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_WITH_ALPHA = ("PNG", "WEBP", "TIFF")


def check_output(path: str | Path) -> None:
    """Refuse, before any long work, a path where no image can be saved.

    Args:
        path: Where an image will be saved later.

    Raises:
        OutputError: If the extension is not that of an image, or no file can be written there.
    """
    _format_of(Path(path))
    check_writable(path)


def save_image(
    path: str | Path, pixels: Image | Levels, *, alpha: Plane | None = None, quality: int = 95
) -> Path:
    """Save an image with 8 bits per channel and an sRGB profile, completely or not at all.

    PNG, TIFF and BMP are exact to half a gray level. JPEG and BMP cannot store alpha, and BMP
    cannot store a profile.

    Args:
        path: The extension selects the format: .png, .jpg, .jpeg, .webp, .tif, .tiff or .bmp.
        pixels: The image; floats outside ``[0, 1]`` are clipped.
        alpha: ``(height, width)``, 0 transparent to 1 opaque.
        quality: Quality of JPEG (with full color resolution, 4:4:4) and WebP, 1 to 100.

    Returns:
        ``path``.

    Raises:
        OutputError: If the file cannot be written, or the pixels are not an image.
        SettingsError: If ``quality`` is out of its range.
    """
    check_output(path)
    colors: Array = np.asarray(pixels)
    given = None if alpha is None else np.asarray(alpha)
    return atomic_write(path, _encode(Path(path), colors, given, quality))


def encode_png(pixels: Image | Levels, alpha: Plane | None = None) -> bytes:
    """Return an image as the bytes of a PNG file, the same as `save_image` writes.

    Args:
        pixels: The image; floats outside ``[0, 1]`` are clipped.
        alpha: ``(height, width)``, 0 transparent to 1 opaque.

    Raises:
        OutputError: If the pixels are not an image.
    """
    file = BytesIO()
    _encode(Path("image.png"), pixels, alpha, quality=95)(file)
    return file.getvalue()


def _format_of(path: Path) -> str:
    try:
        return _EXTENSIONS[path.suffix.lower()]
    except KeyError:
        extension = (
            f"the extension {path.suffix} is unknown" if path.suffix else "it has no extension"
        )
        raise OutputError(
            f"Cannot write {path}: {extension}; use one of {', '.join(_EXTENSIONS)}."
        ) from None


def _encode(
    path: Path,
    pixels: npt.NDArray[np.float32] | npt.NDArray[np.uint8],
    alpha: npt.NDArray[np.float32] | None,
    quality: int,
) -> Callable[[Path | IO[bytes]], None]:
    """A function that writes the image to a file; refuses what the format cannot store."""
    check_whole("quality", quality, 1, 100)
    name = _format_of(path)
    _check_pixels(path, pixels, alpha)
    height, width = pixels.shape[:2]
    if max(height, width) > _MAX_SIDE.get(name, max(height, width)):
        raise OutputError(
            f"Cannot write {path}: {width} × {height} pixels, but {name} allows at most "
            f"{_MAX_SIDE[name]} per side; choose .png or .tif."
        )
    levels = _eight_bits(pixels)
    if alpha is not None and name in _WITH_ALPHA:
        levels = np.concatenate([levels, _eight_bits(alpha[..., None])], axis=-1)
    elif alpha is not None:
        _log.warning(
            "%s: %s cannot store transparency; the colors are saved without it. "
            "PNG, WebP and TIFF store it.",
            path,
            name,
        )
    image = PILImage.fromarray(levels)
    options = _options(name, quality)
    return lambda target: image.save(target, format=name, **options)


def _check_pixels(path: Path, pixels: Array, alpha: npt.NDArray[np.float32] | None) -> None:
    if pixels.dtype != np.uint8 and not np.issubdtype(pixels.dtype, np.floating):
        raise OutputError(
            f"Cannot write {path}: pixels are {pixels.dtype}; give floats from 0 to 1, or uint8."
        )
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise OutputError(
            f"Cannot write {path}: the shape is {pixels.shape}; an image has (height, width, 3)."
        )
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise OutputError(
            f"Cannot write {path}: alpha has the shape {alpha.shape}, the image "
            f"{pixels.shape[:2]}; resize alpha first."
        )
    if not np.isfinite(pixels).all() or (alpha is not None and not np.isfinite(alpha).all()):
        raise OutputError(
            f"Cannot write {path}: some values are not finite (NaN or infinity); "
            "check the computation, for instance with a smaller learning rate."
        )


def _eight_bits(values: Array) -> npt.NDArray[np.uint8]:
    levels: npt.NDArray[np.uint8] = values
    if values.dtype != np.uint8:
        levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return levels


def _options(name: str, quality: int) -> dict[str, object]:
    match name:
        case "JPEG":
            return {"quality": quality, "subsampling": "4:4:4", "icc_profile": SRGB_PROFILE}
        case "WEBP":
            return {"quality": quality, "exact": True, "icc_profile": SRGB_PROFILE}
        case "TIFF":
            return {"compression": "tiff_adobe_deflate", "icc_profile": SRGB_PROFILE}
        case "PNG":
            return {"icc_profile": SRGB_PROFILE}
        case _:
            return {}
