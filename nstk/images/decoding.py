"""Decoding image files: the first image of a file, in its own colors."""

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
from nstk.images.bit_depth import Samples, deep_samples, raw_mode, unused_bits
from nstk.images.formats import (
    EXTENSIONS,
    READABLE,
    SIGNATURE_BYTES,
    check_signature,
    check_tags,
    describe_tiff,
    read_tags,
)
from nstk.storage.files import check_regular

MAX_PIXELS = 200_000_000
"""Largest number of pixels that a header may claim."""

MAX_BYTES = 2 * 2**30
"""Largest size of a file; the allowed number of pixels takes less."""

_FORMATS = tuple(EXTENSIONS)
_LARGE = 50_000_000
_MAX_DENSITY = 2000
"""Pixels per byte of a large image; an empty gray PNG has half as many."""

_pillow_lock = threading.Lock()


@dataclass(frozen=True)
class Decoded:
    """The content of an image file, before any conversion and before it is turned upright."""

    format: str
    """Pillow's name of the format, by content."""
    image: Image.Image
    """The first image, loaded, with 8 bits per channel."""
    samples: Samples | None
    """The same at full precision if the file has more than 8 bits per channel."""
    orientation: int
    """EXIF orientation, 1 to 8."""
    unused_bits: int
    """How many of 16 bits per channel nothing in the image uses, if four or more."""
    notices: tuple[str, ...]


def decode(
    path: Path,
    max_pixels: int = MAX_PIXELS,
    *,
    content: bytes | None = None,
    side: int | None = None,
) -> Decoded:
    """Decode the first image of a regular file completely; see `nstk.load_image` for the options.

    Raises:
        ImageError: If the file is not a complete image; ``"path: reason; what to do"``.
    """
    with _opened(path, content) as file:
        return _decode_open(path, file, max_pixels, side)


def read_content(path: Path) -> bytes:
    """Read a file, and check that it did not change meanwhile.

    Raises:
        ImageError: If it is not a regular file, cannot be read, or changed.
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
        raise ImageError(f"{path}: changed while it was read; wait until it is complete.")
    return content


@dataclass(frozen=True)
class Header:
    """The header of an image file; height and width are those before it is turned upright."""

    format: str
    width: int
    height: int
    several: bool
    """Whether the file holds several images: a stack or an animation."""
    is_deep: bool
    """Whether it has 16 bits per channel."""

    @property
    def side(self) -> int:
        """The shorter side."""
        return min(self.width, self.height)


def identify(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of a file without decoding the image; truncated files are accepted.

    Raises:
        ImageError: If the file does not begin like an image; ``"path: reason; what to do"``.
    """
    with _opened(path) as file, _exclusive_pillow():
        image = _open_image(path, file, max_pixels)
        deep = "16" in image.mode or "16" in raw_mode(image)
        width, height = image.size
        return Header(_name_format(image), width, height, _holds_several(image), deep)


@contextmanager
def _opened(path: Path, content: bytes | None = None) -> Iterator[BinaryIO]:
    """Open a file that begins like an image; every error inside the block becomes an ImageError."""
    if content is None:
        _check_regular(path)
    try:
        with path.open("rb") if content is None else io.BytesIO(content) as file:
            check_signature(path, file.read(SIGNATURE_BYTES))
            if (tags := read_tags(file)) is not None:
                check_tags(path, tags)
            try:
                yield file
            except UnidentifiedImageError as error:
                if (kind := describe_tiff(file)) is None:
                    raise
                raise ImageError(f"{path}: {kind}.") from error
    except ImageError:
        raise
    except Exception as error:  # damaged files make Pillow raise almost anything
        raise ImageError(f"{path}: {_describe(error)}.") from error


def _open_image(path: Path, file: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    """Open an image without loading it; refuse too many pixels. Call with exclusive Pillow."""
    image = Image.open(file, formats=_FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: claims {width} × {height} pixels, but at most {max_pixels} are allowed; "
            "make it smaller, or raise `max_pixels` if you trust it."
        )
    return image


def _check_density(path: Path, image: Image.Image, file: BinaryIO) -> None:
    """Refuse decompression bombs: a few bytes that claim gigabytes of pixels."""
    pixels, place = image.width * image.height, file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    if pixels > max(_LARGE, _MAX_DENSITY * size):
        raise ImageError(
            f"{path}: claims {image.width} × {image.height} pixels in {size} bytes, more than "
            "any photograph; make it smaller."
        )


def _name_format(image: Image.Image) -> str:
    return "JPEG" if image.format == "MPO" else str(image.format)


def _holds_several(image: Image.Image) -> bool:
    """Whether there are several images; the others in an MPO photograph are only previews."""
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def _decode_open(path: Path, file: BinaryIO, max_pixels: int, side: int | None) -> Decoded:
    def reopen() -> ImageFile.ImageFile:
        with _exclusive_pillow():
            return Image.open(file, formats=_FORMATS)

    notices = []
    with _exclusive_pillow() as warned:
        image = _open_image(path, file, max_pixels)
        _check_density(path, image, file)
        raw = raw_mode(image)
        if side is not None:
            image.draft(None, (side, side))
        if image.width * image.height > _LARGE:  # some formats check Pillow's limit when loading
            image.load()
    if _holds_several(image):
        notices.append("the file holds several images; the first is used")
    image.load()
    with _exclusive_pillow() as warned_later:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    samples = deep_samples(path, image, raw, reopen)
    unused = 0 if samples is None or image.mode == "F" else unused_bits(samples)
    if unused:
        notices.append(
            f"no value in it uses the upper {unused} of its 16 bits, so that it is nearly black; "
            f"multiply the values of all such images by {2**unused}"
        )
    notices += [_one_line(warning.message) for warning in (*warned, *warned_later)]
    return Decoded(
        format=_name_format(image),
        image=image if samples is None else _eight_bits(image, samples),
        samples=samples,
        orientation=orientation if orientation in range(1, 9) else 1,
        unused_bits=unused,
        notices=tuple(notices),
    )


@contextmanager
def _exclusive_pillow() -> Iterator[list[warnings.WarningMessage]]:
    """Disable Pillow's pixel limit and collect its warnings.

    Both are settings of the whole process, so only one thread may change them at a time.
    """
    with _pillow_lock, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield warned
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _eight_bits(image: Image.Image, samples: Samples) -> Image.Image:
    image.info.pop("transparency", None)  # a 16-bit color; the samples have their own alpha
    if image.mode in ("RGB", "RGBA"):
        return image
    gray = Image.fromarray(np.rint(samples[..., 0] * 255).astype(np.uint8))
    gray.info = image.info
    return gray


def _check_regular(path: Path) -> None:
    try:
        check_regular(path, MAX_BYTES)
    except FileNotFoundError as error:
        kind = "a broken link" if path.is_symlink() else "no such file"
        raise ImageError(f"{path}: {kind}; check the spelling.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or _one_line(error)
        raise ImageError(f"{path}: {reason}; give a {READABLE} file.") from error


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror}); fix its permissions or give another file"
    if isinstance(error, MemoryError):
        return "needs more memory than is available; make it smaller"
    unknown = isinstance(error, UnidentifiedImageError)
    detail = "its header is invalid" if unknown else _one_line(error)
    return f"damaged or truncated ({detail}); fetch it again from its source"


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
