"""Reading weights files layer by layer, without trusting them.

Three formats are recognized by content: Keras's ``.weights.h5``, the older ``.h5`` weights of
keras.applications, and ``.npz`` with one array per ``layer/variable``. Nothing is unpickled, no
link to another file is followed, and an array is read only after the caller has compared its
declared shape with the expected one.
"""

import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nstk.errors import WeightsError
from nstk.storage.array_files import ZIP_ERRORS, open_zip, read_array, read_header
from nstk.storage.files import check_regular
from nstk.types import Array

FORMATS = "Keras weights (.weights.h5 or .h5) or an .npz with layer/variable keys"

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE = b"PK\x03\x04"


@dataclass(frozen=True)
class StoredArray:
    """One numeric array in a file.

    Attributes:
        variable: The variable's name; empty if the file stores only the order.
        shape: The declared shape.
        read: Reads the array.
    """

    variable: str
    shape: tuple[int, ...]
    read: Callable[[], Array]


StoredLayers = Mapping[str, Sequence[StoredArray]]
"""The arrays of each layer by the layer's name, in the file's order."""


@contextmanager
def open_weights(path: str | os.PathLike[str]) -> Iterator[StoredLayers]:
    """List the content of a weights file, and keep it open while arrays are read.

    Raises:
        WeightsError: If the file is missing, damaged or of another format; also later, if a
            damaged array is read.
    """
    path = Path(path)
    with ExitStack() as stack:
        with _report_damage(path):
            check_regular(path)
            with path.open("rb") as file:
                signature = file.read(len(HDF5_SIGNATURE))
            if signature == HDF5_SIGNATURE:
                stored = _list_hdf5(stack.enter_context(h5py.File(path, "r")))
            elif signature.startswith(ZIP_SIGNATURE):
                stored = _list_npz(stack.enter_context(open_zip(path)))
            else:
                raise WeightsError(f"{path} is not a weights file; give {FORMATS}.")
        yield stored


@contextmanager
def _report_damage(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (*ZIP_ERRORS, OSError, KeyError, TypeError, ValueError) as error:
        message = str(getattr(error, "strerror", None) or error)
        reason = message.partition("\n")[0] or type(error).__name__
        raise WeightsError(f"{path} cannot be read ({reason}); give {FORMATS}.") from error


def _list_npz(archive: zipfile.ZipFile) -> StoredLayers:
    if "config.json" in archive.namelist():
        raise WeightsError(
            f"{archive.filename} is a complete model, not a weights file; give the path of a "
            "classifier of nstk as `backbone`."
        )
    layers: dict[str, list[StoredArray]] = defaultdict(list)
    for member in archive.namelist():
        with archive.open(member) as file:
            shape, _, dtype = read_header(file)
        layer, _, variable = member.removesuffix(".npy").rpartition("/")
        if _is_number(dtype):
            array = StoredArray(variable, shape, partial(_read_npy, archive, member))
            layers[layer or variable].append(array)
    return layers


def _read_npy(archive: zipfile.ZipFile, member: str) -> Array:
    with _report_damage(str(archive.filename)), archive.open(member) as file:
        return read_array(file, archive.getinfo(member).file_size)


def _list_hdf5(file: h5py.File) -> StoredLayers:
    items: dict[str, h5py.HLObject] = {"": file}
    # visititems follows neither soft links nor links to other files.
    file.visititems(lambda name, item: items.update({name: item}))
    for item in items.values():
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            raise WeightsError(
                f"{file.filename} stores its arrays in other files; give one complete file."
            )
    for root in ("", "model_weights"):
        if root in items and _read_strings(items[root], "layer_names"):
            return _list_published(items, root)
    return _list_keras(items)


def _list_published(items: Mapping[str, h5py.HLObject], root: str) -> StoredLayers:
    """List the format of keras.applications, where attributes name layers and their weights."""
    layers = {}
    for layer in _read_strings(items[root], "layer_names"):
        group = f"{root}/{layer}".lstrip("/")
        arrays = [items[f"{group}/{name}"] for name in _read_strings(items[group], "weight_names")]
        if arrays:
            layers[layer] = [_store(array) for array in arrays]
    return layers


def _list_keras(items: Mapping[str, h5py.HLObject]) -> StoredLayers:
    """List the format of Keras 3, where each layer has a group ``vars`` of numbered arrays."""
    layers: dict[str, dict[int, StoredArray]] = defaultdict(dict)
    for path, item in items.items():
        matched = re.fullmatch(r"(?:.*/)?([^/]+)/vars/(\d+)", path)
        if matched and isinstance(item, h5py.Dataset) and _is_number(item.dtype):
            name = item.parent.attrs.get("name", matched[1])
            layers[str(name)][int(matched[2])] = _store(item)
    return {name: [arrays[number] for number in sorted(arrays)] for name, arrays in layers.items()}


def _store(dataset: h5py.Dataset) -> StoredArray:
    return StoredArray("", tuple(dataset.shape), partial(_read_dataset, dataset))


def _read_dataset(dataset: h5py.Dataset) -> Array:
    with _report_damage(dataset.file.filename):
        return np.asarray(dataset[()])


def _read_strings(group: h5py.HLObject, name: str) -> list[str]:
    """Read a list of strings, which Keras splits into numbered attributes if it is long."""
    spread = takewhile(lambda part: part in group.attrs, (f"{name}{part}" for part in count()))
    parts = [name] if name in group.attrs else spread
    strings = [string for part in parts for string in group.attrs[part]]
    return [string.decode() if isinstance(string, bytes) else str(string) for string in strings]


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "fiu"
