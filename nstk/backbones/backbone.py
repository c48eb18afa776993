"""The frozen network that both jobs look through."""

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from nstk.backbones.conventions import pinned_keras_config
from nstk.backbones.digests import digest_weights
from nstk.backbones.receptive_fields import ReceptiveField, trace_receptive_fields
from nstk.backbones.variants import Convolution, Edge, Pooling, Precision, prepare_network
from nstk.errors import BackboneError


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network with two windows: `tap` (named feature maps) and `embed` (vectors).

    Attributes:
        name: What the network is called, as `nstk.load_backbone` takes it.
        model: A non-trainable ``keras.Model`` that takes Images ``(N, H, W, 3)``, float32 in
            ``[0, 1]``, and gives the last feature map; preprocessing is inside.
        input_size: The side in pixels of the images it was trained on.
        source: Where the weights came from, in words.
    """

    name: str
    model: Any
    input_size: int
    source: str

    def __post_init__(self) -> None:
        self.model.trainable = False

    @cached_property
    def taps(self) -> tuple[str, ...]:
        """Names of all layers that give a feature map, from the image to the last map."""
        layers = itertools.dropwhile(lambda layer: not _is_convolution(layer), self.model.layers)
        return tuple(layer.name for layer in layers if _is_feature_map(layer))

    @pinned_keras_config()
    def tap(self, names: Sequence[str]) -> Any:
        """Give a model that shares this network's layers and stops at the deepest one named.

        Args:
            names: Which of `taps` to return.

        Returns:
            A ``keras.Model`` from Images ``(N, H, W, 3)`` to
            ``{name: map (N, H / stride, W / stride, channels)}``.

        Raises:
            BackboneError: If a name is not one of `taps`, or none is given.
        """
        wanted = tuple(dict.fromkeys(names))
        if not wanted:
            raise BackboneError(
                f"No layer of '{self.name}' was named; "
                f"name one or more of its taps: {self._format_taps()}."
            )
        if wanted not in self._tapped:
            outputs = {name: self.model.get_layer(self._check_tap(name)).output for name in wanted}
            self._tapped[wanted] = _freeze(keras.Model(self.model.inputs[0], outputs))
        return self._tapped[wanted]

    @cached_property
    @pinned_keras_config()
    def embed(self) -> Any:
        """A model from Images ``(N, H, W, 3)`` to vectors ``(N, D)``.

        The vector is the mean of the last feature map over its positions.
        """
        vectors = keras.layers.GlobalAveragePooling2D(name="embedding")(self.model.outputs[0])
        return _freeze(keras.Model(self.model.inputs[0], vectors))

    def reach(self, name: str) -> int:
        """Say how far in pixels a layer sees from the middle of its cell, to the farther side.

        A change of the image farther away than this cannot change the cell. Layers behind a
        mean over all positions (squeeze-and-excitation) give `WHOLE_IMAGE`.

        Raises:
            BackboneError: If the name is not one of `taps`.
        """
        return self._fields[self._check_tap(name)].reach

    def stride(self, name: str) -> int:
        """Say how many pixels lie between two neighboring cells of a layer.

        Raises:
            BackboneError: If the name is not one of `taps`.
        """
        return self._fields[self._check_tap(name)].stride

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all weights: variable names, shapes and bytes, in the network's order.

        Names that Keras makes up count what was made earlier in the process, so layer names and
        running numbers stay out of it.
        """
        return digest_weights(self.model)

    def prepared(
        self,
        *,
        edge: Edge = "zero",
        pooling: Pooling = "max",
        precision: Precision = "float32",
        convolution: Convolution = "direct",
    ) -> "Backbone":
        """Give the same network with another way to treat its border, to pool and to compute.

        Args:
            edge: What the first spatial convolution sees outside the image: ``"zero"`` as
                trained, or ``"replicate"``, the nearest pixel, which avoids edge artifacts.
            pooling: ``"max"`` as trained, or ``"average"`` (×2) or ``"l2"`` (×0.78 the root of
                the sum of squares) in place of every 2×2 max-pool.
            precision: ``"float32"`` as trained, or ``"bfloat16"``, whose feature maps have eight
                significant bits; weights stay as they are.
            convolution: ``"direct"``, or ``"winograd"``, which takes a fourth of the
                multiplications where a float32 convolution suits it (`nstk.backbones.winograd`).

        Returns:
            This backbone if nothing changes; else one with fresh layers, copied weights and the
            same digest.

        Raises:
            BackboneError: If the word is unknown, or this network has no such pools.
        """
        if (edge, pooling, precision, convolution) == ("zero", "max", "float32", "direct"):
            return self
        network = prepare_network(
            self.model, edge=edge, pooling=pooling, precision=precision, convolution=convolution
        )
        return Backbone(self.name, network, self.input_size, self.source)

    @cached_property
    def _tapped(self) -> dict[tuple[str, ...], Any]:
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


def _freeze(model: Any) -> Any:
    model.trainable = False
    return model


def _is_convolution(layer: Any) -> bool:
    return any(hasattr(part, "kernel_size") for part in getattr(layer, "layers", [layer]))


def _is_feature_map(layer: Any) -> bool:
    if isinstance(layer, keras.layers.ZeroPadding2D | keras.layers.Cropping2D):
        return False
    shape = layer.output.shape
    # A height of 1 where the image's is open is a mean over the image, not a map of it.
    return len(shape) == 4 and shape[1:3] != (1, 1)
