"""A copy of a network whose last blocks can learn, cut where it is opened."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.backbones.blocks import Block, find_blocks, parts_of
from nstk.backbones.conventions import pinned_keras_config
from nstk.backbones.variants import Precision, prepare_network
from nstk.features.networks import BLOCKS, STATISTICS, channel_moments, choose_statistics_taps
from nstk.heads.head import Head

Arrays = list[npt.NDArray[np.float32]]


class PartiallyFrozenModel:
    """A network in two halves: below the border it stays as it is, above it learns.

    Batch normalization stays as it is everywhere: it is called in inference mode, and none of its
    four kinds of weights is among those that learn.

    Args:
        backbone: The network; it is copied, not changed.
        blocks: How many of its last blocks are opened.
        features: What the head sees, a key of `BLOCKS`.
        head: The head to start from.
        precision: What convolutions run in; weights stay float32.

    Attributes:
        blocks: The blocks that are opened, from the border on.
        groups: The variables that learn, the head's first, then those of the last block, and so on
            towards the image.
    """

    @pinned_keras_config()
    def __init__(
        self, backbone: Backbone, blocks: int, features: str, head: Head, precision: Precision
    ) -> None:
        self._backbone = backbone
        self._network = copy_network(backbone, precision)
        every = find_blocks(self._network)
        self.blocks = every[-blocks:]
        self._head = keras.layers.Dense(head.kernel.shape[1], name="head")
        self._head.build((None, len(head.kernel)))
        self._head.set_weights([head.kernel, head.bias])
        frozen = {layer.name for block in every[:-blocks] for layer in block.layers}
        taps = choose_statistics_taps(backbone) if STATISTICS in BLOCKS[features] else ()
        maps = {name: self._network.get_layer(name).output for name in taps}
        given = self._network.inputs[0]
        border, last = self.blocks[0].input, self._network.outputs[0]
        below = [maps[name] for name in taps if name in frozen]
        above = [maps[name] for name in taps if name not in frozen]
        self._lower = keras.Model(given, [border, *below]) if blocks < len(every) else None
        self._upper = keras.Model(border, [last, *above])
        self.groups = [self._head.trainable_variables, *map(_open, reversed(self.blocks))]

    @property
    def variables(self) -> list[Any]:
        """The variables that learn."""
        return [variable for group in self.groups for variable in group]

    def see(self, squares: Any) -> tuple[Any, Any]:
        """Look at squares up to the border.

        Returns:
            The maps there ``(n, h, w, c)``, and those features that come from below it,
            ``(n, d)``; d may be 0.
        """
        seen = self._lower(squares, training=False) if self._lower else squares
        border, *maps = keras.tree.flatten(seen)
        nothing = keras.ops.zeros((keras.ops.shape(squares)[0], 0), "float32")
        return border, _join([nothing, *_describe(maps)])

    def describe(self, border: Any, features: Any) -> Any:
        """Go on from the border to the features that the head sees, float32 ``(n, D)``."""
        last, *maps = keras.tree.flatten(self._upper(border, training=False))
        pooled = keras.ops.mean(keras.ops.cast(last, "float32"), axis=(1, 2))
        return _join([pooled, features, *_describe(maps)])

    def judge(self, features: Any) -> Any:
        """Logits ``(n, C)`` of features ``(n, D)``."""
        return self._head(features)

    def read(self) -> Arrays:
        """What has been learned until now."""
        return [keras.ops.convert_to_numpy(variable) for variable in self.variables]

    def write(self, values: Arrays) -> None:
        """Go back to what `read` gave."""
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def close(self) -> tuple[Backbone, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Give the network as it is now, in float32, and the kernel and the bias of its head."""
        network = copy_network(self._backbone, "float32")
        for old, new in zip(self._network.layers, network.layers, strict=True):
            new.set_weights(old.get_weights())
        old = self._backbone
        kernel, bias = self._head.get_weights()
        return Backbone(old.name, network, old.input_size, old.source), (kernel, bias)


def copy_network(backbone: Backbone, precision: Precision) -> Any:
    """The same network with layers and weights of its own."""
    return prepare_network(backbone.model, edge="zero", pooling="max", precision=precision)


def normalization_weights(network: Any) -> Arrays:
    """All weights of all batch normalisations, of which not a bit may change."""
    return [
        weight
        for layer in network.layers
        for part in parts_of(layer)
        if isinstance(part, keras.layers.BatchNormalization)
        for weight in part.get_weights()
    ]


def _open(block: Block) -> list[Any]:
    """Let a block learn; give the variables that do."""
    learning = []
    for layer in (part for each in block.layers for part in parts_of(each)):
        if not isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = True
            learning += layer.trainable_variables
    return learning


def _describe(maps: Sequence[Any]) -> list[Any]:
    return [moment for each in maps for moment in channel_moments(keras.ops.cast(each, "float32"))]


def _join(rows: list[Any]) -> Any:
    return keras.ops.concatenate(rows, axis=1)
