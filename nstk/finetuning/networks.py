"""The networks of this room: pictures of any size in, features or probabilities out.

The classifier is one plain Keras graph

    picture → scale → samples → square → backbone → features → head → probabilities

made of Keras's own layers, so it loads where nstk is not installed. Fitting looks at the same
graph up to ``features``: a head is fitted on exactly what the delivered classifier computes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.errors import SettingsError
from nstk.finetuning.head import Head

SQUARE = "square"
FEATURES = "features"

# 3 × 224: beyond it more samples cost time and hardly change the features, even of large photos.
_SAMPLED_SIDE = 672


def build_extractor(backbone: Backbone, size: int) -> Any:
    """Build the network from pictures to feature vectors.

    Values 0 to 255 are scaled first: a resize of uint8 would round, and differently in eager
    and compiled mode. Then the largest centred square is sampled bilinearly at k × ``size`` and
    every k × k samples are averaged. That is an antialiased resize made of operations that
    TFLite and ONNX know; Keras's own ``antialias=True`` becomes one that they do not.

    Args:
        backbone: The frozen network.
        size: Side in pixels of the square that the network sees.

    Returns:
        A ``keras.Model`` from uint8 or float ``(N, H, W, 3)``, values 0 to 255, to float32
        ``(N, D)``.

    Raises:
        SettingsError: If the network cannot see a square this small.
    """
    layers = keras.layers
    samples = max(2, -(-_SAMPLED_SIDE // size))
    picture = keras.Input((None, None, 3), name="picture")
    scaled = layers.Rescaling(1 / 255, name="scale")(picture)
    side = samples * size
    sampled = layers.Resizing(side, side, crop_to_aspect_ratio=True, name="samples")(scaled)
    square = layers.AveragePooling2D(samples, name=SQUARE)(sampled)
    network = keras.Model(backbone.model.inputs[0], backbone.model.outputs[0], name="backbone")
    network.trainable = False
    try:
        # Keras's resizing layers would switch everything behind them to training mode.
        maps = network(square, training=False)
    except ValueError as error:
        raise SettingsError(
            f"--size is {size}, too small for '{backbone.name}'; "
            f"its own is {backbone.input_size}, choose one nearer to it."
        ) from error
    features = layers.GlobalAveragePooling2D(name=FEATURES)(maps)
    return keras.Model(picture, features, name="extractor")


def attach_head(extractor: Any, head: Head) -> Any:
    """Build the classifier: the extractor's layers, then the head and a softmax.

    Args:
        extractor: What `build_extractor` gave.
        head: The head fitted on its features.

    Returns:
        A ``keras.Model`` from uint8 or float ``(N, H, W, 3)``, values 0 to 255, to
        probabilities, float32 ``(N, C)``.
    """
    dense = keras.layers.Dense(head.kernel.shape[1], name="head")
    logits = dense(extractor.output)
    dense.set_weights([head.kernel, head.bias])
    softmax = keras.layers.Softmax(dtype="float32", name="probabilities")
    return keras.Model(extractor.inputs[0], softmax(logits), name="classifier")


@dataclass(frozen=True, eq=False)
class Passage:
    """A network cut at its square: the way of one picture to it, and of many squares from it.

    Pictures of different sizes meet as squares of one size, and can go on as a batch.

    Attributes:
        model: An extractor or a classifier.
    """

    model: Any

    @cached_property
    def prepare(self) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
        """Compiled: one picture ``(H, W, 3)``, values 0 to 255, to its square; thread-safe."""
        network = keras.Model(self.model.inputs[0], self.model.get_layer(SQUARE).output)
        compiled = tf.function(
            lambda pictures: network(pictures, training=False),
            input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)],
        ).get_concrete_function()
        return lambda picture: compiled(tf.constant(picture[np.newaxis]))[0].numpy()

    @cached_property
    def finish(self) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
        """Compiled: squares ``(N, size, size, 3)`` to the network's output, ``(N, …)``."""
        square = self.model.get_layer(SQUARE).output
        network = keras.Model(square, self.model.outputs[0])
        compiled = tf.function(
            lambda squares: network(squares, training=False),
            input_signature=[tf.TensorSpec(square.shape, tf.float32)],
        ).get_concrete_function()
        return lambda squares: compiled(tf.constant(squares)).numpy()
