"""From the arrays of a file to the weights of one of our own empty networks."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import keras

from nstk.backbones.layer_names import count_afresh, is_named_by_counting, strip_number
from nstk.backbones.weights_files import StoredArray, StoredLayers
from nstk.errors import WeightsError

CONVNEXT_NORMALIZATION = "layer_normalization"
CONVNEXT_NORMALIZATION_WITH_TOP = "_head_layernorm"
"""What Keras calls ConvNeXt's last layer without a classification top, and with one."""


def assign_weights(network: Any, stored: StoredLayers, *, name: str, origin: str) -> None:
    """Fill an empty network from stored layers, all of it or nothing.

    Layers are found by name; what is stored beyond the network, such as a classification top,
    is left alone.

    Args:
        network: A ``keras.Model`` without its top.
        stored: What the file, or another network, has.
        name: What the network is called.
        origin: Where the stored layers came from.

    Raises:
        WeightsError: If a layer is missing or has another shape; the message lists what is
            needed and what is stored.
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
            "or name the network of this file as --backbone."
        )
    for layer, arrays in found:
        set_weights(layer, [array.read() for array in arrays])


def list_weights(network: Any) -> StoredLayers:
    """List the weights of a network in memory as those of a file are listed."""
    return {
        layer.name: [
            StoredArray("", tuple(weight.shape), partial(keras.ops.convert_to_numpy, weight))
            for weight in layer.weights
        ]
        for layer in network.layers
        if layer.weights
    }


def set_weights(layer: Any, arrays: Sequence[Any]) -> None:
    """Set the weights of a layer, and what it derives from them.

    A Normalization layer computes with a mean and a deviation that it derives from its weights;
    Keras's own ``set_weights`` leaves those as they were.
    """
    layer.set_weights(arrays)
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()


def _list_layers(layers: Iterable[Any], stored: StoredLayers) -> Iterator[Any]:
    """List the layers with weights: the parts of a nested block unless it is stored whole."""
    for layer in layers:
        if hasattr(layer, "layers") and layer.name not in stored:
            yield from _list_layers(layer.layers, stored)
        elif layer.weights:
            yield layer


def _align_names(network: Any, stored: StoredLayers) -> StoredLayers:
    """Rename stored layers whose names depend on what Keras had built before."""
    counted = [
        layer.name for layer in network.layers if layer.weights and is_named_by_counting(layer)
    ]
    bases = {strip_number(name) for name in counted}
    fresh = count_afresh(name for name in stored if strip_number(name) in bases)
    own = {number: name for name, number in count_afresh(counted).items()}
    names = {name: own.get(number, number) for name, number in fresh.items()}
    if CONVNEXT_NORMALIZATION in counted and CONVNEXT_NORMALIZATION not in names.values():
        names |= {
            name: CONVNEXT_NORMALIZATION
            for name in stored
            if name.endswith(CONVNEXT_NORMALIZATION_WITH_TOP)
        }
    return {names.get(name, name): arrays for name, arrays in stored.items()}


def _order(layer: Any, arrays: Sequence[StoredArray]) -> Sequence[StoredArray]:
    """Put arrays that have names in the order of the layer's variables."""
    named = {array.variable: array for array in arrays}
    order = [variable.name for variable in layer.weights]
    return [named[name] for name in order] if named.keys() == set(order) else arrays


def _format(shapes: Iterable[Sequence[int]]) -> str:
    return " + ".join("×".join(map(str, shape)) or "1" for shape in shapes)


def _abridge(names: Sequence[str], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
