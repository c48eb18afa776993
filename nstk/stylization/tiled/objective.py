"""The objective of an image that is too large to be processed at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import tensorflow as tf

from nstk.images.image import Image
from nstk.optimizers import Evaluation, Optimizer
from nstk.stylization.losses import (
    ImageSums,
    TemporalTarget,
    add_temporal_loss,
    content_sum,
    temporal_gradient,
    tv_sums,
)
from nstk.stylization.objective import (
    CompiledStep,
    LossWeights,
    ObjectiveWeights,
    StepResult,
    combine_losses,
)
from nstk.stylization.regions import Region, list_guides
from nstk.stylization.tiled.network import (
    StageFunctions,
    TiledNetwork,
    crop_targets,
    sum_tiles,
)
from nstk.stylization.tiled.tiles import Tile, TiledMap
from nstk.types import CompiledFunction, OptimizerState, Tensor


@dataclass(frozen=True, eq=False)
class TiledObjective:
    """The same L as `StyleObjective`, with the same gradient, in bounded memory.

    A first pass over the tiles computes the sums; the loss depends on them alone, so their
    gradients are known then, and a second pass computes the gradient of the pixels.
    """

    network: TiledNetwork
    content: Mapping[str, TiledMap]
    content_norms: Mapping[str, Tensor]
    regions: Sequence[Region]
    weights: ObjectiveWeights
    layout: Sequence[Sequence[Tile]]
    gradient_mask: Tensor | None = None
    temporal: TemporalTarget | None = None

    @classmethod
    def from_regions(
        cls,
        network: TiledNetwork,
        content: Image,
        regions: Sequence[Region],
        weights: ObjectiveWeights,
        gradient_mask: Tensor | None = None,
        temporal: TemporalTarget | None = None,
    ) -> "TiledObjective":
        maps = network.content_maps(content)
        norms = {
            name: tf.add_n([content_sum(tile) for tile in tiled_map.tiles()])
            for name, tiled_map in maps.items()
        }
        layout = network.make_layout(content.shape)
        tiled = network, maps, norms, tuple(regions), weights, layout
        return cls(*tiled, gradient_mask, temporal)

    def compute_loss(
        self, image: Tensor, loss_weights: LossWeights | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        sums, _ = self._image_sums(image)
        losses = combine_losses(
            sums, self.weights, self.regions, self.content_norms, tf.shape(image), loss_weights
        )
        return add_temporal_loss(image, self.temporal, *losses)

    def evaluate(self, image: Tensor, loss_weights: LossWeights | None = None) -> Evaluation:
        sums, sources = self._image_sums(image)
        loss, terms, gradients = self._differentiate_loss(
            sums, loss_weights or self.weights.loss_weights, *self._sized_targets
        )
        gradient: TiledMap | None = None
        for number in reversed(range(len(sources))):
            gradient = self._vjp(number, sources.pop(), gradients, gradient)
        assert gradient is not None
        for tile in self.layout[0]:
            part, rows, columns = _with_next(image, tile)
            tv_gradient = _tv_vjp(part, rows, columns, gradients.tv)
            gradient.add(*_spans_from(tile, part.shape), tv_gradient[tf.newaxis])
        whole = gradient.pop_whole()[0]
        if self.temporal is not None:
            whole += temporal_gradient(image, self.temporal)
            loss, terms = add_temporal_loss(image, self.temporal, loss, terms)
        if self.gradient_mask is not None:
            whole = whole * self.gradient_mask
        return Evaluation(loss, whole, terms)

    def compile(self, optimizer: Optimizer) -> CompiledStep:
        """See `Objective.compile`; the parts of the step are compiled, not the step itself."""

        def step(x: Tensor, state: OptimizerState, loss_weights: LossWeights) -> StepResult:
            evaluate = partial(self.evaluate, loss_weights=loss_weights)
            return optimizer.step(evaluate, x, state)

        return step

    def _image_sums(self, image: Tensor) -> tuple[ImageSums, list[TiledMap]]:
        style, content, sources = sum_tiles(
            self._functions, self.layout, image, self.content, self._guides
        )
        tv = tf.add_n([_tv_sums(*_with_next(image, tile)) for tile in self.layout[0]])
        style_sums: dict[str, Tensor] = {}
        content_sums: dict[str, Tensor] = {}
        for stage_style, stage_content in zip(style, content, strict=True):
            style_sums |= stage_style
            content_sums |= stage_content
        return ImageSums(style_sums, content_sums, tv), sources

    def _vjp(
        self, number: int, source: TiledMap, gradients: ImageSums, following: TiledMap | None
    ) -> TiledMap:
        """The gradient of a stage's input, from those of the sums and of the next stage's input."""
        functions, tiles = self._functions[number], self.layout[number]
        stage = functions.stage
        style = {name: gradients.style[name] for name in stage.taps if name in gradients.style}
        content = {
            name: gradients.content[name] for name in stage.taps if name in gradients.content
        }
        flat = tf.nest.flatten((style, content))
        result = TiledMap(*zip(*(tile.own for tile in tiles), strict=True))
        for tile in tiles:
            cropped = crop_targets(functions, tile, self.content, self._guides)
            last = []
            if following is not None:
                last = [following.read(*tile.outputs(str(stage.following)))]
            slices = tile.own_slices()
            part = functions.vjp(source.read(*tile.padded), slices, *cropped, flat, last)
            result.add(*tile.padded, part)
        return result

    @cached_property
    def _functions(self) -> tuple[StageFunctions, ...]:
        guided = [bool(region.guides) for region in self.regions]
        return self.network.stage_functions(tuple(self.content), guided)

    @cached_property
    def _guides(self) -> dict[str, list[Tensor]]:
        listed = list_guides(self.regions, self.weights.style_layers)
        return {
            name: [plane for plane in planes if plane is not None]
            for name, planes in listed.items()
        }

    @property
    def _sized_targets(self) -> tuple[Tensor, Sequence[Region], Mapping[str, Tensor]]:
        """Height and width, the regions and the norms as arguments of compiled code."""
        size = tf.constant([self.layout[0][-1].own[axis][1] for axis in (0, 1)])
        regions = tuple(
            region._replace(guides={}, share=tf.constant(region.share)) for region in self.regions
        )
        return size, regions, self.content_norms

    @property
    def _differentiate_loss(self) -> CompiledFunction:
        compiled = self.network.backbone.compiled
        key = TiledObjective, self.weights.fixed
        if key not in compiled:
            compiled[key] = _compile_gradients(self.weights)
        return compiled[key]


def _compile_gradients(weights: ObjectiveWeights) -> CompiledFunction:
    """The loss, its terms and the gradients of the sums, for images of any size."""

    def differentiate(
        sums: ImageSums,
        loss_weights: LossWeights,
        size: Tensor,
        regions: Sequence[Region],
        content_norms: Mapping[str, Tensor],
    ) -> tuple[Tensor, dict[str, Tensor], ImageSums]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sums)
            loss, terms = combine_losses(sums, weights, regions, content_norms, size, loss_weights)
        return loss, terms, tape.gradient(loss, sums, unconnected_gradients="zero")

    return tf.function(differentiate, autograph=False)


def _with_next(image: Tensor, tile: Tile) -> tuple[Tensor, Tensor, Tensor]:
    """A tile's own pixels with the next row and column, and how many rows and columns it owns."""
    (top, bottom), (left, right) = tile.own
    own = tf.constant(bottom - top), tf.constant(right - left)
    return image[top : bottom + 1, left : right + 1], *own


def _spans_from(tile: Tile, shape: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of a part of this shape that begins where the tile's own cells begin."""
    (top, _), (left, _) = tile.own
    return (top, top + shape[0]), (left, left + shape[1])


def _differentiate_tv(part: Tensor, rows: Tensor, columns: Tensor, gradients: Tensor) -> Tensor:
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
