"""The frozen network of both jobs."""

import difflib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from nstk.backbones.convolutions import speed_up_convolutions
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.receptive_fields import ReceptiveField, trace_receptive_fields
from nstk.backbones.variants import Edge, Pooling, Precision, prepare_network
from nstk.backbones.weights import digest_weights
from nstk.errors import BackboneError
from nstk.types import KerasLayer, KerasModel


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network with two kinds of output: feature maps (`tap`) and vectors (`embed`).

    Attributes:
        name: Name of the network, as in `backbone_names`.
        model: A non-trainable ``keras.Model`` from images ``(N, H, W, 3)``, float32 in ``[0, 1]``,
            to the last feature map; it includes the preprocessing.
        input_size: Side of the images it was trained on, in pixels.
        source: Origin of the weights, in words.
    """

    name: str
    model: KerasModel
    input_size: int
    source: str

    def __post_init__(self) -> None:
        self.model.trainable = False

    @staticmethod
    def from_preset(name: "str | os.PathLike[str]", **options: Any) -> "Backbone":
        """Load a pretrained network; the same as `load_backbone`.

        Args:
            name: A name from `backbone_names`, or the path of a classifier.
            options: ``weights`` and ``on_progress``, as for `load_backbone`.
        """
        from nstk.backbones.loading import load_backbone

        return load_backbone(name, **options)

    @cached_property
    def taps(self) -> tuple[str, ...]:
        """Names of all layers whose output is a feature map, from the image to the last map."""
        layers = itertools.dropwhile(lambda layer: not _is_convolution(layer), self.model.layers)
        return tuple(layer.name for layer in layers if _is_feature_map(layer))

    @pinned_keras_config()
    def tap(self, names: Sequence[str]) -> KerasModel:
        """Return a model that shares this network's layers and ends at the deepest one named.

        Args:
            names: One or more of `taps`.

        Returns:
            A ``keras.Model`` from images ``(N, H, W, 3)`` to
            ``{name: map (N, H / stride, W / stride, channels)}``.

        Raises:
            BackboneError: If a name is not one of `taps`, or none is given.
        """
        wanted = tuple(dict.fromkeys(names))
        if not wanted:
            raise BackboneError(
                f"no layer of '{self.name}' was named; name one or more of its taps: "
                f"{self._format_taps()}."
            )
        if wanted not in self._tapped:
            outputs = {name: self.model.get_layer(self._check_tap(name)).output for name in wanted}
            self._tapped[wanted] = _freeze(keras.Model(self.model.inputs[0], outputs))
        return self._tapped[wanted]

    @cached_property
    @pinned_keras_config()
    def embed(self) -> KerasModel:
        """A model from images ``(N, H, W, 3)`` to vectors ``(N, D)``.

        The vector is the mean of the last feature map over its positions.
        """
        vectors = keras.layers.GlobalAveragePooling2D(name="embedding")(self.model.outputs[0])
        return _freeze(keras.Model(self.model.inputs[0], vectors))

    def reach(self, name: str) -> int:
        """Distance in pixels that a cell of a layer sees from its center, to the farther side.

        A change of the image farther away cannot change the cell. Layers behind a mean over all
        positions (squeeze-and-excitation) have `WHOLE_IMAGE`.

        Raises:
            BackboneError: If the name is not one of `taps`.
        """
        return self._fields[self._check_tap(name)].reach

    def stride(self, name: str) -> int:
        """Number of pixels between two neighboring cells of a layer.

        Raises:
            BackboneError: If the name is not one of `taps`.
        """
        return self._fields[self._check_tap(name)].stride

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all weights: variable names, shapes and bytes, in the network's order.

        Layer names and running numbers are left out: Keras generates them from what the process
        built before.
        """
        return digest_weights(self.model)

    def prepared(
        self,
        *,
        edge: Edge = "zero",
        pooling: Pooling = "max",
        precision: Precision = "float32",
    ) -> "Backbone":
        """Return the network with another border, pooling or arithmetic.

        Args:
            edge: Padding of the first spatial convolution: ``"zero"`` as trained, or
                ``"replicate"``, the nearest pixel, which avoids artifacts at the border.
            pooling: ``"max"`` as trained, or ``"average"`` (×2) or ``"l2"`` (×0.78 the root of
                the sum of squares) in place of every 2×2 max-pool.
            precision: ``"float32"`` as trained, or ``"bfloat16"``, whose feature maps have eight
                significant bits; weights stay as they are.

        Returns:
            This backbone if nothing changes; otherwise one with new layers, copied weights and the
            same digest, the same one for the same values.

        Raises:
            BackboneError: If a value is unknown, or this network has no such pooling layers.
        """
        if (edge, pooling, precision) == ("zero", "max", "float32"):
            return self
        key = "prepared", edge, pooling, precision
        if key not in self.compiled:
            network = prepare_network(self.model, edge=edge, pooling=pooling, precision=precision)
            speed_up_convolutions(network)
            self.compiled[key] = Backbone(self.name, network, self.input_size, self.source)
        prepared: Backbone = self.compiled[key]
        return prepared

    @cached_property
    def compiled(self) -> dict[object, Any]:
        """What was built and compiled for this network, by what it depends on; it lives as long."""
        return {}

    @cached_property
    def _tapped(self) -> dict[tuple[str, ...], KerasModel]:
        return {}

    @cached_property
    def _fields(self) -> dict[str, ReceptiveField]:
        return trace_receptive_fields(self.model)

    def _check_tap(self, name: str) -> str:
        if name in self.taps:
            return name
        nearest = difflib.get_close_matches(name, self.taps, n=3) or self.taps[:3]
        raise BackboneError(
            f"'{self.name}' has no layer '{name}'; the nearest are {', '.join(nearest)}. "
            f"Choose from its {len(self.taps)} taps: {self._format_taps()}."
        )

    def _format_taps(self) -> str:
        taps = self.taps if len(self.taps) <= 30 else (*self.taps[:10], "…", *self.taps[-10:])
        return ", ".join(taps)


def _freeze(model: KerasModel) -> KerasModel:
    model.trainable = False
    return model


def _is_convolution(layer: KerasLayer) -> bool:
    return any(hasattr(part, "kernel_size") for part in getattr(layer, "layers", [layer]))


def _is_feature_map(layer: KerasLayer) -> bool:
    if isinstance(layer, keras.layers.ZeroPadding2D | keras.layers.Cropping2D):
        return False
    shape = layer.output.shape
    # A height of 1, although that of the image is open: a mean over the image, not a map.
    return len(shape) == 4 and shape[1:3] != (1, 1)


def activated_taps(backbone: Backbone) -> dict[int, list[str]]:
    """List the feature maps after a nonlinearity, by their stride in pixels."""
    taps: dict[int, list[str]] = {}
    for name in backbone.taps:
        if _is_activation(backbone.model.get_layer(name)):
            taps.setdefault(backbone.stride(name), []).append(name)
    return taps


def _is_activation(layer: KerasLayer) -> bool:
    """Whether a layer is a nonlinearity or ends in one."""
    if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.PReLU):
        return True
    activation = getattr(layer, "activation", None)
    return activation is not None and activation.__name__ != "linear"
