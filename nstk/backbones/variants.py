"""Variants of a network: another border, pooling or arithmetic."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Literal, get_args

import keras

from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.weights import set_weights
from nstk.errors import BackboneError
from nstk.types import KerasLayer, KerasModel, Tensor

Edge = Literal["zero", "replicate"]
Pooling = Literal["max", "average", "l2"]
Precision = Literal["float32", "bfloat16"]

AVERAGE_SCALE = 2.0
L2_SCALE = 0.78
"""Factors that match the activations to those of max-pooling (crowsonkb 2021)."""


def check_variant(edge: str, pooling: str, precision: str) -> None:
    """Refuse unknown values."""
    for name, value, choices in (
        ("edge", edge, get_args(Edge)),
        ("pooling", pooling, get_args(Pooling)),
        ("precision", precision, get_args(Precision)),
    ):
        if value not in choices:
            raise BackboneError(f"`{name}` is {value!r}; choose one of: {', '.join(choices)}.")


@pinned_keras_config()
def prepare_network(
    model: KerasModel,
    *,
    edge: Edge,
    pooling: Pooling,
    precision: Precision = "float32",
) -> KerasModel:
    """Rebuild a network with new layers, copied weights and the requested variants."""
    check_variant(edge, pooling, precision)
    pools = _find_pools(model) if pooling != "max" else frozenset()
    if pooling != "max" and not pools:
        raise BackboneError(
            f"`pooling` is {pooling!r}, but '{model.name}' has no 2×2 max-pool to replace; use "
            "`pooling='max'` or a VGG network."
        )
    padding = _border_padding(model) if edge == "replicate" else {}
    halved = from_first_convolution(model) if precision == "bfloat16" else frozenset()

    def call(layer: KerasLayer, inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
        if layer.name in padding:
            inputs = replicate_border(inputs, padding[layer.name])
            if isinstance(layer, keras.layers.ZeroPadding2D):
                return inputs
        if layer.name in pools:
            return _pool(inputs, pooling, layer.name)
        return layer(inputs, *args, **kwargs)

    image = keras.Input(model.inputs[0].shape[1:], name="image")
    network = keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(lambda _: image, model.input),
        clone_function=partial(_rebuild, padding=padding, halved=halved),
        call_function=call,
    )
    _copy_weights(model, network)
    return network


def _rebuild(
    layer: KerasLayer,
    *,
    padding: Mapping[str, object],
    halved: frozenset[str],
) -> KerasLayer:
    config = layer.get_config()
    if layer.name in halved:
        config["dtype"] = "mixed_bfloat16"
    if layer.name in padding and not isinstance(layer, keras.layers.ZeroPadding2D):
        config["padding"] = "valid"
    return type(layer).from_config(config)


def _copy_weights(source: KerasModel, target: KerasModel) -> None:
    for layer in target.layers:
        if layer.weights:
            set_weights(layer, source.get_layer(layer.name).get_weights())


def replicate_border(maps: Tensor, padding: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    """Pad maps with copies of their outermost cells."""
    # A mirror of depth one repeats the outermost cell, so it is applied once per cell.
    for ring in range(max(max(pair) for pair in padding)):
        widths = [tuple(int(cells > ring) for cells in pair) for pair in padding]
        maps = keras.ops.pad(maps, ((0, 0), *widths, (0, 0)), mode="symmetric")
    return maps


def from_first_convolution(model: KerasModel) -> frozenset[str]:
    """Names of the first convolution and of all layers after it."""
    layers = itertools.dropwhile(lambda layer: not hasattr(layer, "kernel_size"), model.layers)
    return frozenset(layer.name for layer in layers)


def _find_pools(model: KerasModel) -> frozenset[str]:
    """Names of the 2×2 max-pools."""
    return frozenset(
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.MaxPooling2D)
        and tuple(layer.pool_size) == tuple(layer.strides) == (2, 2)
        and layer.padding == "valid"
    )


def _border_padding(model: KerasModel) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
    """Find the layer that pads the first spatial convolution, and its padding."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return {layer.name: layer.padding}
        kernel = getattr(layer, "kernel_size", (1, 1))
        if max(kernel) > 1:
            if layer.padding != "same":
                return {}
            rows, columns = map(_same_padding, kernel, layer.strides)
            return {layer.name: (rows, columns)}
    return {}


def _same_padding(kernel: int, step: int) -> tuple[int, int]:
    """Number of cells that "same" padding adds before and after a map of even size.

    For a strided kernel, step − 1 more cells after the map give the same output size for odd sizes.
    """
    before = max(kernel - step, 0) // 2
    return before, kernel - 1 - before


def _pool(maps: Tensor, pooling: Pooling, name: str) -> Tensor:
    policy = "mixed_bfloat16" if maps.dtype == "bfloat16" else None
    scale = partial(keras.layers.Rescaling, name=name, dtype=policy)
    average = partial(keras.ops.average_pool, pool_size=(2, 2), strides=(2, 2))
    if pooling == "average":
        return scale(AVERAGE_SCALE)(average(maps))
    # √Σx² = 2·√mean(x²) over four cells; ε keeps the gradient of the root finite at zero.
    mean_of_squares = average(keras.ops.square(maps)) + keras.config.epsilon()
    return scale(2 * L2_SCALE)(keras.ops.sqrt(mean_of_squares))
