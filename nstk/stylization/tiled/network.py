"""A network applied to a large image tile by tile, with exactly the result of the whole image.

The network is cut into stages at its narrowest places (`nstk.backbones.stages`). Each stage is
applied to one tile after another; a tile reads as large a halo as its own cells depend on. The
input of the next stage is kept, in tiles. On the backward pass every tile is computed again, and
the gradient of its own cells is added to all cells it has read. Every cell belongs to exactly one
tile, so the sum over the tiles is the gradient of the whole image, not an approximation.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.stages import Stage, cut_network
from nstk.stylization.losses import layer_sums
from nstk.stylization.statistics import Statistics
from nstk.stylization.tiled.tiles import Tile, TiledMap, split_map
from nstk.types import CompiledFunction, FeatureMaps, Tensor

TILE_BYTES = 256 * 2**20
"""Approximate memory of a tile while its gradient is computed."""

TRANSIENT = 4
"""Copies of the largest feature map held at once on the backward pass, beside what is kept."""


@dataclass(frozen=True, eq=False)
class StageFunctions:
    """The functions of a stage, compiled once for tiles of any size.

    In their signatures, ``tile`` is the part of the stage's input that a tile reads, ``slices``
    the place of its own cells in every output (`Tile.own_slices`), ``targets`` the content's
    feature maps there by layer, and ``guides`` the guides there by style layer.
    """

    stage: Stage
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    guided: tuple[bool, ...]

    @cached_property
    def outputs(self) -> CompiledFunction:
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


@dataclass(frozen=True, eq=False)
class TiledNetwork:
    backbone: Backbone
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...] = ()
    tile_bytes: int = TILE_BYTES

    @classmethod
    def of(
        cls, backbone: Backbone, style_layers: Sequence[str], content_layers: Sequence[str] = ()
    ) -> "TiledNetwork":
        """The tiled network of these layers, which the backbone keeps with its compiled code."""
        key = cls, tuple(style_layers), tuple(content_layers)
        if key not in backbone.compiled:
            backbone.compiled[key] = cls(backbone, *key[1:])
        network: TiledNetwork = backbone.compiled[key]
        return network

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        return cut_network(self.backbone, (*self.style_layers, *self.content_layers))

    @cached_property
    def _functions(
        self,
    ) -> dict[tuple[tuple[str, ...], tuple[bool, ...]], tuple[StageFunctions, ...]]:
        return {}

    def stage_functions(
        self, content_layers: Sequence[str], guided: Sequence[bool]
    ) -> tuple[StageFunctions, ...]:
        """Return the functions of every stage, compiled once for tiles of any size."""
        key = tuple(content_layers), tuple(guided)
        if key not in self._functions:
            self._functions[key] = tuple(
                StageFunctions(stage, self.style_layers, *key) for stage in self.stages
            )
        return self._functions[key]

    def make_layout(self, shape: Sequence[int]) -> list[list[Tile]]:
        layout, size = [], (shape[0], shape[1])
        for stage in self.stages:
            channels = stage.model.inputs[0].shape[-1]
            shapes = stage.model.compute_output_shape((1, *size, channels))
            sizes = {name: (whole[1], whole[2]) for name, whole in shapes.items()}
            cells = self.tile_bytes / (stage.load.map_bytes + TRANSIENT * stage.load.largest)
            side = math.isqrt(int(cells))
            layout.append(split_map(size, sizes, stage.fields, stage.step, side))
            size = sizes.get(str(stage.following), size)
        return layout

    def content_maps(self, image: Tensor) -> dict[str, TiledMap]:
        layers = self.content_layers
        found: dict[str, TiledMap] = {}
        source = TiledMap.from_image(image)
        functions = self.stage_functions((), ())
        for stage_functions, tiles in zip(functions, self.make_layout(image.shape), strict=True):
            stage = stage_functions.stage
            kept = [*(name for name in stage.taps if name in layers), stage.following]
            maps = {name: TiledMap.for_output(tiles, name) for name in kept if name}
            for tile in tiles:
                outputs = stage_functions.outputs(source.read(*tile.padded), tile.own_slices())
                for name, tiled_map in maps.items():
                    tiled_map.write(*tile.outputs(name), outputs[name])
            found |= {name: tiled_map for name, tiled_map in maps.items() if name in layers}
            if len(found) == len(layers):
                break
            source = maps[str(stage.following)]
        return found

    def style_statistics(
        self, image: Tensor, guides: Mapping[str, Tensor] | None = None
    ) -> dict[str, Statistics]:
        planes = {name: [guides[name]] if guides else [] for name in self.style_layers}
        functions = self.stage_functions((), (bool(guides),))
        layout = self.make_layout(image.shape)
        style, _, _ = sum_tiles(functions, layout, image, {}, planes)
        return {name: sums[0] for layers in style for name, sums in layers.items()}


def sum_tiles(
    functions: Sequence[StageFunctions],
    layout: Sequence[Sequence[Tile]],
    image: Tensor,
    targets: Mapping[str, TiledMap],
    guides: Mapping[str, Sequence[Tensor]],
) -> tuple[list[Tensor], list[Tensor], list[TiledMap]]:
    """Add up the sums of all tiles, stage by stage."""
    style, content, sources = [], [], [TiledMap.from_image(image)]
    for stage, tiles in zip(functions, layout, strict=True):
        following = stage.stage.following
        next_map = TiledMap.for_output(tiles, following) if following else None
        total: Tensor = None
        for tile in tiles:
            cropped = crop_targets(stage, tile, targets, guides)
            source = sources[-1].read(*tile.padded)
            *sums, kept = stage.sums(source, tile.own_slices(), *cropped)
            if next_map is not None:
                next_map.write(*tile.outputs(str(following)), kept)
            total = sums if total is None else tf.nest.map_structure(tf.add, total, sums)
        style.append(total[0])
        content.append(total[1])
        if next_map is not None:
            sources.append(next_map)
    return style, content, sources


def crop_targets(
    functions: StageFunctions,
    tile: Tile,
    targets: Mapping[str, TiledMap],
    guides: Mapping[str, Sequence[Tensor]],
) -> tuple[dict[str, Tensor], dict[str, list[Tensor]]]:
    taps = functions.stage.taps
    here = {name: targets[name].read(*tile.outputs(name)) for name in taps if name in targets}
    cropped = {}
    for name in taps:
        if name in functions.style_layers:
            rows, columns = (slice(*span) for span in tile.outputs(name))
            cropped[name] = [plane[rows, columns] for plane in guides[name]]
    return here, cropped


def _crop(maps: Tensor, bounds: Tensor) -> Tensor:
    top, bottom, left, right = tf.unstack(bounds)
    return tf.slice(maps, [0, top, left, 0], [1, bottom - top, right - left, maps.shape[-1]])


def _flatten(
    style: Mapping[str, Sequence[Statistics]], content: Mapping[str, Tensor]
) -> list[Tensor]:
    return list(tf.nest.flatten((style, content)))


def _map_spec(tensor: Tensor) -> object:
    return tf.TensorSpec([1, None, None, tensor.shape[-1]], tensor.dtype)
