"""The networks of keras.applications: built for images of any size, or with downloaded weights."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import sqrt

import keras

from nstk.backbones.applications import Application, Convention
from nstk.backbones.keras_config import is_named_by_counting, pinned_keras_config, renumber_names
from nstk.backbones.listing import PACKAGED
from nstk.errors import DownloadError
from nstk.types import KerasLayer, KerasModel, Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Statistics of ImageNet's training images: red, green and blue in [0, 1] (torchvision)."""

CAFFE_MEAN = (103.939, 116.779, 123.68)
"""The mean that Caffe's VGG subtracts: blue, green and red, 0 to 255."""

TIMEOUT = 20.0
"""Seconds without any data after which a download fails."""

_log = logging.getLogger("nstk")

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
    renumber_layers(network)
    return keras.Model(network.inputs[0], network.outputs[0], name=network.name)


def renumber_layers(network: KerasModel) -> None:
    """Give layers with generated names those of a new process."""
    counted = [layer for layer in network.layers if is_named_by_counting(layer)]
    names = renumber_names(layer.name for layer in counted)
    for layer in counted:
        layer.name = names[layer.name]


def _rebuild_for_any_size(fixed: KerasModel, *, divide_again: bool) -> KerasModel:
    """Rebuild a network whose zero padding was computed for one size.

    "Same" padding depends on the size of each image: k // 2 zeros after a map, and one fewer
    before it if the map's side is even. A convolution can do that itself. A pool does not pad with
    zeros; the map is therefore flipped, padded with k // 2 zeros before it, pooled and flipped
    back. Excess zeros after it fall outside every window.
    """
    before_convolutions, convolutions = _find_padding(fixed, "kernel_size")
    before_pools, pools = _find_padding(fixed, "pool_size")

    def rebuild(layer: KerasLayer) -> KerasLayer:
        config = layer.get_config()
        if layer.name in convolutions:
            config["padding"] = "same"
        elif layer.name in before_pools:
            config["padding"] = [(after, after) for _, after in layer.padding]
        return type(layer).from_config(config)

    def call(layer: KerasLayer, inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
        if layer.name in before_convolutions:
            return inputs
        if layer.name in before_pools:
            return layer(_flip(inputs))
        if layer.name in pools:
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


def _find_padding(network: KerasModel, window: str) -> tuple[set[str], set[str]]:
    """Names of the zero padding before layers with such a window only, and of these layers."""
    pads: set[str] = set()
    padded: set[str] = set()
    for pad in network.layers:
        if isinstance(pad, keras.layers.ZeroPadding2D):
            after = [
                operation
                for operation in network.operations[1:]
                if any(each is pad.output for each in keras.tree.flatten(operation.input))
            ]
            if all(hasattr(operation, window) for operation in after):
                pads.add(pad.name)
                padded.update(operation.name for operation in after)
    return pads, padded


def preprocess(images: Tensor, convention: Convention) -> Tensor:
    """Apply the preprocessing layers of a convention to a symbolic batch of images.

    They have no weights, so freezing, unfreezing and weights files do not affect them.
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


@pinned_keras_config()
def fetch_network(application: Application) -> KerasModel:
    """Build Keras's network with its ImageNet weights.

    Keras keeps the file in its cache and verifies its hash. The network is without its top, for
    its original size.
    """
    _log.info("Fetching the ImageNet weights of %s from keras.applications", application.name)
    side = application.input_size
    try:
        with _timeout(TIMEOUT), _silence():
            return getattr(keras.applications, application.constructor)(
                include_top=False,
                weights="imagenet",
                input_shape=(side, side, 3),
                **application.options,
            )
    except Exception as error:  # Keras reports a failed fetch as a bare Exception.
        reason = " ".join(str(error).split())
        raise DownloadError(
            f"The weights of '{application.name}' cannot be downloaded ({reason}); use "
            f"{' or '.join(f'`backbone={name!r}`' for name in PACKAGED)}, which work offline, or a "
            "local file as `weights`."
        ) from error


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Set a timeout for new connections: Keras's downloads have none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _silence() -> Iterator[None]:
    """Hide Keras's progress bar: standard output is for results."""
    enabled = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if enabled:
            keras.config.enable_interactive_logging()
