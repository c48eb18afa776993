"""From a file to its samples: the first image in it, decoded whole, colors untouched."""

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from nstk.errors import ImageError
from nstk.images.bit_depth import Samples, deep_samples, raw_mode
from nstk.storage.files import check_regular

MAX_PIXELS = 200_000_000
"""How many pixels a file may claim before it is refused unread."""

MAX_BYTES = 2 * 2**30
"""How large a file may be; as many pixels as are allowed take less."""

READABLE = "JPEG, PNG, WebP, TIFF, BMP or GIF"

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"II", b"MM", b"BM", b"GIF8")
_HUGE = 50_000_000
_DENSEST = 2000
"""Pixels in a byte of a huge image: an empty gray PNG has half as many."""

_pillow = threading.Lock()


@dataclass(frozen=True)
class Decoded:
    """What stands in an image file, before anything is converted.

    Attributes:
        format: Pillow's name of the format, by content (``"JPEG"``, ``"PNG"``, …).
        image: The first image, loaded, with eight bits a channel.
        samples: The same at full precision, float32 ``(height, width, channels)`` in ``[0, 1]``,
            where the file has more than eight bits a channel.
        orientation: EXIF orientation still to be applied, 1 to 8; 1 is upright.
        notices: What the reader of the file should know, one sentence each.
    """

    format: str
    image: Image.Image
    samples: Samples | None
    orientation: int
    notices: tuple[str, ...]


def decode(path: Path, max_pixels: int = MAX_PIXELS, *, content: bytes | None = None) -> Decoded:
    """Decode the first image of a file, completely.

    Args:
        path: A regular file; its ending does not matter.
        max_pixels: How many pixels the header may claim; checked before anything is decoded.
        content: What is in the file, where it has been read already; ``path`` is its name then.

    Raises:
        ImageError: ``"path: reason; what to do"`` for whatever is not a whole image.
    """
    with _opened(path, content) as file:
        return _decode_open(path, file, max_pixels)


def read_content(path: Path) -> bytes:
    """Read a file, and know that it was whole: nobody wrote to it meanwhile.

    Raises:
        ImageError: If it is no regular file, cannot be read, or changed.
    """
    _check_regular(path)
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            content = file.read()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise ImageError(f"{path}: {_describe(error)}.") from error
    steady = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, len(content))
    if not steady or after.st_size != len(content):
        raise ImageError(f"{path}: changed while it was read; wait until it is whole.")
    return content


@dataclass(frozen=True)
class Header:
    """What the header of a file says.

    Attributes:
        format: Pillow's name of the format, by content.
        width: In pixels, as the file lies.
        height: In pixels.
        several: Whether the file holds several images: a stack, or an animation.
    """

    format: str
    width: int
    height: int
    several: bool


def identify(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Look at the header of a file, and decode nothing: what is cut short behind it passes.

    Args:
        path: A regular file; its ending does not matter.
        max_pixels: How many pixels the header may claim.

    Raises:
        ImageError: ``"path: reason; what to do"`` for whatever does not begin like an image.
    """
    with _opened(path) as file, _pillow_to_ourselves():
        image = _open_image(path, file, max_pixels)
        return Header(_name_format(image), *image.size, several=_holds_several(image))


@contextmanager
def _opened(path: Path, content: bytes | None = None) -> Iterator[BinaryIO]:
    """Open a file that begins like an image; whatever goes wrong in it is a ImageError."""
    if content is None:
        _check_regular(path)
    try:
        with path.open("rb") if content is None else io.BytesIO(content) as file:
            _check_signature(path, file.read(32))
            yield file
    except ImageError:
        raise
    except Exception as error:  # Damaged files make Pillow raise nearly every kind there is.
        raise ImageError(f"{path}: {_describe(error)}.") from error


def _open_image(path: Path, file: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    """Open an image without loading it, Pillow to ourselves, and refuse what claims too much."""
    image = Image.open(file, formats=_FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: claims {width} × {height} pixels, but at most {max_pixels} are allowed; "
            "make it smaller, or raise max_pixels if it can be trusted."
        )
    return image


def _check_density(path: Path, image: Image.Image, file: BinaryIO) -> None:
    """Refuse a few bytes that want to become gigabytes."""
    pixels, place = image.width * image.height, file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    if pixels > max(_HUGE, _DENSEST * size):
        raise ImageError(
            f"{path}: claims {image.width} × {image.height} pixels in {size} bytes, which no "
            "photograph does; make it smaller."
        )


def _name_format(image: Image.Image) -> str:
    return "JPEG" if image.format == "MPO" else str(image.format)


def _holds_several(image: Image.Image) -> bool:
    """Whether there are more images than the first, which in a photograph are previews of it."""
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def _decode_open(path: Path, file: BinaryIO, max_pixels: int) -> Decoded:
    def reopen() -> ImageFile.ImageFile:
        with _pillow_to_ourselves():
            return Image.open(file, formats=_FORMATS)

    notices = []
    with _pillow_to_ourselves() as warned:
        image = _open_image(path, file, max_pixels)
        _check_density(path, image, file)
        raw = raw_mode(image)
        if image.width * image.height > _HUGE:  # Some formats look at Pillow's own limit again.
            image.load()
    if _holds_several(image):
        notices.append("the file holds several images; the first is used")
    image.load()
    with _pillow_to_ourselves() as warned_later:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    samples = deep_samples(path, image, raw, reopen)
    notices += [_one_line(warning.message) for warning in (*warned, *warned_later)]
    return Decoded(
        format=_name_format(image),
        image=image if samples is None else _eight_bits(image, samples),
        samples=samples,
        orientation=orientation if orientation in range(1, 9) else 1,
        notices=tuple(notices),
    )


@contextmanager
def _pillow_to_ourselves() -> Iterator[list[warnings.WarningMessage]]:
    """Lift Pillow's pixel limit and collect its warnings, for a moment.

    Both are settings of the whole process, so only one thread may turn them at a time.
    """
    with _pillow, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield warned
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _eight_bits(image: Image.Image, samples: Samples) -> Image.Image:
    image.info.pop("transparency", None)  # A color of 16 bits; the samples know their alpha.
    if image.mode in ("RGB", "RGBA"):
        return image
    gray = Image.fromarray(np.rint(samples[..., 0] * 255).astype(np.uint8))
    gray.info = image.info
    return gray


def _check_regular(path: Path) -> None:
    try:
        check_regular(path, MAX_BYTES)
    except FileNotFoundError as error:
        kind = "a link to nothing" if path.is_symlink() else "no such file"
        raise ImageError(f"{path}: {kind}; check the spelling.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or _one_line(error)
        raise ImageError(f"{path}: {reason}; give a {READABLE} file.") from error


def _check_signature(path: Path, head: bytes) -> None:
    if not head:
        raise ImageError(f"{path}: an empty file (0 bytes); give a {READABLE} file.")
    if head.startswith(_SIGNATURES):
        return
    if head.startswith(b"PK\x03\x04"):
        content = "it looks like a zip; unpack it"
    elif head.startswith(b"%PDF"):
        content = "it looks like PDF"
    elif head[4:8] == b"ftyp":
        content = "it looks like HEIC, AVIF or a film"
    elif (
        head.isascii() and head.decode("ascii").replace("\n", " ").replace("\r", " ").isprintable()
    ):
        content = "it looks like text"
    else:
        content = f"it begins with the bytes {head[:8].hex(' ')}"
    raise ImageError(f"{path}: not an image ({content}); give a {READABLE} file.")


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror}); change that or give another file"
    if isinstance(error, MemoryError):
        return "cannot be decoded in the memory there is; make it smaller, or get it anew"
    unknown = isinstance(error, UnidentifiedImageError)
    detail = "its header makes no sense" if unknown else _one_line(error)
    return f"damaged or cut short ({detail}); get it anew from where it came"


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
