"""Image files and ICC profiles, assembled byte by byte."""

import struct
import zlib
from pathlib import Path

import numpy as np

from nstk.images.color_spaces import SRGB_PROFILE

LEVEL = 1 / 255

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""PNG color types."""


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(samples: np.ndarray, color_type: int, **chunks: bytes) -> bytes:
    """A PNG file with the samples (height, width, channels), uint8 or uint16, as they are."""
    height, width, _ = samples.shape
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1)
    depth = 8 * samples.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(name.encode(), content) for name, content in chunks.items()),
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
            chunk(b"IEND", b""),
        ]
    )


def tiff(
    values: np.ndarray, order: str = "<", compression: int = 1, planes: bool = False, **tags
) -> bytes:
    """A TIFF file with the values (height, width, channels), packed as asked.

    ``tags`` are added to the usual ones or replace them: ``photometric=0``, ``t254=1``.
    """
    height, width, channels = values.shape
    bits = 8 * values.dtype.itemsize
    values = values.astype(values.dtype.newbyteorder(order))
    strips = [values[..., each] for each in range(channels)] if planes else [values]
    packed = [
        zlib.compress(strip.tobytes()) if compression == 8 else strip.tobytes() for strip in strips
    ]
    starts = [8 + sum(map(len, packed[:each])) for each in range(len(packed))]
    photometric = tags.pop("photometric", 2 if channels == 3 else 1)
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    fields = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [compression]),
        262: ("H", [photometric]),
        273: ("I", starts),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", list(map(len, packed))),
        284: ("H", [2 if planes else 1]),
        339: ("H", [kind] * channels),
    } | {int(name[1:]): ("I", [number]) for name, number in tags.items()}
    content = b"".join(packed)
    directory = struct.pack(f"{order}H", len(fields))
    for tag, (kind, numbers) in sorted(fields.items()):
        field = struct.pack(f"{order}{len(numbers)}{kind}", *numbers).ljust(4, b"\0")
        if len(field) > 4:
            content, field = content + field, struct.pack(f"{order}I", 8 + len(content))
        directory += struct.pack(f"{order}HHI", tag, 3 if kind == "H" else 4, len(numbers)) + field
    head = b"II" if order == "<" else b"MM"
    start = struct.pack(f"{order}HI", 42, 8 + len(content))
    return head + start + content + directory + bytes(4)


def profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A minimal ICC profile (ICC.1:2022, clause 7)."""
    tags = {b"wtpt": xyz(0.9642, 1.0, 0.8249)} | tags
    offset, table, contents = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(contents), len(content))
        contents += content
    body = struct.pack(">I", len(tags)) + table + contents
    header = struct.pack(">I4xI", 128 + len(body), 0x02400000) + kind + space + connection
    header = header.ljust(36, b"\0") + b"acsp"
    return header.ljust(68, b"\0") + struct.pack(">iii", 63190, 65536, 54061) + bytes(48) + body


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(value * 65536) for value in values))


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def swapped_profile() -> bytes:
    """The sRGB profile in which red and green have changed places."""
    swapped = SRGB_PROFILE.replace(b"rXYZ", b"xxxx").replace(b"gXYZ", b"rXYZ")
    return swapped.replace(b"xxxx", b"gXYZ")


def black_only_profile() -> bytes:
    """A CMYK profile of a press on which only the black ink leaves a trace."""
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = bytes(range(256))
    corners = b"".join(bytes([0 if corner % 2 else 255, 128, 128]) for corner in range(16))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + corners + 3 * ramp
    return profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": lut})


def on_white(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What a viewer shows of colors (..., 3) in [0, 1] with alpha (...)."""
    return 1 - alpha[..., None] * (1 - np.asarray(colors))


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
