"""Images with more than 8 bits per channel, at full precision.

Pillow opens 16-bit gray as it is but keeps only the upper byte of 16-bit color. It reads that
byte by a *raw mode* that names the byte order (``RGB;16B``). Reading the file a second time in
the other order gives the lower byte, and the two make the full value.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

from nstk.errors import ImageError
from nstk.images.formats import describe_tags
from nstk.types import Array

Samples = npt.NDArray[np.float32]

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_BITS_PER_SAMPLE, _PHOTOMETRIC_INTERPRETATION, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO = 0
_MIN_UNUSED = 4


def raw_mode(image: ImageFile.ImageFile) -> str:
    """Pillow's raw mode of an image that is not loaded yet, such as ``"RGB;16B"``."""
    if not image.tile:
        return ""
    arguments = image.tile[0].args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def deep_samples(
    path: Path, image: ImageFile.ImageFile, raw: str, reopen: Callable[[], ImageFile.ImageFile]
) -> Samples | None:
    """Gray or RGB ``(height, width, channels)`` in ``[0, 1]``, followed by alpha if there is any.

    ``image`` is loaded, ``raw`` was its raw mode before, and ``reopen`` opens the same file again
    without loading it. None for an image of 8 bits.

    Raises:
        ImageError: If the value of white is unknown, as for floats outside ``[0, 1]``, or Pillow
            misreads the file's layout.
    """
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    transparent = image.info.get("transparency")
    if image.mode == "F":
        samples = np.asarray(image, np.float32)[..., None]
        _check_range(path, samples, 1)
        return samples
    if image.mode == "I" and np.asarray(image).min() < 0 and tags.get(_SAMPLE_FORMAT) != (2,):
        raise ImageError(f"{path}: {describe_tags(tags)}.")  # Pillow takes them for signed ones
    if image.mode == "I" or image.mode.startswith("I;16"):
        white = 4095 if raw == "I;12" else 65535
        gray = np.asarray(image).astype(np.int32)[..., None]
        _check_range(path, gray, white)
        if tags.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
            gray = white - gray
        return _with_transparent_color(gray, white, transparent)
    if raw == "LA;16B":
        gray_alpha = _reread(reopen, "RGBA").astype(np.uint16)
        return _unit(gray_alpha[..., 0::2] << 8 | gray_alpha[..., 1::2], 65535)
    if raw[:-1] in ("RGB;16", "RGBX;16", "RGBA;16"):
        upper = np.asarray(image).astype(np.uint16)
        lower = _reread(reopen, raw[:-1] + _OTHER_ORDER[raw[-1]])
        return _with_transparent_color(upper << 8 | lower, 65535, transparent)
    if raw in ("R", "G", "B", "A") and max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8:
        raise ImageError(
            f"{path}: its 16-bit channels are stored in separate planes, which Pillow misreads; "
            "save it with interleaved channels."
        )
    return None


def unused_bits(samples: Samples) -> int:
    """How many of 16 bits no color uses; 0 if less than `_MIN_UNUSED`, or the image is black."""
    colors = samples[..., : -1 if samples.shape[-1] in (2, 4) else None]
    unused = 16 - int(np.rint(colors.max() * 65535)).bit_length()
    return unused if _MIN_UNUSED <= unused < 16 else 0


def _reread(reopen: Callable[[], ImageFile.ImageFile], raw: str) -> npt.NDArray[np.uint8]:
    image = reopen()
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile in image.tile
    ]
    return np.asarray(image)


def _with_transparent_color(values: Array, white: int, color: npt.ArrayLike | None) -> Samples:
    samples = _unit(values, white)
    if color is None:
        return samples
    opaque = np.any(values != np.asarray(color), axis=-1, keepdims=True)
    return np.concatenate([samples, opaque.astype(np.float32)], axis=-1)


def _check_range(path: Path, values: Array, white: int) -> None:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):
        raise ImageError(
            f"{path}: its values range from {low:g} to {high:g}; save it with values from 0 "
            f"(black) to {white} (white)."
        )


def _unit(values: Array, white: int) -> Samples:
    samples: Samples = np.divide(values, white, dtype=np.float32)
    return samples
