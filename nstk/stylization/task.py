"""A style transfer task: its objective and its optimization at every scale."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from nstk.backbones.arithmetic import choose_precision
from nstk.backbones.backbone import Backbone
from nstk.backbones.variants import Precision
from nstk.errors import ImageError, SettingsError
from nstk.images.decoding import identify
from nstk.images.image import Image, Plane, resize_image
from nstk.images.masks import resize_mask
from nstk.optimizers import Averaged, Optimizer, SmoothColors, choose_optimizer
from nstk.optimizers.smooth_colors import smooth_chroma
from nstk.progress import Reporter, no_progress
from nstk.settings import StylizeSettings
from nstk.settings.parsing import LayerWeights
from nstk.stylization.inputs import Inputs, Source, StyleSource, read_inputs
from nstk.stylization.losses import TemporalTarget
from nstk.stylization.objective import LossWeights, Objective, ObjectiveWeights, StyleObjective
from nstk.stylization.optimization import INITS, Optimization, Palette, initial_image
from nstk.stylization.recipe import (
    Scale,
    choose_content_layer,
    choose_style_layers,
    content_weight_at,
    plan_scales,
)
from nstk.stylization.regions import Masks, Region, check_guides, make_region
from nstk.stylization.styles import Style, StyleImage, blend_styles
from nstk.stylization.tiled.network import TiledNetwork
from nstk.stylization.tiled.objective import TiledObjective
from nstk.stylization.tiled.planning import CostModel, Plan, check_memory, make_plan, memory_limit
from nstk.types import Tensor

DIVERGENCE_LR_FACTOR = 0.25
"""Factor of the learning rate after a loss that was not finite."""

AVERAGING = 0.9
"""Decay of the averaged iterate; 0.99 would still remember the enlarged start of a short scale."""


@dataclass(frozen=True, eq=False)
class StyleTransferTask:
    network: Backbone
    inputs: Inputs
    settings: StylizeSettings
    plan: Plan | None = None
    temporal: TemporalTarget | None = None
    """What the frames before this one ask for; the run then starts from them, at one scale."""

    @cached_property
    def weights(self) -> ObjectiveWeights:
        """The weights of the objective; α is that of strength 0.5."""
        settings, network = self.settings, self.network
        content_layers = settings.content_layers
        if isinstance(content_layers, str):
            content_layers = {choose_content_layer(network): 1.0}
        style_layers = settings.style_layers
        if isinstance(style_layers, str):
            style_layers = choose_style_layers(network)
        network.tap([*content_layers, *style_layers])
        return ObjectiveWeights(
            content=settings.content_weight,
            style=settings.style_weight,
            tv=settings.tv_weight,
            content_layers=_normalize(content_layers),
            style_layers=_normalize(style_layers),
            style_loss=settings.style_loss,
        )

    @cached_property
    def smallest(self) -> int:
        """The shortest side in pixels that the deepest layer can process."""
        return 2 * max(self.network.stride(name) for name in self.weights.layers)

    @cached_property
    def scales(self) -> Sequence[Scale]:
        scales = plan_scales(
            *self.inputs.content_pixels.shape[:2],
            size=self.settings.size,
            steps=self.settings.steps_per_scale,
            scales=self.settings.scales,
            smallest=self.smallest,
        )
        coarser = [] if self.temporal is not None else filter(self._fits_styles, scales[:-1])
        return (*coarser, scales[-1])

    def _fits_styles(self, scale: Scale) -> bool:
        """Whether the deepest style layer can process every style image at this scale."""
        smallest = max(self.network.stride(name) for name in self.weights.style_layers)
        images = (style for style in self.inputs.styles if isinstance(style, StyleImage))
        return all(min(style.size_at(scale.longer_side)) >= smallest for style in images)

    def loss_weights(self, scale: Scale, strength: float) -> LossWeights:
        settings = self.settings
        alpha = content_weight_at(strength, settings.content_weight, scale.longer_side)
        return LossWeights(alpha, float(settings.style_weight), float(settings.tv_weight))

    def objective(self, scale: Scale) -> Objective:
        """The targets have smooth colors, as results do: a content equal to the style stays."""
        keep = self.inputs.keep_mask
        free = None if keep is None else 1 - resize_mask(keep, scale.height, scale.width)
        targets = (
            smooth_chroma(self.content_at(scale)).numpy(),
            self._regions(scale, free),
            self.weights,
            None if free is None else tf.constant(free[..., np.newaxis]),
            self.temporal,
        )
        if self.plan is not None and self.plan.is_tiled(scale):
            network = TiledNetwork.of(
                self.network, tuple(self.weights.style_layers), tuple(self.weights.content_layers)
            )
            return TiledObjective.from_regions(network, *targets)
        return StyleObjective.from_regions(self.network, *targets)

    def content_at(self, scale: Scale) -> Image:
        return resize_image(self.inputs.content_pixels, scale.height, scale.width)

    def start(self) -> Optimization:
        scale, generator = self.scales[0], np.random.default_rng(self.settings.seed)
        palettes, init = list(self._palettes(scale)), self.settings.init
        if self.temporal is not None:
            image = self.temporal.image
        else:
            image = initial_image(init, self.content_at(scale), palettes, generator)
        restore_kept = self._restore_kept(scale)
        if restore_kept is not None:
            image = restore_kept(image)
        fallback = self._make_optimizer(DIVERGENCE_LR_FACTOR)
        return Optimization.start(self._make_optimizer(1.0), image, fallback)

    def run(
        self,
        strength: float,
        on_progress: Reporter = no_progress,
        *,
        objective_factory: Callable[[Scale], Objective] | None = None,
        optimization: Optimization | None = None,
        on_step: Callable[[], None] = lambda: None,
    ) -> Iterator[Optimization]:
        optimization = optimization or self.start()
        yield optimization
        current = len(optimization.state.steps) - 1
        for number, scale in enumerate(self.scales[current:], current):
            try:
                objective = (objective_factory or self.objective)(scale)
                if number > current:
                    optimization.resize(scale.height, scale.width, self._restore_kept(scale))
                optimization.run(
                    objective,
                    scale.steps,
                    on_progress,
                    loss_weights=self.loss_weights(scale, strength),
                    tolerance=self.settings.tolerance,
                    on_step=on_step,
                )
            except tf.errors.ResourceExhaustedError as error:
                raise SettingsError(
                    f"{scale.name} pixels need more memory than the device has; choose a smaller "
                    "`size`, `tiling='on'` or a smaller `backbone`."
                ) from error
            yield optimization

    def _make_optimizer(self, lr_factor: float) -> Optimizer:
        """Colors are smooth; Adam is averaged, as it circles its minimum."""
        name, rate = self.settings.optimizer, self.settings.learning_rate
        optimizer = choose_optimizer(name, None if rate == "auto" else rate, (0.0, 1.0), lr_factor)
        return SmoothColors(Averaged(optimizer, decay=AVERAGING) if name == "adam" else optimizer)

    def _palettes(self, scale: Scale) -> Iterator[Palette]:
        """The colors of the style images with a weight."""
        inputs = self.inputs
        masks = inputs.content_masks or (None,) * len(inputs.styles)
        for style, share, mask in zip(inputs.styles, inputs.weights, masks, strict=True):
            if isinstance(style, StyleImage) and share:
                image = style.resized(scale.longer_side)
                area = None if mask is None else resize_mask(mask, scale.height, scale.width)
                yield Palette(image, style.resized_mask(*image.shape[:2]), share, area)

    def _restore_kept(self, scale: Scale) -> Callable[[Tensor], Tensor] | None:
        """A function that restores the kept pixels, which resizing has changed."""
        if self.inputs.keep_mask is None:
            return None
        mask = resize_mask(self.inputs.keep_mask, scale.height, scale.width)
        keep = tf.constant(mask[..., np.newaxis])
        content = tf.constant(self.content_at(scale))
        return lambda image: image + keep * (content - image)

    def _regions(self, scale: Scale, free: Plane | None) -> list[Region]:
        inputs, layers = self.inputs, tuple(self.weights.style_layers)
        statistics = {
            style: style.compute_statistics(self.network, layers, scale.longer_side)
            for style in dict.fromkeys(inputs.styles)
        }
        if not inputs.content_masks:
            blended = blend_styles([statistics[style] for style in inputs.styles], inputs.weights)
            name = "the part outside `keep_mask`"
            return [make_region(blended, free, backbone=self.network, name=name)]
        areas: dict[Style, Plane] = {}
        for style, mask in zip(inputs.styles, inputs.content_masks, strict=True):
            area = resize_mask(mask, scale.height, scale.width)
            area = area if free is None else area * free
            # Two masks of one style are merged: no edge is eroded between them.
            areas[style] = np.minimum(areas[style] + area, 1) if style in areas else area
        return [
            make_region(
                statistics[style], area, backbone=self.network, name=f"the mask of {style.name}"
            )
            for style, area in areas.items()
        ]

    def check(self) -> None:
        images = [(str(self.inputs.content.path), self.inputs.content_pixels)]
        images += [
            (style.name, style.pixels)
            for style in self.inputs.styles
            if isinstance(style, StyleImage)
        ]
        for name, pixels in images:
            height, width = pixels.shape[:2]
            if min(height, width) < self.smallest:
                raise ImageError(
                    f"{name} is {width}×{height} pixels; the network needs at least "
                    f"{self.smallest} on the shorter side: give a larger image."
                )
        for style in self.inputs.styles:
            if isinstance(style, StyleImage):
                style.check_contrast()
        if self.settings.init not in INITS:
            identify(Path(self.settings.init))
        last, layers = self.scales[-1], tuple(self.weights.style_layers)
        for number, mask in enumerate(self.inputs.content_masks, 1):
            area = resize_mask(mask, last.height, last.width)
            check_guides(area, self.network, layers, f"`content_masks` {number}")


def read_task(
    content: Source,
    style: StyleSource | Sequence[StyleSource],
    masks: Masks,
    network: Backbone,
    settings: StylizeSettings,
) -> StyleTransferTask:
    """Read and check everything; the task has no plan yet and computes in float32."""
    inputs = read_inputs(content, style, masks, settings)
    prepared = network.prepared(edge="replicate", pooling=settings.pooling)
    task = StyleTransferTask(prepared, inputs, settings)
    task.check()
    return task


def plan_task(
    task: StyleTransferTask, network: Backbone, restored: Plan | None = None
) -> StyleTransferTask:
    """Choose precision and tiling; a restored plan is kept."""
    precision = (
        restored.precision
        if restored
        else choose_precision(task.settings.precision, task.network, task.weights.layers)
    )
    return plan_tiling(with_precision(task, network, precision), precision, restored)


def with_precision(
    task: StyleTransferTask, network: Backbone, precision: Precision
) -> StyleTransferTask:
    pooling = task.settings.pooling
    return replace(
        task, network=network.prepared(edge="replicate", pooling=pooling, precision=precision)
    )


def plan_tiling(
    task: StyleTransferTask, precision: Precision, restored: Plan | None = None
) -> StyleTransferTask:
    """Decide whether to tile; a restored plan is kept and its memory checked."""
    settings = task.settings
    limit = None if settings.max_memory == "auto" else settings.max_memory
    scales = tuple(task.scales)
    costs = CostModel(task.network, task.weights, settings.optimizer, precision, scales)
    if restored is not None:
        check_memory(costs, restored.tiling, memory_limit(limit))
        return replace(task, plan=restored)
    strength = None if isinstance(settings.strength, str) else float(settings.strength)
    return replace(task, plan=make_plan(costs, settings.tiling, limit, strength))


def _normalize(layers: LayerWeights) -> dict[str, float]:
    total = sum(layers.values())
    return {name: weight / total for name, weight in layers.items() if weight > 0}
