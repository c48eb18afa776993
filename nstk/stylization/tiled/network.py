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
from nstk.stylization.statistics import Statistics
from nstk.stylization.tiled.stage_functions import StageFunctions
from nstk.stylization.tiled.tiles import Tile, TiledMap, split_map
from nstk.types import Tensor

TILE_BYTES = 256 * 2**20
"""Approximate memory of a tile while its gradient is computed."""

TRANSIENT = 4
"""Copies of the largest feature map held at once on the backward pass, beside what is kept."""


@dataclass(frozen=True, eq=False)
class TiledNetwork:
    """A network cut into stages.

    Attributes:
        backbone: The network.
        style_layers: The layers whose statistics are needed.
        content_layers: The layers whose maps are needed.
        tile_bytes: Approximate memory of a tile while its gradient is computed.
    """

    backbone: Backbone
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...] = ()
    tile_bytes: int = TILE_BYTES

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages down to the deepest layer.

        Raises:
            BackboneError: If a layer depends on a mean over the whole image.
        """
        return cut_network(self.backbone, (*self.style_layers, *self.content_layers))

    def stage_functions(
        self, content_layers: Sequence[str], guided: Sequence[bool]
    ) -> tuple[StageFunctions, ...]:
        """Return the functions of every stage, compiled once for tiles of any size.

        Args:
            content_layers: The layers with content targets.
            guided: For each region, whether it has guides.
        """
        key = tuple(content_layers), tuple(guided)
        if key not in self._functions:
            self._functions[key] = tuple(
                StageFunctions(stage, self.style_layers, *key) for stage in self.stages
            )
        return self._functions[key]

    def make_layout(self, shape: Sequence[int]) -> list[list[Tile]]:
        """Return the tiles of every stage for an image of this height and width."""
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
        """Return the feature maps of the content layers of an image ``(height, width, 3)``."""
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
        """Compute the statistics of every style layer.

        Args:
            image: ``(height, width, 3)``.
            guides: The weight of every position by layer, ``(height, width)``; 1 if None.
        """
        planes = {name: [guides[name]] if guides else [] for name in self.style_layers}
        functions = self.stage_functions((), (bool(guides),))
        layout = self.make_layout(image.shape)
        style, _, _ = sum_tiles(functions, layout, image, {}, planes)
        return {name: sums[0] for layers in style for name, sums in layers.items()}

    @cached_property
    def _functions(
        self,
    ) -> dict[tuple[tuple[str, ...], tuple[bool, ...]], tuple[StageFunctions, ...]]:
        return {}


def sum_tiles(
    functions: Sequence[StageFunctions],
    layout: Sequence[Sequence[Tile]],
    image: Tensor,
    targets: Mapping[str, TiledMap],
    guides: Mapping[str, Sequence[Tensor]],
) -> tuple[list[Tensor], list[Tensor], list[TiledMap]]:
    """Add up the sums of all tiles, stage by stage.

    Args:
        functions: The functions of every stage.
        layout: The tiles of every stage.
        image: ``(height, width, 3)``.
        targets: The feature maps of the content image by layer.
        guides: By style layer, the guides of the regions that have one.

    Returns:
        Style sums and content sums, one of each for every stage, and the input of every stage,
        beginning with the image.
    """
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
    """Crop targets and guides to the own cells of a tile."""
    taps = functions.stage.taps
    here = {name: targets[name].read(*tile.outputs(name)) for name in taps if name in targets}
    cropped = {}
    for name in taps:
        if name in functions.style_layers:
            rows, columns = (slice(*span) for span in tile.outputs(name))
            cropped[name] = [plane[rows, columns] for plane in guides[name]]
    return here, cropped
