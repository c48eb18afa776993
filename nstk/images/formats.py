"""The formats of image files: names, extensions and signatures, and what other files are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from PIL import TiffImagePlugin

from nstk.errors import ImageError

EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
}
"""Every format that is read, by Pillow's name of it, with its extensions."""

READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or JPEG 2000"

SIGNATURE_BYTES = 64
"""How much of a file `check_signature` needs."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF",
    *_TIFF,
    b"BM",
    b"GIF8",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",
)
_RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb")
_RAW_EXTENSIONS = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos"),
    *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"),
    *(".srw", ".x3f"),
)

# TIFF 6.0, TIFF/EP (ISO 12234-2) and DNG 1.7
_SUBFILE_TYPE, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 258, 259, 262
_CHANNELS, _SUB_DIRECTORIES, _SAMPLE_FORMAT, _DNG_VERSION = 277, 330, 339, 50706
_CONTENT = ((273, 279), (324, 325))
"""Offsets and lengths, of strips and of tiles."""
_REDUCED = 1
_SENSOR_COLORS = (32803, 34892)
"""A color filter array, and linear raw values."""
_KINDS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex"}

Tags = Mapping[int, Any]
"""The fields of the first directory of a TIFF, by number."""


def check_signature(path: Path, head: bytes) -> None:
    """Refuse a file that does not begin like an image, and say what it is.

    Raises:
        ImageError: ``"path: what it is; what to do"``.
    """
    if head[4:8] == b"ftyp" and (b"avif" in head or b"avis" in head):
        return
    if head.startswith(_RAW_SIGNATURES) or head[4:12] == b"ftypcrx ":
        raise raw_photograph(path)
    if head.startswith(_SIGNATURES):
        return
    if not head:
        raise ImageError(f"{path}: an empty file (0 bytes); give a {READABLE} file.")
    raise ImageError(f"{path}: not an image ({_describe(head)}); give a {READABLE} file.")


def _describe(head: bytes) -> str:
    if head.startswith(b"PK\x03\x04"):
        return "it looks like a zip; unpack it"
    if head.startswith(b"%PDF"):
        return "it looks like PDF"
    if head[4:8] == b"ftyp":
        return "it looks like HEIC or a video"
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "it looks like JPEG XL"
    if head.isascii() and head.decode("ascii").replace("\n", " ").replace("\r", " ").isprintable():
        return "it looks like text"
    return f"it begins with the bytes {head[:8].hex(' ')}"


def raw_photograph(path: Path) -> ImageError:
    """The error for a raw photograph of a camera."""
    kind = path.suffix.upper().removeprefix(".")
    named = f" ({kind})" if path.suffix.lower() in _RAW_EXTENSIONS else ""
    return ImageError(
        f"{path}: a raw photograph of a camera{named}, of which only the small preview could be "
        "read; develop it, and give the JPEG, PNG or TIFF."
    )


def read_tags(file: BinaryIO) -> Tags | None:
    """The fields of a TIFF; None for other files and damaged ones. Keeps the file's position."""
    place = file.tell()
    try:
        file.seek(0)
        head = file.read(4)
        if head not in _TIFF:
            return None
        head += file.read(12 if 43 in head else 4)  # 43 stands for 64-bit offsets
        directory = TiffImagePlugin.ImageFileDirectory_v2(head)
        file.seek(directory.next)
        directory.load(file)
        return dict(directory)
    except Exception:  # damaged files make Pillow raise almost anything
        return None
    finally:
        file.seek(place)


def check_tags(path: Path, tags: Tags) -> None:
    """Refuse a TIFF that is a raw photograph: its first image is a preview, or a sensor's values.

    Raises:
        ImageError: If it is one.
    """
    preview = tags.get(_SUBFILE_TYPE) == _REDUCED and _SUB_DIRECTORIES in tags
    sensor = tags.get(_PHOTOMETRIC) in _SENSOR_COLORS
    if preview or sensor or _DNG_VERSION in tags or path.suffix.lower() in _RAW_EXTENSIONS:
        raise raw_photograph(path)


def describe_tiff(file: BinaryIO) -> str | None:
    """What a TIFF contains that cannot be read; None if the file is damaged or truncated."""
    tags = read_tags(file)
    return describe_tags(tags) if tags and _is_whole(file, tags) else None


def describe_tags(tags: Tags) -> str:
    """Say what a TIFF contains, and what could be read instead."""
    count = tags.get(_CHANNELS, 1)
    bits = sorted({*_numbers(tags.get(_BITS, 1))})
    kinds = sorted({*_numbers(tags.get(_SAMPLE_FORMAT, 1))})
    described = " and ".join(_KINDS.get(kind, f"numbers of kind {kind}") for kind in kinds)
    depth = "/".join(map(str, bits))
    compression = tags.get(_COMPRESSION, 1)
    compressed = "" if compression == 1 else f" (compression {compression})"
    channels = "one channel" if count == 1 else f"{count} channels"
    return (
        f"a TIFF with {channels} of {depth}-bit {described}{compressed}, which cannot be read; "
        "save it as gray or RGB with 8 or 16 bits per channel"
    )


def _is_whole(file: BinaryIO, tags: Tags) -> bool:
    """Whether all strips or tiles lie inside the file."""
    size = file.seek(0, os.SEEK_END)
    for offsets, lengths in _CONTENT:
        if offsets in tags and lengths in tags:
            starts, counts = _numbers(tags[offsets]), _numbers(tags[lengths])
            return len(starts) == len(counts) and all(
                start + count <= size for start, count in zip(starts, counts, strict=True)
            )
    return False


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(values) if isinstance(values, tuple | list) else (values,)
