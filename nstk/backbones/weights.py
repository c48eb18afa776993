"""Assigning stored weights to an empty network, and their digest."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import keras
import numpy as np

from nstk.backbones.keras_config import is_named_by_counting, renumber_names, strip_number
from nstk.backbones.weights_files import StoredArray, StoredLayers
from nstk.errors import WeightsError
from nstk.types import Array, KerasLayer, KerasModel

CONVNEXT_NORMALIZATION = "layer_normalization"
CONVNEXT_NORMALIZATION_WITH_TOP = "_head_layernorm"
"""Names of ConvNeXt's last layer without a classification top, and with one."""


def assign_weights(network: KerasModel, stored: StoredLayers, *, name: str, origin: str) -> None:
    """Assign stored weights to an empty network, to all layers or to none.

    Layers are matched by name; additional stored layers, such as a classification top, are ignored.

    Args:
        network: A ``keras.Model`` without its top.
        stored: The layers of a file, or of another network.
        name: Name of the network in messages.
        origin: Origin of the stored layers in messages.

    Raises:
        WeightsError: If a layer is missing or has another shape; lists what is needed and what is
            stored.
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

    Args:
        model: A ``keras.Model``.
    """
    digest = hashlib.sha256()
    for layer in model.layers:
        for variable in layer.weights:
            array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
            name = strip_number(variable.name)
            digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
