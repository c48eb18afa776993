"""A network that looks at a large image window by window, and sees what it would see at once.

The network is cut into stages at its narrowest places (`nstk.backbones.stages`). Stage by stage,
each window is looked at with as much round it as its own cells depend on; what the next stage
takes is kept, in tiles. Backwards, every window is looked at once more, and the gradient of what it
owns is added to all that it has seen. Every cell is owned once, so the sum over the windows is the
gradient of the whole: exactly, not nearly.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.stages import Stage, cut_network
from nstk.stylization.statistics import Statistics
from nstk.stylization.tiled.stage_functions import StageFunctions
from nstk.stylization.tiled.tiled_map import TiledMap
from nstk.stylization.tiled.tiles import Tile, cut_map

TILE_BYTES = 256 * 2**20
"""What a window may take while it is differentiated, about."""

TRANSIENT = 4
"""Copies of the largest feature map that are there at once on the way back, beside what is kept."""


@dataclass(frozen=True, eq=False)
class TiledNetwork:
    """A network cut into stages.

    Attributes:
        backbone: The network.
        style_layers: The layers whose statistics are wanted.
        content_layers: The layers whose maps are wanted.
        window_bytes: What a window may take while it is differentiated, about.
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

    def functions(
        self, content_layers: Sequence[str], guided: Sequence[bool]
    ) -> tuple[StageFunctions, ...]:
        """What is computed of the windows of every stage; compiled once, whatever their sizes.

        Args:
            content_layers: Which layers have targets.
            guided: For each region, whether it has guides.
        """
        key = tuple(content_layers), tuple(guided)
        if key not in self._functions:
            self._functions[key] = tuple(
                StageFunctions(stage, self.style_layers, *key) for stage in self.stages
            )
        return self._functions[key]

    def lay_out(self, shape: Sequence[int]) -> list[list[Tile]]:
        """The windows of every stage for an image of this height and width."""
        windows, size = [], (shape[0], shape[1])
        for stage in self.stages:
            channels = stage.model.inputs[0].shape[-1]
            shapes = stage.model.compute_output_shape((1, *size, channels))
            sizes = {name: (whole[1], whole[2]) for name, whole in shapes.items()}
            cells = self.tile_bytes / (stage.load.map_bytes + TRANSIENT * stage.load.largest)
            side = math.isqrt(int(cells))
            windows.append(cut_map(size, sizes, stage.fields, stage.step, side))
            size = sizes.get(str(stage.following), size)
        return windows

    def look(self, image: Any) -> dict[str, TiledMap]:
        """The feature maps of the content layers of an image ``(height, width, 3)``, in tiles."""
        layers = self.content_layers
        seen: dict[str, TiledMap] = {}
        source = as_tiled_map(image)
        for functions, windows in zip(
            self.functions((), ()), self.lay_out(image.shape), strict=True
        ):
            stage = functions.stage
            kept = [*(name for name in stage.taps if name in layers), stage.following]
            maps = {name: empty_map(windows, name) for name in kept if name}
            for window in windows:
                shown = functions.show(source.read(*window.seen), owned_slices(window))
                for name, tiles in maps.items():
                    tiles.write(*window.outputs(name), shown[name])
            seen |= {name: tiles for name, tiles in maps.items() if name in layers}
            if len(seen) == len(layers):
                break
            source = maps[str(stage.following)]
        return seen

    def gather(self, image: Any, guides: Mapping[str, Any] | None = None) -> dict[str, Statistics]:
        """The statistics of every style layer.

        Args:
            image: ``(height, width, 3)``.
            guides: The weight of every position by layer, ``(height, width)``; 1 where None.
        """
        planes = {name: [guides[name]] if guides else [] for name in self.style_layers}
        functions = self.functions((), (bool(guides),))
        layout = self.lay_out(image.shape)
        style, _, _ = sum_tiles(functions, layout, image, {}, planes)
        return {name: sums[0] for layers in style for name, sums in layers.items()}

    @cached_property
    def _functions(self) -> dict[Any, tuple[StageFunctions, ...]]:
        return {}


def sum_tiles(
    functions: Sequence[StageFunctions],
    layout: Sequence[Sequence[Tile]],
    image: Any,
    targets: Mapping[str, TiledMap],
    guides: Mapping[str, Sequence[Any]],
) -> tuple[list[Any], list[Any], list[TiledMap]]:
    """Add up all windows of all stages.

    Args:
        functions: Those of every stage.
        layout: The windows of every stage.
        image: ``(height, width, 3)``.
        targets: The content's own maps by layer.
        guides: The guides of every style layer, of the regions that have one.

    Returns:
        The sums of style and those of content, one of each for every stage, and what every stage
        takes, from the image on.
    """
    style, content, sources = [], [], [as_tiled_map(image)]
    for stage, windows in zip(functions, layout, strict=True):
        following = stage.stage.following
        tiles = empty_map(windows, following) if following else None
        total: Any = None
        for window in windows:
            around = crop_targets(stage, window, targets, guides)
            seen = sources[-1].read(*window.seen)
            *sums, kept = stage.sum_up(seen, owned_slices(window), *around)
            if tiles is not None:
                tiles.write(*window.outputs(str(following)), kept)
            total = sums if total is None else tf.nest.map_structure(tf.add, total, sums)
        style.append(total[0])
        content.append(total[1])
        if tiles is not None:
            sources.append(tiles)
    return style, content, sources


def crop_targets(
    functions: StageFunctions,
    window: Tile,
    targets: Mapping[str, TiledMap],
    guides: Mapping[str, Sequence[Any]],
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The parts of targets and guides that belong to what a window owns."""
    taps = functions.stage.taps
    here = {name: targets[name].read(*window.outputs(name)) for name in taps if name in targets}
    cropped = {}
    for name in taps:
        if name in functions.style_layers:
            rows, columns = (slice(*span) for span in window.outputs(name))
            cropped[name] = [plane[rows, columns] for plane in guides[name]]
    return here, cropped


def as_tiled_map(image: Any) -> TiledMap:
    """An image ``(height, width, 3)`` as a map of one tile."""
    rows, columns = (0, image.shape[0]), (0, image.shape[1])
    tiles = TiledMap([rows], [columns])
    tiles.write(rows, columns, tf.convert_to_tensor(image)[tf.newaxis])
    return tiles


def empty_map(windows: Sequence[Tile], output: str) -> TiledMap:
    """An empty map of an output with one tile for what each window owns of it."""
    return TiledMap(*zip(*(window.outputs(output) for window in windows), strict=True))


def owned_slices(window: Tile) -> dict[str, Any]:
    """Where the owned cells of every output lie in what the window gives."""
    names = window.rows.outputs
    return {
        name: tf.constant([*window.rows.within(name), *window.columns.within(name)], tf.int32)
        for name in names
    }
