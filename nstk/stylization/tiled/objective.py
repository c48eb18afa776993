"""The objective of an image too large to be looked at at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import tensorflow as tf

from nstk.images.image import Image
from nstk.optimizers import Evaluation, Optimizer
from nstk.stylization.losses import content_sum, tv_sums
from nstk.stylization.objective import LossWeights, ObjectiveWeights, list_guides, combine_losses
from nstk.stylization.regions import Region
from nstk.stylization.sums import Sums
from nstk.stylization.tiled.network import (
    TiledNetwork,
    owned_slices,
    sum_tiles,
    crop_targets,
)
from nstk.stylization.tiled.stage_functions import StageFunctions
from nstk.stylization.tiled.tiled_map import TiledMap
from nstk.stylization.tiled.tiles import Tile


@dataclass(frozen=True, eq=False)
class TiledObjective:
    """The same L as `StyleObjective`, with the same gradient, in bounded memory.

    Once through all windows for the sums, which alone the loss depends on; their gradients are known
    then, and once more through all windows for the gradients of the pixels.

    Attributes:
        network: The network, cut into stages.
        content: The feature maps of the content image.
        sizes: ½‖a*‖² of every content layer.
        regions: Where it is to look like what.
        weights: α, β, γ, κ_l and λ_l.
        layout: The windows of every stage.
        free: How free every pixel is to move, ``(height, width, 1)`` in ``[0, 1]``; all are
            where None.
    """

    network: TiledNetwork
    content: Mapping[str, TiledMap]
    sizes: Mapping[str, Any]
    regions: Sequence[Region]
    weights: ObjectiveWeights
    layout: Sequence[Sequence[Tile]]
    free: Any | None = None

    @classmethod
    def within(
        cls,
        network: TiledNetwork,
        content: Image,
        regions: Sequence[Region],
        weights: ObjectiveWeights,
        free: Any | None = None,
    ) -> "TiledObjective":
        """Look at the content once; see `StyleObjective.within`."""
        seen = network.look(content)
        sizes = {
            name: tf.add_n([content_sum(tile) for tile in tiles.tiles()])
            for name, tiles in seen.items()
        }
        layout = network.lay_out(content.shape)
        return cls(network, seen, sizes, tuple(regions), weights, layout, free)

    def measure(self, image: Any, balance: LossWeights | None = None) -> tuple[Any, dict[str, Any]]:
        """See `StyleObjective.measure`."""
        sums, _ = self._sum_up(image)
        return combine_losses(sums, self.weights, self.regions, self.sizes, image.shape, balance)

    def evaluate(self, image: Any, balance: LossWeights | None = None) -> Evaluation:
        """See `StyleObjective.evaluate`."""
        sums, sources = self._sum_up(image)
        loss, terms, gradients = self._differentiate_score(sums, balance or self.weights.balance)
        gradient: TiledMap | None = None
        for number in reversed(range(len(sources))):
            gradient = self._vjp(number, sources.pop(), gradients, gradient)
        assert gradient is not None
        for window in self.layout[0]:
            part, rows, columns = _with_next(image, window)
            pulled = _tv_vjp(part, rows, columns, gradients.tv)
            gradient.add(*_shift(window, part.shape), pulled[tf.newaxis])
        whole = gradient.whole()[0]
        return Evaluation(loss, whole if self.free is None else whole * self.free, terms)

    def compile(self, optimizer: Optimizer) -> Callable[..., Any]:
        """See `Objective.compile`; the step's parts are compiled, and run one after another."""

        def step(x: Any, state: Any, balance: LossWeights) -> Any:
            return optimizer.step(partial(self.evaluate, balance=balance), x, state)

        return step

    def _sum_up(self, image: Any) -> tuple[Sums, list[TiledMap]]:
        """The sums of the whole image and what every stage takes."""
        style, content, sources = sum_tiles(
            self._functions, self.layout, image, self.content, self._guides
        )
        tv = tf.add_n([_tv_sums(*_with_next(image, window)) for window in self.layout[0]])
        merged: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for sums, squares in zip(style, content, strict=True):
            merged |= sums
            errors |= squares
        return Sums(merged, errors, tv), sources

    def _vjp(
        self, number: int, source: TiledMap, gradients: Sums, following: TiledMap | None
    ) -> TiledMap:
        """The gradient of what a stage takes, from those of the sums and of what it gives."""
        functions, windows = self._functions[number], self.layout[number]
        stage = functions.stage
        style = {name: gradients.style[name] for name in stage.taps if name in gradients.style}
        content = {
            name: gradients.content[name] for name in stage.taps if name in gradients.content
        }
        flat = tf.nest.flatten((style, content))
        result = TiledMap(*zip(*(window.own for window in windows), strict=True))
        for window in windows:
            around = crop_targets(functions, window, self.content, self._guides)
            last = []
            if following is not None:
                last = [following.read(*window.outputs(str(stage.following)))]
            pulled = functions.vjp(source.read(*window.seen), owned_slices(window), *around, flat, last)
            result.add(*window.seen, pulled)
        return result

    @cached_property
    def _functions(self) -> tuple[StageFunctions, ...]:
        guided = [region.guides is not None for region in self.regions]
        return self.network.functions(tuple(self.content), guided)

    @cached_property
    def _guides(self) -> dict[str, list[Any]]:
        listed = list_guides(self.regions, self.weights)
        return {
            name: [plane for plane in planes if plane is not None]
            for name, planes in listed.items()
        }

    @cached_property
    def _differentiate_score(self) -> Any:
        rows, columns = (self.layout[0][-1].own[axis][1] for axis in (0, 1))

        def differentiate(sums: Sums, balance: LossWeights) -> tuple[Any, dict[str, Any], Sums]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(sums)
                shape = rows, columns
                loss, terms = combine_losses(sums, self.weights, self.regions, self.sizes, shape, balance)
            gradients = tape.gradient(loss, sums, unconnected_gradients="zero")
            return loss, terms, gradients

        return tf.function(differentiate, autograph=False)


def _with_next(image: Any, window: Tile) -> tuple[Any, Any, Any]:
    """What a window owns of an image with the next row and column, and how much it owns."""
    (top, bottom), (left, right) = window.own
    own = tf.constant(bottom - top), tf.constant(right - left)
    return image[top : bottom + 1, left : right + 1], *own


def _shift(window: Tile, shape: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a part of this shape lies that begins where the window's own begins."""
    (top, _), (left, _) = window.own
    return (top, top + shape[0]), (left, left + shape[1])


def _differentiate_tv(part: Any, rows: Any, columns: Any, gradients: Any) -> Any:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(part)
        sums = tv_sums(part, rows, columns)
    return tape.gradient(sums, part, output_gradients=gradients)


_PART = [tf.TensorSpec([None, None, 3]), *[tf.TensorSpec([], tf.int32)] * 2]
_tv_sums = tf.function(tv_sums, input_signature=_PART, autograph=False)
_tv_vjp = tf.function(
    _differentiate_tv,
    input_signature=[*_PART, tf.TensorSpec([4])],
    autograph=False,
)
