"""Facts and arrays in one file: a zip of a JSON object and of arrays in NumPy's own format.

Nothing in such a file is code and nothing in it is unpickled. No array can claim more numbers than
are there, and equal content is written as equal bytes.
"""

import hashlib
import json
import math
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nstk.storage.zip_archives import DAMAGE, open_packed

Array = npt.NDArray[Any]

_EXTENSION = ".npy"

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""Shape, whether columns come first, and dtype."""


def write_arrays(
    path: Path,
    title: str,
    facts: Mapping[str, Any],
    arrays: Mapping[str, Any],
    *,
    compress: bool = False,
) -> None:
    """Write a file of facts and arrays.

    Args:
        path: Where to; a temporary place that `write_whole` gives.
        title: Name of the JSON inside, which tells kinds of files apart: ``style.json``.
        facts: Plain JSON.
        arrays: NumPy arrays or tensors by name.
        compress: Whether to deflate; where not, no part of the file is larger than the file.

    Raises:
        OSError: If the disk refuses.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(_entry(title, compress), json.dumps(facts, indent=1))
        for name, array in arrays.items():
            with archive.open(_entry(name + _EXTENSION, compress), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)


def read_arrays(
    path: Path, title: str, *, limit: float = math.inf
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read a file that `write_arrays` wrote.

    Args:
        path: The file.
        title: Name of the JSON inside.
        limit: How many bytes may be in it, unpacked.

    Returns:
        Its facts and its arrays by name. The arrays cannot be written to.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        ValueError: If it is damaged, too large or of another kind.
    """
    try:
        with open_packed(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > limit:
                raise ValueError("it is far too large")
            facts = json.loads(archive.read(title))
            if not isinstance(facts, dict):
                raise ValueError(f"{title} is no JSON object")
            arrays = {
                name.removesuffix(_EXTENSION): _parse(archive.read(name), name)
                for name in archive.namelist()
                if name.endswith(_EXTENSION)
            }
    except (*DAMAGE, KeyError, ValueError) as error:
        raise ValueError(str(error)) from error
    return facts, arrays


def read_header(file: IO[bytes]) -> Header:
    """Read what an array in NumPy's format claims to be.

    Raises:
        ValueError: If it is no such array, or one that would have to be unpickled.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_columns, dtype = read(file)
    except Exception as error:  # What a damaged header makes NumPy raise has no end.
        raise ValueError("an array with a damaged header") from error
    if dtype.hasobject or any(side < 0 for side in shape):
        raise ValueError("an array of something else than numbers")
    return shape, by_columns, dtype


def read_array(file: IO[bytes], room: int) -> Array:
    """Read an array, and no more than is there: NumPy would make room for all that it claims.

    Args:
        file: Where it begins.
        room: How many bytes it can have at most.

    Raises:
        ValueError: If it is damaged or claims more.
    """
    shape, by_columns, dtype = read_header(file)
    size = dtype.itemsize * math.prod(shape)
    numbers = file.read(size) if size <= room else b""
    if len(numbers) != size:
        raise ValueError("an array that does not hold what it claims")
    try:
        return np.frombuffer(numbers, dtype).reshape(shape, order="F" if by_columns else "C")
    except OverflowError as error:
        raise ValueError(str(error)) from error


def digest_arrays(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of names, dtypes, shapes and numbers, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _entry(name: str, compress: bool) -> zipfile.ZipInfo:
    """A member without the time of day, which would make equal content unequal."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    return entry


def _parse(content: bytes, name: str) -> Array:
    file = BytesIO(content)
    array = read_array(file, len(content))
    if file.read(1):
        raise ValueError(f"{name} holds more than it claims")
    return array
