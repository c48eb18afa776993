"""The compiled functions of one stage of a network, applied to one tile at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf

from nstk.backbones.stages import Stage
from nstk.stylization.losses import layer_sums
from nstk.stylization.statistics import Statistics
from nstk.types import CompiledFunction, FeatureMaps, Tensor


@dataclass(frozen=True, eq=False)
class StageFunctions:
    """The functions of a stage, compiled once for tiles of any size.

    In their signatures, ``tile`` is the part of the stage's input that a tile reads, ``slices``
    the place of its own cells in every output (`Tile.own_slices`), ``targets`` the content's
    feature maps there by layer, and ``guides`` the guides there by style layer.

    Attributes:
        stage: A part of the network.
        style_layers: The style layers.
        content_layers: The layers with content targets.
        guided: For each region, whether it has guides.
    """

    stage: Stage
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    guided: tuple[bool, ...]

    @cached_property
    def outputs(self) -> CompiledFunction:
        """``(tile, slices)`` to the tile's own cells of every output, by name."""
        return tf.function(self._outputs, input_signature=self._signature[:2], autograph=False)

    @cached_property
    def sums(self) -> CompiledFunction:
        """``(tile, slices, targets, guides)`` to style sums, content sums and the next input."""
        return tf.function(self._sums, input_signature=self._signature, autograph=False)

    @cached_property
    def vjp(self) -> CompiledFunction:
        """``(tile, slices, targets, guides, gradients, following)`` to the gradient of the tile.

        ``gradients`` are those of the flat sums; ``following`` holds that of the next input, if
        there is one.
        """
        style, content, following = self.sums.get_concrete_function().structured_outputs
        gradients = [tf.TensorSpec(sums.shape, sums.dtype) for sums in _flatten(style, content)]
        last = [] if following is None else [tf.TensorSpec(following.shape, following.dtype)]
        signature = [*self._signature, gradients, last]
        return tf.function(self._vjp, input_signature=signature, autograph=False)

    def _outputs(self, tile: Tensor, slices: Mapping[str, Tensor]) -> dict[str, Tensor]:
        maps = self.stage.model(tile, training=False)
        return {name: _crop(maps[name], bounds) for name, bounds in slices.items()}

    def _sums(
        self,
        tile: Tensor,
        slices: Mapping[str, Tensor],
        targets: FeatureMaps,
        guides: Mapping[str, Sequence[Tensor]],
    ) -> tuple[Mapping[str, Sequence[Statistics]], dict[str, Tensor], Tensor | None]:
        maps = self._outputs(tile, slices)
        taps = {name: maps[name] for name in self.stage.taps}
        style, content = layer_sums(taps, self._align_guides(guides), targets)
        return style, content, maps.get(str(self.stage.following))

    def _vjp(
        self,
        tile: Tensor,
        slices: Mapping[str, Tensor],
        targets: FeatureMaps,
        guides: Mapping[str, Sequence[Tensor]],
        gradients: Sequence[Tensor],
        following: Sequence[Tensor],
    ) -> Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tile)
            style, content, next_map = self._sums(tile, slices, targets, guides)
        outputs = [*_flatten(style, content), *([next_map] if following else [])]
        return tape.gradient(outputs, tile, output_gradients=[*gradients, *following])

    def _align_guides(
        self, guides: Mapping[str, Sequence[Tensor]]
    ) -> dict[str, list[Tensor | None]]:
        """One guide for every region, None for a region without guides."""
        aligned = {}
        for name, planes in guides.items():
            remaining = iter(planes)
            aligned[name] = [next(remaining) if guided else None for guided in self.guided]
        return aligned

    @cached_property
    def _signature(self) -> list[object]:
        source, outputs = self.stage.model.inputs[0], self.stage.model.output
        planes = [tf.TensorSpec([None, None], tf.float32)] * sum(self.guided)
        style = [name for name in self.stage.taps if name in self.style_layers]
        content = [name for name in self.stage.taps if name in self.content_layers]
        return [
            _map_spec(source),
            {name: tf.TensorSpec([4], tf.int32) for name in outputs},
            {name: _map_spec(outputs[name]) for name in content},
            {name: list(planes) for name in style},
        ]


def _crop(maps: Tensor, bounds: Tensor) -> Tensor:
    top, bottom, left, right = tf.unstack(bounds)
    return tf.slice(maps, [0, top, left, 0], [1, bottom - top, right - left, maps.shape[-1]])


def _flatten(
    style: Mapping[str, Sequence[Statistics]], content: Mapping[str, Tensor]
) -> list[Tensor]:
    return list(tf.nest.flatten((style, content)))


def _map_spec(tensor: Tensor) -> object:
    return tf.TensorSpec([1, None, None, tensor.shape[-1]], tensor.dtype)
