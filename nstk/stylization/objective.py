"""The objective of Gatys et al. 2016: how far an image is from its content and style targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.images.image import Image
from nstk.optimizers import Evaluation, Optimizer
from nstk.stylization.losses import (
    STYLE_LOSSES,
    ImageSums,
    TemporalTarget,
    add_temporal_loss,
    content_sum,
    layer_sums,
    tv_from_sums,
    tv_sums,
)
from nstk.stylization.regions import Region, list_guides, make_region
from nstk.stylization.statistics import to_moments
from nstk.stylization.styles import StyleImage, blend_styles, extract_features
from nstk.types import CompiledFunction, FeatureMaps, OptimizerState, Tensor


class LossWeights(NamedTuple):
    """The weights of the three losses; a compiled step takes them as arguments.

    Attributes:
        content: α.
        style: β.
        tv: γ.
    """

    content: Tensor
    style: Tensor
    tv: Tensor


StepResult = tuple[Tensor, OptimizerState, Evaluation]
"""The next image, the next state, and the loss and gradient before the step."""

CompiledStep = Callable[[Tensor, OptimizerState, LossWeights], StepResult]
"""A step from an image, a state and the weights of the losses, which are tensors."""


@dataclass(frozen=True)
class ObjectiveWeights:
    """All weights of the objective.

    Attributes:
        content: α.
        style: β.
        tv: γ.
        content_layers: Weight κ_l of each content layer.
        style_layers: Weight λ_l of each style layer.
        style_loss: Name of a loss in `STYLE_LOSSES`.
    """

    content: float
    style: float
    tv: float
    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    style_loss: str = "moments"

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that is used, once."""
        return tuple(dict.fromkeys([*self.style_layers, *self.content_layers]))

    @property
    def loss_weights(self) -> LossWeights:
        """α, β and γ."""
        return LossWeights(self.content, self.style, self.tv)

    @property
    def fixed(self) -> tuple[object, ...]:
        """κ_l, λ_l and the style loss: what is part of compiled code, hashable."""
        return (*self.content_layers.items(), *self.style_layers.items(), self.style_loss)


def combine_losses(
    sums: ImageSums,
    weights: ObjectiveWeights,
    regions: Sequence[Region],
    content_norms: Mapping[str, Tensor],
    shape: Tensor,
    loss_weights: LossWeights | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of an image of a height and width and its terms, from the sums over the image.

    ``content_norms`` holds ½‖a*‖² of every content layer. See `StyleObjective.compute_loss`.
    """
    alpha, beta, gamma = loss_weights or weights.loss_weights
    content = _weighted_sum(
        {
            name: error / tf.maximum(content_norms[name], 1e-30)
            for name, error in sums.content.items()
        },
        weights.content_layers,
    )
    compare = STYLE_LOSSES[weights.style_loss]
    layers = {
        name: tf.add_n(
            [
                region.share * compare(to_moments(statistics), region.targets[name])
                for region, statistics in zip(regions, sums.style[name], strict=True)
            ]
        )
        for name in weights.style_layers
    }
    style = _weighted_sum(layers, weights.style_layers)
    tv = tv_from_sums(sums.tv, shape)
    loss = alpha * content + beta * style + gamma * tv
    return loss, {"content": content, "style": style, "tv": tv, **layers}


class Objective(Protocol):
    @property
    def weights(self) -> ObjectiveWeights: ...

    def evaluate(self, image: Tensor, loss_weights: LossWeights | None = None) -> Evaluation:
        """The loss of an image ``(height, width, 3)``, its gradient and its terms."""

    def compile(self, optimizer: Optimizer) -> CompiledStep:
        """Compile a step of an optimizer, or return the one compiled before."""


@dataclass(frozen=True, eq=False)
class StyleObjective:
    """L = α·Σ_l κ_l·L_content^l + β·Σ_l λ_l·L_style^l + γ·L_tv, for one size of image.

    L_style^l is the sum of the regions' losses, each times the part of the image it covers. A
    temporal target adds its weighted loss.

    Attributes:
        backbone: The network.
        content: The feature maps of the content image.
        regions: The regions and their style targets.
        weights: α, β, γ, κ_l and λ_l.
        gradient_mask: Factor of each pixel's gradient, ``(height, width, 1)`` in ``[0, 1]``;
            1 if None.
        temporal: What the frames before this one ask for; nothing if None.
    """

    backbone: Backbone
    content: FeatureMaps
    regions: Sequence[Region]
    weights: ObjectiveWeights
    gradient_mask: Tensor | None = None
    temporal: TemporalTarget | None = None

    @classmethod
    def from_images(
        cls,
        backbone: Backbone,
        content: Image,
        styles: Sequence[Image],
        weights: ObjectiveWeights,
        style_weights: Sequence[float] | None = None,
    ) -> "StyleObjective":
        """Compute the targets from plain images.

        Args:
            backbone: The network.
            content: The content image, at the size of the result.
            styles: The style images, of any size; they are used without resizing.
            weights: The weights.
            style_weights: A weight for each style image; equal if None.
        """
        layers = tuple(weights.style_layers)
        statistics = [
            StyleImage(f"style {number}", image).compute_statistics(
                backbone, layers, max(image.shape)
            )
            for number, image in enumerate(styles, 1)
        ]
        blended = blend_styles(statistics, style_weights or [1.0] * len(statistics))
        region = make_region(blended, backbone=backbone)
        return cls.from_regions(backbone, content, [region], weights)

    @classmethod
    def from_regions(
        cls,
        backbone: Backbone,
        content: Image,
        regions: Sequence[Region],
        weights: ObjectiveWeights,
        gradient_mask: Tensor | None = None,
        temporal: TemporalTarget | None = None,
    ) -> "StyleObjective":
        """Compute the content target; the regions already hold the style targets.

        Args:
            backbone: The network.
            content: The content image, at the size of the result.
            regions: The regions and their style targets.
            weights: The weights.
            gradient_mask: Factor of each pixel's gradient, ``(height, width, 1)``.
            temporal: The target of the temporal loss, at the size of the result.
        """
        maps = extract_features(backbone.tap(list(weights.content_layers)), content)
        return cls(backbone, maps, tuple(regions), weights, gradient_mask, temporal)

    def compute_loss(
        self, image: Tensor, loss_weights: LossWeights | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of an image and its terms.

        Args:
            image: A float32 tensor ``(height, width, 3)`` in ``[0, 1]``, of the size of the
                content image.
            loss_weights: α, β and γ, if other than those of ``weights``.

        Returns:
            The loss L, and ``content``, ``style``, ``tv``, ``temporal`` if there is a target, and
            every style layer by name, before α, β, γ and λ_l are applied.
        """
        maps = self.backbone.tap(self.weights.layers)(image[tf.newaxis], training=False)
        guides = list_guides(self.regions, self.weights.style_layers)
        style, content = layer_sums(maps, guides, self.content)
        sums = ImageSums(style, content, tv_sums(image))
        norms = {name: content_sum(target) for name, target in self.content.items()}
        parts = sums, self.weights, self.regions, norms
        losses = combine_losses(*parts, tf.shape(image), loss_weights)
        return add_temporal_loss(image, self.temporal, *losses)

    def evaluate(self, image: Tensor, loss_weights: LossWeights | None = None) -> Evaluation:
        """Return the loss, its gradient with respect to the pixels, and its terms."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            loss, terms = self.compute_loss(image, loss_weights)
        gradient = tape.gradient(loss, image)
        if self.gradient_mask is not None:
            gradient = gradient * self.gradient_mask
        return Evaluation(loss, gradient, terms)

    def compile(self, optimizer: Optimizer) -> CompiledStep:
        """Compile a step of an optimizer, or return the one compiled before.

        The code belongs to the network and serves images of any size, with any targets.

        Returns:
            ``(x, state, loss_weights) -> (x, state, evaluation)``, where ``loss_weights`` holds
            tensors.
        """
        masks = () if self.gradient_mask is None else (self.gradient_mask,)
        regions = [region._replace(share=tf.constant(region.share)) for region in self.regions]
        temporal = () if self.temporal is None else (self.temporal,)
        targets = dict(self.content), tuple(regions), masks, temporal
        guided = tuple(bool(region.guides) for region in self.regions)
        key = StyleObjective, optimizer, self.weights.fixed, guided, bool(masks), bool(temporal)
        if key not in self.backbone.compiled:
            self.backbone.compiled[key] = _compile_step(
                optimizer, self.backbone, self.weights, targets
            )
        step = self.backbone.compiled[key]
        return lambda x, state, loss_weights: step(x, state, loss_weights, targets)


_Targets = tuple[FeatureMaps, Sequence[Region], Sequence[Tensor], Sequence[TemporalTarget]]


def _compile_step(
    optimizer: Optimizer, backbone: Backbone, weights: ObjectiveWeights, targets: _Targets
) -> CompiledFunction:
    """A step for images of any size; its last argument are targets of the same structure."""

    def step(
        x: Tensor, state: OptimizerState, loss_weights: LossWeights, targets: _Targets
    ) -> StepResult:
        content, regions, masks, temporal = targets
        mask, target = (next(iter(each), None) for each in (masks, temporal))
        objective = StyleObjective(backbone, content, regions, weights, mask, target)
        return optimizer.step(partial(objective.evaluate, loss_weights=loss_weights), x, state)

    pixel, plane = tf.zeros([1, 1, 3]), tf.TensorSpec([None, None])
    content, regions, masks, temporal = targets
    planes = tuple(each._replace(guides=dict.fromkeys(each.guides, plane)) for each in regions)
    arguments = pixel, optimizer.init(pixel), LossWeights(*[tf.zeros([])] * 3)
    signature = tf.nest.map_structure(_any_size, (*arguments, (content, planes, masks, temporal)))
    return tf.function(step, input_signature=signature, autograph=False)


def _any_size(tensor: Tensor) -> object:
    """The kind of a tensor; images and maps end in height, width and channels."""
    shape = list(tensor.shape)
    if len(shape) >= 3:
        shape[-3:-1] = None, None
    return tf.TensorSpec(shape, tensor.dtype)


def _weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    return tf.add_n([weights[name] * loss for name, loss in losses.items()])
