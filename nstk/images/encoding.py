"""Saving images and animations: which format an extension selects, and what it can store."""

import logging
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.errors import OutputError
from nstk.images.color_spaces import SRGB_PROFILE
from nstk.images.image import Image, Levels, Plane, uncomposite
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

_COLORS = 256
_SAMPLED_FRAMES = 8
_SAMPLE_SIDE = 160


def check_output(path: str | Path) -> None:
    """Refuse, before any long work, a path where no image can be saved.

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
        pixels: The image as it looks on white, like that of `load_image`; floats outside
            ``[0, 1]`` are clipped.
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
    """Return an image as the bytes of a PNG file, the same as `save_image` writes."""
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
    path: Path, pixels: Array, alpha: Plane | None, quality: int
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
    if alpha is not None and name in _WITH_ALPHA:
        unit = pixels / np.float32(255) if pixels.dtype == np.uint8 else np.clip(pixels, 0, 1)
        stored = _eight_bits(alpha) / np.float32(255)
        pixels = np.concatenate([uncomposite(unit, stored), stored[..., None]], axis=-1)
    elif alpha is not None:
        _log.warning(
            "%s: %s cannot store transparency; the image is saved on white. "
            "PNG, WebP and TIFF store it.",
            path,
            name,
        )
    image = PILImage.fromarray(_eight_bits(pixels))
    options = _options(name, quality)
    return lambda target: image.save(target, format=name, **options)


def _check_pixels(path: Path, pixels: Array, alpha: Plane | None) -> None:
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


def _eight_bits(values: Array) -> Levels:
    if values.dtype == np.uint8:
        return values
    levels: Levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return levels


def _options(name: str, quality: int) -> dict[str, object]:
    profile: dict[str, object] = {} if name == "BMP" else {"icc_profile": SRGB_PROFILE}
    match name:
        case "JPEG":
            return {"quality": quality, "subsampling": "4:4:4", **profile}
        case "WEBP":
            return {"quality": quality, "exact": True, **profile}
        case "TIFF":
            return {"compression": "tiff_adobe_deflate", **profile}
        case _:
            return profile


def check_animation(path: str | Path) -> None:
    """Refuse, before any long work, a path where no animation can be saved.

    Raises:
        OutputError: If the extension is not ``.gif``, or no file can be written there.
    """
    if Path(path).suffix.lower() != ".gif":
        raise OutputError(
            f"Cannot write {path}: an animation is a GIF file; use the extension .gif."
        )
    check_writable(path)


def save_animation(
    path: str | Path,
    frames: Sequence[npt.NDArray[np.uint8]],
    *,
    height: int,
    width: int,
    milliseconds: int = 80,
    hold: int = 2000,
) -> Path:
    """Save frames ``(h, w, 3)`` of any size as a GIF that repeats, completely or not at all.

    The last frame lasts for ``hold`` milliseconds; see `save_frames`.

    Raises:
        OutputError: If it cannot be written.
    """
    check_animation(path)
    images = [
        PILImage.fromarray(frame).resize((width, height), PILImage.Resampling.BICUBIC)
        for frame in frames
    ]
    return save_frames(path, images, [milliseconds] * (len(images) - 1) + [hold])


def save_frames(
    path: str | Path,
    frames: Sequence[npt.NDArray[np.uint8] | PILImage.Image],
    milliseconds: Sequence[int],
) -> Path:
    """Save frames of one size as a GIF or WebP that repeats, completely or not at all.

    All frames of a GIF share one palette, sampled across the animation, so that still areas do not
    flicker. The last frame has the greatest weight.

    Raises:
        OutputError: If it cannot be written.
    """
    images = [PILImage.fromarray(np.asarray(frame)) for frame in frames]
    options: dict[str, Any] = {"save_all": True, "loop": 0, "duration": list(milliseconds)}
    if Path(path).suffix.lower() == ".gif":
        palette = _shared_palette(images)
        images = [image.quantize(palette=palette) for image in images]
        options |= {"format": "GIF", "disposal": 1, "optimize": False}
    else:
        options |= {"format": "WEBP", "quality": 90}
    first, *rest = images
    return atomic_write(path, lambda target: first.save(target, append_images=rest, **options))


def _shared_palette(images: Sequence[PILImage.Image]) -> PILImage.Image:
    """The palette of a strip of small frames, half of which are the last one."""
    step = max(len(images) // _SAMPLED_FRAMES, 1)
    sampled = [*images[::step], *[images[-1]] * min(len(images), _SAMPLED_FRAMES)]
    strip = PILImage.new("RGB", (_SAMPLE_SIDE * len(sampled), _SAMPLE_SIDE))
    for index, image in enumerate(sampled):
        small = image.resize((_SAMPLE_SIDE, _SAMPLE_SIDE), PILImage.Resampling.NEAREST)
        strip.paste(small, (index * _SAMPLE_SIDE, 0))
    return strip.quantize(_COLORS, method=PILImage.Quantize.MEDIANCUT, kmeans=1)
