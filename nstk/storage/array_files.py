"""Files of named facts and arrays: a zip of one JSON object and of arrays in NumPy's format.

Such files contain no code and are read without unpickling. An array cannot claim more values than
the file holds, and equal content gives equal bytes.
"""

import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nstk.storage.files import check_regular
from nstk.types import Array, Json

_EXTENSION = ".npy"

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""Shape, whether the order is Fortran's, and dtype."""

ZIP_ERRORS = (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""Errors that a damaged zip archive may raise, apart from OSError."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; reading may raise `ZIP_ERRORS`.

    Only stored and deflated members are accepted: other methods can demand any amount of memory.
    """
    check_regular(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type not in _METHODS:
                raise zipfile.BadZipFile("unsupported compression; only deflate is supported")
        yield archive


def write_arrays(
    path: Path,
    title: str,
    facts: Mapping[str, Json],
    arrays: Mapping[str, npt.ArrayLike],
    *,
    compress: bool = False,
) -> None:
    """Write facts and arrays to the temporary path that `atomic_write` passes.

    The name of the JSON member, such as ``style.json``, identifies the kind of file. Without
    compression, the content is never larger than the file.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(_entry(title, compress), json.dumps(facts, indent=1))
        for name, array in arrays.items():
            with archive.open(_entry(name + _EXTENSION, compress), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)


def read_arrays(
    path: Path, title: str, *, limit: float = math.inf
) -> tuple[dict[str, Json], dict[str, Array]]:
    """Read a file written by `write_arrays`: the facts, and read-only arrays.

    Raises:
        ValueError: If it is damaged, of another kind, or unpacks to more than ``limit`` bytes.
    """
    try:
        with open_zip(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > limit:
                raise ValueError(f"it unpacks to more than {limit:.0f} bytes")
            facts = json.loads(archive.read(title))
            if not isinstance(facts, dict):
                raise ValueError(f"{title} is not a JSON object")
            arrays = {
                name.removesuffix(_EXTENSION): _parse(archive.read(name), name)
                for name in archive.namelist()
                if name.endswith(_EXTENSION)
            }
    except (*ZIP_ERRORS, KeyError, ValueError) as error:
        raise ValueError(str(error)) from error
    return facts, arrays


def read_header(file: IO[bytes]) -> Header:
    """Read the header of an array in NumPy's format; ValueError if it would be unpickled."""
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(file)
    except Exception as error:  # damaged headers make NumPy raise almost anything
        raise ValueError("an array with a damaged header") from error
    if dtype.hasobject or any(side < 0 for side in shape):
        raise ValueError("an array that does not hold numbers")
    return shape, fortran_order, dtype


def read_array(file: IO[bytes], room: int) -> Array:
    """Read an array, but allocate at most ``room`` bytes, regardless of its header."""
    shape, fortran_order, dtype = read_header(file)
    size = dtype.itemsize * math.prod(shape)
    numbers = file.read(size) if size <= room else b""
    if len(numbers) != size:
        raise ValueError("an array that is shorter than its header claims")
    try:
        return np.frombuffer(numbers, dtype).reshape(shape, order="F" if fortran_order else "C")
    except OverflowError as error:
        raise ValueError(str(error)) from error


def digest_arrays(arrays: Mapping[str, npt.ArrayLike]) -> str:
    """SHA-256 of names, dtypes, shapes and values, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _entry(name: str, compress: bool) -> zipfile.ZipInfo:
    """A member without a date, so that equal content gives equal bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    return entry


def _parse(content: bytes, name: str) -> Array:
    file = BytesIO(content)
    array = read_array(file, len(content))
    if file.read(1):
        raise ValueError(f"{name} is longer than its header claims")
    return array
