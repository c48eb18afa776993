"""One image being painted: its objective and its descent at every scale."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.errors import ImageError, SettingsError
from nstk.images.image import Image, Plane, probe_image, resize_image
from nstk.images.masks import resize_mask
from nstk.optimizers import Averaged, Optimizer, choose_optimizer
from nstk.progress import Reporter, no_progress
from nstk.settings import StylizeSettings
from nstk.stylization.regions import check_guides
from nstk.stylization.initialization import INITS, Palette, initial_image
from nstk.stylization.inputs import Inputs
from nstk.stylization.layers import choose_content_layer, choose_style_layers
from nstk.stylization.objective import LossWeights, Objective, ObjectiveWeights, StyleObjective
from nstk.stylization.optimization import Optimization, StepCallback, no_op
from nstk.stylization.regions import Region, make_region
from nstk.stylization.scales import Scale, plan_scales
from nstk.stylization.strength import content_weight_at
from nstk.stylization.styles import StyleImage, blend_styles
from nstk.stylization.tiled.network import TiledNetwork
from nstk.stylization.tiled.objective import TiledObjective

DIVERGENCE_LR_FACTOR = 0.25
"""How much of the learning rate is left after a loss that was no number."""

AVERAGING = 0.9
"""Decay of the averaged iterate; 0.99 would still remember the enlarged start of a short scale."""


@dataclass(frozen=True, eq=False)
class StyleTransferTask:
    """What is to be painted, and by which rules.

    Attributes:
        network: The backbone, prepared.
        inputs: Content, styles and masks.
        settings: What is asked for.
        largest_whole: Images of more pixels are looked at in windows.
    """

    network: Backbone
    inputs: Inputs
    settings: StylizeSettings
    largest_whole: float = math.inf

    @cached_property
    def weights(self) -> ObjectiveWeights:
        """What counts how much; α is that of strength 0.5.

        Raises:
            BackboneError: If the network has no such layer.
        """
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
        """The shortest side in pixels that the deepest layer can make something of."""
        return 2 * max(self.network.stride(name) for name in self.weights.layers)

    @cached_property
    def plan(self) -> Sequence[Scale]:
        """The scales, coarsest first.

        Raises:
            SettingsError: If the size asked for is too small to look at.
        """
        height, width = self.inputs.subject.shape[:2]
        return plan_scales(
            height,
            width,
            size=self.settings.size,
            steps=self.settings.steps,
            scales=self.settings.scales,
            smallest=self.smallest,
        )

    @property
    def optimizer(self) -> Optimizer:
        """The rule of descent.

        Adam is averaged, as it goes round its goal; the others keep the best point they saw.
        """
        return self._choose_optimizer(1.0)

    def _choose_optimizer(self, share: float) -> Optimizer:
        rate = self.settings.learning_rate
        rule = choose_optimizer(
            self.settings.optimizer, None if rate == "auto" else rate, (0.0, 1.0), share
        )
        return Averaged(rule, decay=AVERAGING) if self.settings.optimizer == "adam" else rule

    def balance(self, scale: Scale, strength: float) -> LossWeights:
        """α, β and γ at one scale."""
        settings = self.settings
        alpha = content_weight_at(strength, settings.content_weight, scale.longer_side)
        return LossWeights(alpha, settings.style_weight, settings.tv_weight)

    def objective(self, scale: Scale) -> Objective:
        """Look at all targets at one scale."""
        free = None if self.inputs.keep is None else 1 - self._at(self.inputs.keep, scale)
        targets = (
            self.subject(scale),
            self._regions(scale, free),
            self.weights,
            None if free is None else tf.constant(free[..., np.newaxis]),
        )
        if scale.height * scale.width > self.largest_whole:
            return TiledObjective.within(self.tiled, *targets)
        return StyleObjective.within(self.network, *targets)

    @cached_property
    def tiled(self) -> TiledNetwork:
        """The network cut into stages, compiled once for all scales."""
        weights = self.weights
        return TiledNetwork(
            self.network, tuple(weights.style_layers), tuple(weights.content_layers)
        )

    def subject(self, scale: Scale) -> Image:
        """The content as the network sees it at one scale."""
        return resize_image(self.inputs.subject, scale.height, scale.width)

    def start(self, scale: Scale) -> Image:
        """The first image."""
        generator = np.random.default_rng(self.settings.seed)
        return initial_image(
            self.settings.init, self.subject(scale), list(self._palettes(scale)), generator
        )

    def _palettes(self, scale: Scale) -> Iterator[Palette]:
        """The colors of the styles that have pixels and count."""
        inputs = self.inputs
        masks = inputs.masks or (None,) * len(inputs.styles)
        for style, share, mask in zip(inputs.styles, inputs.weights, masks, strict=True):
            if isinstance(style, StyleImage) and share:
                image = style.at(scale.longer_side)
                area = None if mask is None else self._at(mask, scale)
                yield Palette(image, style.mask_at(*image.shape[:2]), share, area)

    def begin(self) -> Optimization:
        """Stand at the first image."""
        scale = self.plan[0]
        start, pin = self.start(scale), self._pinned(scale)
        if pin is not None:
            start = pin(start)
        return Optimization.start(
            self.optimizer, start, self._choose_optimizer(DIVERGENCE_LR_FACTOR)
        )

    def descend(
        self,
        strength: float,
        on_progress: Reporter = no_progress,
        *,
        look: Callable[[Scale], Objective] | None = None,
        optimization: Optimization | None = None,
        keep: StepCallback = no_op,
    ) -> Iterator[Optimization]:
        """Go from scale to scale.

        Args:
            strength: How far to go.
            on_progress: Told of every step.
            look: Gives the objective of a scale, for those who descend on the same targets again;
                `objective` where None, which keeps nothing.
            descent: One that stands somewhere, to go on with; a new one where None.
            keep: Called with the descent after every step.

        Yields:
            The one descent, before its first step and then after every scale; whoever holds it
            can look at it at any moment.

        Raises:
            DivergenceError: If the loss stops being a finite number.
            SettingsError: If the device has less memory than was planned with.
        """
        optimization = optimization or self.begin()
        yield optimization
        present = len(optimization.point.taken) - 1
        for number, scale in enumerate(self.plan[present:], present):
            try:
                objective = (look or self.objective)(scale)
                if number > present:
                    optimization.move_to(scale.height, scale.width, self._pinned(scale))
                optimization.run(
                    objective,
                    scale.steps,
                    on_progress,
                    balance=self.balance(scale, strength),
                    tolerance=self.settings.tolerance,
                    keep=keep,
                )
            except tf.errors.ResourceExhaustedError as error:
                raise SettingsError(
                    f"{scale.name} pixels need more memory than the device has; choose a smaller "
                    "--size, --tiling on or a smaller --backbone."
                ) from error
            yield optimization

    def _pinned(self, scale: Scale) -> Any:
        """How to put back what is to stay as it is, which resizing has moved."""
        if self.inputs.keep is None:
            return None
        keep = tf.constant(self._at(self.inputs.keep, scale)[..., np.newaxis])
        subject = tf.constant(self.subject(scale))
        return lambda image: image + keep * (subject - image)

    def _regions(self, scale: Scale, free: Plane | None) -> list[Region]:
        inputs, layers = self.inputs, tuple(self.weights.style_layers)
        seen = {
            style: style.observe(self.network, layers, scale.longer_side)
            for style in dict.fromkeys(inputs.styles)
        }
        if not inputs.masks:
            mixed = blend_styles([seen[style] for style in inputs.styles], inputs.weights)
            return [make_region(mixed, free, backbone=self.network, name="what --keep-mask leaves")]
        areas: dict[Any, Plane] = {}
        for style, mask in zip(inputs.styles, inputs.masks, strict=True):
            area = self._at(mask, scale) if free is None else self._at(mask, scale) * free
            # Two masks of one style are one mask: no edge is eroded between them.
            areas[style] = np.minimum(areas[style] + area, 1) if style in areas else area
        return [
            make_region(seen[style], area, backbone=self.network, name=f"the mask of {style.name}")
            for style, area in areas.items()
        ]

    def _at(self, mask: Plane, scale: Scale) -> Plane:
        resized: Plane = resize_mask(mask, scale.height, scale.width)
        return resized

    def check(self) -> None:
        """Refuse what cannot be painted, before any work.

        Raises:
            ImageError: If an image is too small to look at, or the first one is none.
            MaskError: If too little of a mask is left in some layer of the result.
            SettingsError: If the size asked for is too small to look at.
            BackboneError: If the network has no such layer.
        """
        self._check_sizes()
        if self.settings.init not in INITS:
            probe_image(self.settings.init, whole=False)
        last = self.plan[-1]
        for number, mask in enumerate(self.inputs.masks, 1):
            area = self._at(mask, last)
            layers = tuple(self.weights.style_layers)
            check_guides(area, self.network, layers, f"--content-mask {number}")

    def _check_sizes(self) -> None:
        images = [(str(self.inputs.content.path), self.inputs.subject)]
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


def _normalize(layers: Any) -> dict[str, float]:
    """The same weights with a sum of 1."""
    total = sum(layers.values())
    return {name: weight / total for name, weight in layers.items() if weight > 0}
