"""Building the networks of keras.applications, without weights, for images of any size."""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from math import sqrt

import keras

from nstk.backbones.applications import Application, Convention
from nstk.backbones.keras_config import is_named_by_counting, pinned_keras_config, renumber_names
from nstk.types import KerasLayer, KerasModel, Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Statistics of ImageNet's training images: red, green and blue in [0, 1] (torchvision)."""

CAFFE_MEAN = (103.939, 116.779, 123.68)
"""The mean that Caffe's VGG subtracts: blue, green and red, 0 to 255."""

_flip = partial(keras.ops.flip, axis=(1, 2))


@pinned_keras_config()
def build_network(application: Application) -> KerasModel:
    """Build one network of keras.applications, without its classification top.

    Keras's network is built for images of any size, with three changes that do not affect the
    result at its original size:

    - Zero padding that Keras computes for one fixed size is computed for each image.
    - Generated layer names are those of a new process, so that taps and weights files do not depend
      on networks built before.
    - EfficientNet gets the rescaling that Keras adds only when it downloads the weights itself.

    Args:
        application: A row of the table.

    Returns:
        A ``keras.Model`` with newly initialized weights, from images ``(N, H, W, 3)`` to the
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
    names = renumber_names(layer.name for layer in counted)
    for layer in counted:
        layer.name = names[layer.name]
    return keras.Model(network.inputs[0], network.outputs[0], name=network.name)


def _rebuild_for_any_size(fixed: KerasModel, *, divide_again: bool) -> KerasModel:
    """Rebuild a network whose zero padding was computed for one size."""
    sized = _find_sized_padding(fixed)

    def rebuild(layer: KerasLayer) -> KerasLayer:
        config = layer.get_config()
        if layer.name in sized.convolutions:
            config["padding"] = "same"
        elif layer.name in sized.pads:
            config["padding"] = [(after, after) for _, after in layer.padding]
        return type(layer).from_config(config)

    def call(layer: KerasLayer, inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
        if layer.name in sized.superfluous:
            return inputs
        if layer.name in sized.pads:
            return layer(_flip(inputs))
        if layer.name in sized.pools:
            return _flip(layer(inputs))
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
    """Layers whose zero padding Keras computed for one input size, and the layers after them.

    "Same" padding depends on the size of each image: k // 2 zeros after a map, and one fewer
    before it if the map's side is even. A convolution can do that itself. A pool does not pad with
    zeros; the map is therefore flipped, padded with k // 2 zeros before it, pooled and flipped
    back. Excess zeros after it fall outside every window.
    """

    superfluous: frozenset[str]
    convolutions: frozenset[str]
    pads: frozenset[str]
    pools: frozenset[str]


def _find_sized_padding(network: KerasModel) -> _SizedPadding:
    followers: dict[int, list[KerasLayer]] = defaultdict(list)
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


def preprocess(images: Tensor, convention: Convention) -> Tensor:
    """Apply the preprocessing layers of a convention to a symbolic batch of images.

    They have no weights, so freezing, unfreezing and weights files do not affect them.

    Args:
        images: A Keras tensor ``(N, H, W, 3)``, RGB in ``[0, 1]``.
        convention: The input that the network expects.

    Returns:
        A Keras tensor of the same shape.
    """
    match convention:
        case "symmetric":
            scale, offset = [2.0] * 3, [-1.0] * 3
        case "standardized":
            scale = [1 / std for std in STD]
            offset = [-mean / std for mean, std in zip(MEAN, STD, strict=True)]
        case "caffe":
            images = keras.ops.flip(images, axis=-1)
            scale, offset = [255.0] * 3, [-mean for mean in CAFFE_MEAN]
        case "inside":
            scale, offset = [255.0] * 3, [0.0] * 3
    # One number per color as (1, 1, 3): Keras transposes a list of three if it is set to channels
    # first at the time of the call.
    return keras.layers.Rescaling([[scale]], offset=[[offset]], name="preprocessing")(images)
