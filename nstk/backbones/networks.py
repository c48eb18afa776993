"""Empty networks of keras.applications that take Images of any size."""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any

import keras

from nstk.backbones.applications import Application
from nstk.backbones.conventions import pinned_keras_config
from nstk.backbones.layer_names import count_afresh, is_named_by_counting
from nstk.backbones.preprocessing import STD, preprocess

_turn_over = partial(keras.ops.flip, axis=(1, 2))


@pinned_keras_config()
def build_network(application: Application) -> Any:
    """Build one network of keras.applications, without its classification top.

    Keras's own network is built for images of any size, with three changes, none of them to the
    result at its natural size:

    - Zeros that Keras counts out for one fixed size are counted out for each image.
    - Layers that Keras names by counting get the names of a fresh process, so that taps and
      weights files do not depend on what was built before.
    - EfficientNet gets the rescaling that Keras adds only where it downloads the weights itself.

    Args:
        application: A row of the table.

    Returns:
        A ``keras.Model`` with freshly initialized weights, from Images ``(N, H, W, 3)`` to the
        last feature map; preprocessing is inside.
    """
    family = application.family
    side = application.input_size if family.pads_by_size else None
    image = keras.Input((side, side, 3), name="image")
    network = getattr(keras.applications, application.constructor)(
        include_top=False,
        weights=None,
        input_tensor=preprocess(image, family.convention),
        **application.options,
    )
    if family.pads_by_size:
        network = _rebuild_for_any_size(network, divide_again=family.divides_again)
    counted = [layer for layer in network.layers if is_named_by_counting(layer)]
    names = count_afresh(layer.name for layer in counted)
    for layer in counted:
        layer.name = names[layer.name]
    return keras.Model(network.inputs[0], network.outputs[0], name=network.name)


def _rebuild_for_any_size(fixed: Any, *, divide_again: bool) -> Any:
    """Build a network anew whose zero padding Keras counted out for one size."""
    sized = _find_sized_padding(fixed)

    def rebuild(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in sized.convolutions:
            config["padding"] = "same"
        elif layer.name in sized.pads:
            config["padding"] = [(after, after) for _, after in layer.padding]
        return type(layer).from_config(config)

    def call(layer: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name in sized.superfluous:
            return inputs
        if layer.name in sized.pads:
            return layer(_turn_over(inputs))
        if layer.name in sized.pools:
            return _turn_over(layer(inputs))
        maps = layer(inputs, *args, **kwargs)
        if divide_again and isinstance(layer, keras.layers.Normalization):
            scale = [1 / sqrt(std) for std in STD]
            return keras.layers.Rescaling([[scale]], name="second_division")(maps)
        return maps

    image = keras.Input((None, None, 3), name="image")
    return keras.models.clone_model(
        fixed,
        input_tensors=keras.tree.map_structure(lambda _: image, fixed.input),
        clone_function=rebuild,
        call_function=call,
    )


@dataclass(frozen=True)
class _SizedPadding:
    """Zero padding that Keras counted out for one input size, and what stands behind it.

    "Same" padding follows the size of each image: it puts k // 2 zeros after a map and one
    fewer before it where the map's side is even. A convolution can do that itself. A pool would
    pad with nothing instead of zeros, so the map is turned over, where what was last comes
    first: k // 2 zeros before it, and those too many behind it fall outside every window.
    """

    superfluous: frozenset[str]
    convolutions: frozenset[str]
    pads: frozenset[str]
    pools: frozenset[str]


def _find_sized_padding(network: Any) -> _SizedPadding:
    followers: dict[int, list[Any]] = defaultdict(list)
    for operation in network.operations[1:]:
        for tensor in keras.tree.flatten(operation.input):
            followers[id(tensor)].append(operation)
    padded = {
        layer.name: followers[id(layer.output)]
        for layer in network.layers
        if isinstance(layer, keras.layers.ZeroPadding2D)
    }
    convolved = {n: f for n, f in padded.items() if all(hasattr(o, "kernel_size") for o in f)}
    pooled = {n: f for n, f in padded.items() if all(hasattr(o, "pool_size") for o in f)}
    return _SizedPadding(
        superfluous=frozenset(convolved),
        convolutions=frozenset(o.name for f in convolved.values() for o in f),
        pads=frozenset(pooled),
        pools=frozenset(o.name for f in pooled.values() for o in f),
    )
