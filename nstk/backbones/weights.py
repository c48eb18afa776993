"""Reading weights files without trusting them, and assigning stored weights to an empty network.

Three formats are recognized by content: Keras's ``.weights.h5``, the older ``.h5`` weights of
keras.applications, and ``.npz`` with one array per ``layer/variable``. Nothing is unpickled, no
link to another file is followed, and an array is read only after the caller has compared its
declared shape with the expected one.
"""

import hashlib
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from nstk.backbones.keras_config import is_named_by_counting, renumber_names, strip_number
from nstk.errors import WeightsError
from nstk.storage.array_files import ZIP_ERRORS, open_zip, read_array, read_header
from nstk.storage.files import check_regular
from nstk.types import Array, KerasLayer, KerasModel

FORMATS = "Keras weights (.weights.h5 or .h5) or an .npz with layer/variable keys"

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE = b"PK\x03\x04"

CONVNEXT_NORMALIZATION = "layer_normalization"
CONVNEXT_NORMALIZATION_WITH_TOP = "_head_layernorm"
"""Names of ConvNeXt's last layer without a classification top, and with one."""


@dataclass(frozen=True)
class StoredArray:
    """One numeric array in a file; ``variable`` is empty if the file stores only the order."""

    variable: str
    shape: tuple[int, ...]
    read: Callable[[], Array]


StoredLayers = Mapping[str, Sequence[StoredArray]]
"""The arrays of each layer by the layer's name, in the file's order."""


@contextmanager
def open_weights(path: str | os.PathLike[str]) -> Iterator[StoredLayers]:
    """List the content of a weights file, and keep it open while arrays are read.

    A `WeightsError` for a damaged array comes when that is read.
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


def assign_weights(network: KerasModel, stored: StoredLayers, *, name: str, origin: str) -> None:
    """Assign stored weights to an empty network, to all layers or to none.

    Layers are matched by name; additional stored layers, such as a classification top, are ignored.
    Messages contain the name of the network and the origin of the stored layers.
    """
    stored = _align_names(network, stored)
    layers = list(_list_layers(network.layers, stored))
    missing = [layer.name for layer in layers if layer.name not in stored]
    found = [(layer, _order(layer, stored[layer.name])) for layer in layers if layer.name in stored]
    different = [
        f"{layer.name} {_format(array.shape for array in arrays)} "
        f"instead of {_format(variable.shape for variable in layer.weights)}"
        for layer, arrays in found
        if [array.shape for array in arrays] != [tuple(weight.shape) for weight in layer.weights]
    ]
    if missing or different:
        faults = [f"it lacks {_abridge(missing)}"] if missing else []
        faults += [f"it has {_abridge(different)}"] if different else []
        raise WeightsError(
            f"{origin} does not hold the weights of '{name}': {' and '.join(faults)}. "
            f"'{name}' has {len(layers)} layers with weights "
            f"({_abridge([layer.name for layer in layers])}), the file has {len(stored)} "
            f"({_abridge(list(stored))}); give the file of this network, "
            "or the name of its network as `backbone`."
        )
    for layer, arrays in found:
        set_weights(layer, [array.read() for array in arrays])


def list_weights(network: KerasModel) -> StoredLayers:
    """List the weights of a network in memory, in the form of those of a file."""
    return {
        layer.name: [
            StoredArray("", tuple(weight.shape), partial(keras.ops.convert_to_numpy, weight))
            for weight in layer.weights
        ]
        for layer in network.layers
        if layer.weights
    }


def set_weights(layer: KerasLayer, arrays: Sequence[Array]) -> None:
    """Set the weights of a layer, and the state derived from them.

    A Normalization layer computes with a mean and a standard deviation derived from its weights;
    Keras's ``set_weights`` does not update them.
    """
    layer.set_weights(arrays)
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()


def _list_layers(layers: Iterable[KerasLayer], stored: StoredLayers) -> Iterator[KerasLayer]:
    """Layers with weights; those inside a nested block unless it is stored as one layer."""
    for layer in layers:
        if hasattr(layer, "layers") and layer.name not in stored:
            yield from _list_layers(layer.layers, stored)
        elif layer.weights:
            yield layer


def _align_names(network: KerasModel, stored: StoredLayers) -> StoredLayers:
    """Rename stored layers whose generated names depend on earlier networks."""
    counted = [
        layer.name for layer in network.layers if layer.weights and is_named_by_counting(layer)
    ]
    bases = {strip_number(name) for name in counted}
    fresh = renumber_names(name for name in stored if strip_number(name) in bases)
    own = {number: name for name, number in renumber_names(counted).items()}
    names = {name: own.get(number, number) for name, number in fresh.items()}
    if CONVNEXT_NORMALIZATION in counted and CONVNEXT_NORMALIZATION not in names.values():
        names |= {
            name: CONVNEXT_NORMALIZATION
            for name in stored
            if name.endswith(CONVNEXT_NORMALIZATION_WITH_TOP)
        }
    return {names.get(name, name): arrays for name, arrays in stored.items()}


def _order(layer: KerasLayer, arrays: Sequence[StoredArray]) -> Sequence[StoredArray]:
    """Sort named arrays in the order of the layer's variables."""
    named = {array.variable: array for array in arrays}
    order = [variable.name for variable in layer.weights]
    return [named[name] for name in order] if named.keys() == set(order) else arrays


def _format(shapes: Iterable[Sequence[int]]) -> str:
    return " + ".join("×".join(map(str, shape)) or "1" for shape in shapes)


def _abridge(names: Sequence[str], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def digest_weights(model: KerasModel) -> str:
    """Compute the SHA-256 of all weights: variable names, shapes and bytes, in order.

    Layer names and running numbers are left out: Keras generates them from what the process built
    before.
    """
    digest = hashlib.sha256()
    for layer in model.layers:
        for variable in layer.weights:
            array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
            name = strip_number(variable.name)
            digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
