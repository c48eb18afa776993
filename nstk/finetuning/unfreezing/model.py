"""A copy of a network whose last blocks can learn, split where they begin."""

from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.backbones.blocks import Block, find_blocks, parts_of
from nstk.backbones.convolutions import speed_up_convolutions
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.variants import Precision, prepare_network
from nstk.features.networks import BLOCKS, STATISTICS, channel_moments, choose_statistics_taps
from nstk.heads.head import Head
from nstk.types import KerasModel, Tensor, Variable

Arrays = list[npt.NDArray[np.float32]]


class PartiallyFrozenModel:
    """A network and a head: frozen below the split point, trainable above it.

    Batch normalization is frozen everywhere: it runs in inference mode, and none of its four
    kinds of weights is trainable. The trainable variables are in ``groups``: those of the head, of
    the last block, and so on toward the image.
    """

    @pinned_keras_config()
    def __init__(
        self, backbone: Backbone, depth: int, features: str, head: Head, precision: Precision
    ) -> None:
        self._backbone = backbone
        self._network = copy_network(backbone, precision)
        every = find_blocks(self._network)
        blocks = every[-depth:]
        self._head = keras.layers.Dense(head.kernel.shape[1], name="head")
        self._head.build((None, len(head.kernel)))
        self._head.set_weights([head.kernel, head.bias])
        frozen = {layer.name for block in every[:-depth] for layer in block.layers}
        taps = choose_statistics_taps(backbone) if STATISTICS in BLOCKS[features] else ()
        maps = {name: self._network.get_layer(name).output for name in taps}
        image, last = self._network.inputs[0], self._network.outputs[0]
        split = blocks[0].input
        below = [maps[name] for name in taps if name in frozen]
        above = [maps[name] for name in taps if name not in frozen]
        self._lower = keras.Model(image, [split, *below]) if depth < len(every) else None
        self._upper = keras.Model(split, [last, *above])
        speed_up_convolutions(self._upper)
        self.groups = [self._head.trainable_variables, *map(_unfreeze, reversed(blocks))]

    @property
    def variables(self) -> list[Variable]:
        return [variable for group in self.groups for variable in group]

    def activations(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The maps at the split point ``(n, h, w, c)``, and the features ``(n, d)`` from below."""
        outputs = self._lower(crops, training=False) if self._lower else crops
        split, *maps = keras.tree.flatten(outputs)
        empty = keras.ops.zeros((keras.ops.shape(crops)[0], 0), "float32")
        return split, keras.ops.concatenate([empty, *_moments(maps)], axis=1)

    def features(self, maps: Tensor, below: Tensor) -> Tensor:
        """Run the trainable part: from what `activations` returned to features ``(n, D)``."""
        last, *maps = keras.tree.flatten(self._upper(maps, training=False))
        pooled = keras.ops.mean(keras.ops.cast(last, "float32"), axis=(1, 2))
        return keras.ops.concatenate([pooled, below, *_moments(maps)], axis=1)

    def logits(self, features: Tensor) -> Tensor:
        """Logits ``(n, C)`` of features ``(n, D)``."""
        return self._head(features)

    def get_weights(self) -> Arrays:
        return [keras.ops.convert_to_numpy(variable) for variable in self.variables]

    def set_weights(self, values: Arrays) -> None:
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def to_backbone(self) -> tuple[Backbone, Arrays]:
        """The network as it is now, in float32, and the kernel and the bias of its head."""
        network = copy_network(self._backbone, "float32")
        for old, new in zip(self._network.layers, network.layers, strict=True):
            new.set_weights(old.get_weights())
        old = self._backbone
        return Backbone(old.name, network, old.input_size, old.source), self._head.get_weights()


def copy_network(backbone: Backbone, precision: Precision) -> KerasModel:
    """The same network with layers and weights of its own."""
    return prepare_network(backbone.model, edge="zero", pooling="max", precision=precision)


def normalization_weights(network: KerasModel) -> Arrays:
    """All weights of all batch normalizations; unfreezing must not change a bit of them."""
    return [
        weight
        for layer in network.layers
        for part in parts_of(layer)
        if isinstance(part, keras.layers.BatchNormalization)
        for weight in part.get_weights()
    ]


def _unfreeze(block: Block) -> list[Variable]:
    """Make a block trainable, and return its trainable variables."""
    variables = []
    for layer in (part for each in block.layers for part in parts_of(each)):
        if not isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = True
            variables += layer.trainable_variables
    return variables


def _moments(maps: Sequence[Tensor]) -> list[Tensor]:
    return [moment for each in maps for moment in channel_moments(keras.ops.cast(each, "float32"))]
