"""Facts and arrays in one file: a zip of a JSON object and of arrays in NumPy's own format.

Nothing in such a file is code and nothing in it is unpickled. No array can claim more numbers than
are there, and equal content is written as equal bytes.
"""

import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_ENDING = ".npy"

_DAMAGED = (
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What a damaged zip, a damaged array or a damaged JSON may raise."""


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
            with archive.open(_entry(name + _ENDING, compress), "w", force_zip64=True) as file:
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
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > limit:
                raise ValueError("it is far too large")
            facts = json.loads(archive.read(title))
            if not isinstance(facts, dict):
                raise ValueError(f"{title} is no JSON object")
            arrays = {
                name.removesuffix(_ENDING): _parse(archive.read(name), name)
                for name in archive.namelist()
                if name.endswith(_ENDING)
            }
    except _DAMAGED as error:
        raise ValueError(str(error)) from error
    return facts, arrays


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
    """One array; NumPy's own reader would make room for as many numbers as its header claims."""
    file = BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} is in another format")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    numbers = memoryview(content)[file.tell() :]
    if dtype.hasobject or dtype.itemsize * math.prod(shape) != len(numbers):
        raise ValueError(f"{name} does not hold what it claims")
    return np.frombuffer(numbers, dtype).reshape(shape, order="F" if by_columns else "C")
