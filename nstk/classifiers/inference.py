"""The network of a classifier: an extractor with a head, and inference in two stages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.keras_config import is_named_by_counting, pinned_keras_config, renumber_names
from nstk.features.crops import CROPS, CropArray, crop_levels
from nstk.features.executors import NetworkExecutor
from nstk.features.networks import SQUARE
from nstk.heads.head import Head
from nstk.types import Array, KerasModel


@pinned_keras_config()
def attach_head(extractor: KerasModel, head: Head) -> KerasModel:
    """Build the classifier: the layers of an extractor, then the head and its link."""
    dense = keras.layers.Dense(head.kernel.shape[1], name="head")
    logits = dense(extractor.output)
    dense.set_weights([head.kernel, head.bias])
    probabilities = head.link.layer()(logits)
    classifier = keras.Model(extractor.inputs[0], probabilities, name="classifier")
    # Keras numbers operations by what was built before; equal classifiers have to be equal bytes.
    counted = [each for each in classifier.operations if is_named_by_counting(each)]
    names = renumber_names(each.name for each in counted)
    for each in counted:
        each.name = names[each.name]
    return classifier


@dataclass(frozen=True, eq=False)
class InferencePipeline:
    """A network in two stages: one image to its crops, and the crops of many images to outputs.

    Crops of images of any size have one shape, and so they can pass through the network as a batch.
    """

    model: KerasModel

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the crops of an image: ``(size, size, 3)`` or ``(crops, size, size, 3)``."""
        return tuple(self.model.get_layer(SQUARE).output.shape[1:])

    @cached_property
    @pinned_keras_config()
    def prepare(self) -> Callable[[Array], CropArray]:
        """Function from one image ``(H, W, 3)``, whole numbers 0 to 255, to its crops; thread-safe.

        `nstk.features.crops` is faster than the network's own layers. What the layers compute
        counts, so both crop two noisy images first, and if they differ the layers are used.
        """
        shape = self.shape
        network = keras.Model(self.model.inputs[0], self.model.get_layer(SQUARE).output)
        chosen = CROPS[: shape[0]] if len(shape) == 4 else CROPS[:1]

        def crop(levels: Array) -> CropArray:
            crops = np.empty(shape, np.float32)
            crop_levels(levels, shape[-2], chosen, out=crops.reshape(-1, *shape[-3:]))
            return crops

        if all(
            np.allclose(crop(noise), network(noise[np.newaxis], training=False)[0], atol=1e-4)
            for noise in _draw_noise(shape[-2])
        ):
            return crop
        compiled = tf.function(
            lambda images: network(images, training=False),
            input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)],
            autograph=False,
        ).get_concrete_function()

        def run_layers(levels: Array) -> CropArray:
            crops: CropArray = compiled(tf.constant(levels[np.newaxis], tf.float32))[0].numpy()
            return crops

        return run_layers

    @cached_property
    @pinned_keras_config()
    def executors(self) -> NetworkExecutor:
        """What runs the network from crops to outputs."""
        return NetworkExecutor(
            keras.Model(self.model.get_layer(SQUARE).output, self.model.outputs[0])
        )

    def forward(self, crops: CropArray, executor: str = "tensorflow") -> npt.NDArray[np.float32]:
        """Pass crops ``(N, *shape)`` through the network; returns its outputs, ``(N, …)``."""
        [outputs] = self.executors.run(executor)(crops)
        return outputs


def _draw_noise(size: int) -> Iterator[npt.NDArray[np.float32]]:
    """An image larger than its crop will be, and a smaller one."""
    generator = np.random.default_rng(0)
    for height, width in ((2 * size + 7, 3 * size), (size, size // 2 + 3)):
        yield generator.integers(0, 256, (height, width, 3)).astype(np.float32)
