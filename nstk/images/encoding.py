"""From pixels to an image format: which endings there are and what each format can hold."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from nstk.errors import OutputError
from nstk.images.icc_profiles import SRGB_PROFILE
from nstk.settings import check_whole

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
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_WITH_ALPHA = ("PNG", "WEBP", "TIFF")


def format_of(path: Path) -> str:
    """Pillow's name of the format that a file's ending asks for.

    Raises:
        OutputError: If no format has this ending; lists those that have one.
    """
    try:
        return _EXTENSIONS[path.suffix.lower()]
    except KeyError:
        extension = f"the ending {path.suffix}" if path.suffix else "a name without ending"
        raise OutputError(
            f"Cannot write {path}: no image format belongs to {extension}; "
            f"use one of {', '.join(_EXTENSIONS)}."
        ) from None


def encode(
    path: Path,
    pixels: npt.NDArray[np.float32] | npt.NDArray[np.uint8],
    alpha: npt.NDArray[np.float32] | None,
    quality: int,
) -> Callable[[Path], None]:
    """Prepare an image for the format of its ending; `nstk.images.image.save_image`.

    Returns:
        A function that writes it to the path it is given.

    Raises:
        OutputError: If the pixels are no image, or more than the format can hold.
        SettingsError: If ``quality`` is not from 1 to 100.
    """
    check_whole("quality", quality, 1, 100)
    name = format_of(path)
    _check_pixels(path, pixels, alpha)
    height, width = pixels.shape[:2]
    if max(height, width) > _LONGEST_SIDE.get(name, max(height, width)):
        raise OutputError(
            f"Cannot write {path}: {width} × {height} pixels, but {name} holds at most "
            f"{_LONGEST_SIDE[name]} a side; choose .png or .tif."
        )
    levels = _eight_bits(pixels)
    if alpha is not None and name in _WITH_ALPHA:
        levels = np.concatenate([levels, _eight_bits(alpha[..., None])], axis=-1)
    elif alpha is not None:
        _log.warning(
            "%s: %s has no transparency; the colors below it are saved as they are. "
            "PNG, WebP and TIFF keep it.",
            path,
            name,
        )
    image = Image.fromarray(levels)
    options = _options(name, quality)
    return lambda target: image.save(target, format=name, **options)


def _check_pixels(
    path: Path, pixels: npt.NDArray[Any], alpha: npt.NDArray[np.float32] | None
) -> None:
    if pixels.dtype != np.uint8 and not np.issubdtype(pixels.dtype, np.floating):
        raise OutputError(
            f"Cannot write {path}: an image holds floats from 0 to 1 or uint8, not {pixels.dtype}."
        )
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise OutputError(
            f"Cannot write {path}: an image has the shape (height, width, 3), not {pixels.shape}."
        )
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise OutputError(
            f"Cannot write {path}: alpha has the shape {alpha.shape} but needs that of the "
            f"image, {pixels.shape[:2]}; use resize_plane first."
        )
    if not np.isfinite(pixels).all() or (alpha is not None and not np.isfinite(alpha).all()):
        raise OutputError(
            f"Cannot write {path}: some values are not finite numbers (NaN or infinity); "
            "the step that made them went wrong, for instance by too large a learning rate."
        )


def _eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    levels: npt.NDArray[np.uint8] = values
    if values.dtype != np.uint8:
        levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return levels


def _options(name: str, quality: int) -> dict[str, Any]:
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
