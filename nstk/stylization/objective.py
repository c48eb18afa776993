"""The objective of Gatys et al. 2016: how far an image is from its content and style targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, Protocol

import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.images.image import Image
from nstk.optimizers import Evaluation, Optimizer
from nstk.stylization.losses import (
    STYLE_LOSSES,
    ImageSums,
    content_sum,
    layer_sums,
    tv_from_sums,
    tv_sums,
)
from nstk.stylization.regions import Region
from nstk.stylization.statistics import to_moments
from nstk.stylization.styles import StyleImage, blend_styles, extract_features
from nstk.types import FeatureMaps, KerasModel, OptimizerState, Tensor


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
"""A compiled step of an optimizer, of an image, a state and the weights of the losses."""


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


def combine_losses(
    sums: ImageSums,
    weights: ObjectiveWeights,
    regions: Sequence[Region],
    content_norms: Mapping[str, Tensor],
    shape: Sequence[int],
    loss_weights: LossWeights | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the loss of an image and its terms from the sums over the image.

    Args:
        sums: The sums over the whole image.
        weights: The weights.
        regions: The regions and their style targets.
        content_norms: ½‖a*‖² of every content layer.
        shape: Height and width of the image.
        loss_weights: α, β and γ, if other than those of ``weights``.

    Returns:
        See `StyleObjective.compute_loss`.
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
    """The loss of an image of one size, with its gradient."""

    @property
    def weights(self) -> ObjectiveWeights:
        """The default weights."""

    def evaluate(self, image: Tensor, loss_weights: LossWeights | None = None) -> Evaluation:
        """Return the loss of an image ``(height, width, 3)``, its gradient and its terms."""

    def compile(self, optimizer: Optimizer) -> CompiledStep:
        """Compile a step of an optimizer, or return the one compiled before.

        Returns:
            ``(x, state, loss_weights) -> (x, state, evaluation)``, where ``loss_weights`` holds
            tensors, so that other weights need no other step.
        """


@dataclass(frozen=True, eq=False)
class StyleObjective:
    """L = α·Σ_l κ_l·L_content^l + β·Σ_l λ_l·L_style^l + γ·L_tv, for one size of image.

    L_style^l is the sum of the regions' losses, each times the part of the image it covers.

    Attributes:
        taps: A model from images ``(1, height, width, 3)`` to ``{layer: feature map}``.
        content: The feature maps of the content image.
        regions: The regions and their style targets.
        weights: α, β, γ, κ_l and λ_l.
        gradient_mask: Factor of each pixel's gradient, ``(height, width, 1)`` in ``[0, 1]``;
            1 if None.
    """

    taps: KerasModel
    content: FeatureMaps
    regions: Sequence[Region]
    weights: ObjectiveWeights
    gradient_mask: Tensor | None = None

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
        region = Region({name: to_moments(sums) for name, sums in blended.items()})
        return cls.from_regions(backbone, content, [region], weights)

    @classmethod
    def from_regions(
        cls,
        backbone: Backbone,
        content: Image,
        regions: Sequence[Region],
        weights: ObjectiveWeights,
        gradient_mask: Tensor | None = None,
    ) -> "StyleObjective":
        """Compute the content target; the regions already hold the style targets.

        Args:
            backbone: The network.
            content: The content image, at the size of the result.
            regions: The regions and their style targets.
            weights: The weights.
            gradient_mask: Factor of each pixel's gradient, ``(height, width, 1)``.
        """
        maps = extract_features(backbone.tap(list(weights.content_layers)), content)
        return cls(backbone.tap(weights.layers), maps, tuple(regions), weights, gradient_mask)

    def compute_loss(
        self, image: Tensor, loss_weights: LossWeights | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of an image and its terms.

        Args:
            image: A float32 tensor ``(height, width, 3)`` in ``[0, 1]``, of the size of the
                content image.
            loss_weights: α, β and γ, if other than those of ``weights``.

        Returns:
            The loss L, and ``content``, ``style``, ``tv`` and every style layer by name, before
            α, β, γ and λ_l are applied.
        """
        maps = self.taps(image[tf.newaxis], training=False)
        style, content = layer_sums(maps, self.guides, self.content)
        sums = ImageSums(style, content, tv_sums(image))
        return combine_losses(
            sums, self.weights, self.regions, self.content_norms, image.shape, loss_weights
        )

    @property
    def guides(self) -> Mapping[str, Sequence[Tensor | None]]:
        """The weight of every position by style layer, one plane for each region."""
        return list_guides(self.regions, self.weights)

    @cached_property
    def content_norms(self) -> Mapping[str, Tensor]:
        """½‖a*‖² of every content layer."""
        with tf.init_scope():  # once, not in every step
            return {name: content_sum(target) for name, target in self.content.items()}

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
        """See `Objective.compile`."""
        if optimizer not in self._steps:

            def step(x: Tensor, state: OptimizerState, loss_weights: LossWeights) -> StepResult:
                evaluate = partial(self.evaluate, loss_weights=loss_weights)
                return optimizer.step(evaluate, x, state)

            self._steps[optimizer] = tf.function(step, autograph=False)
        return self._steps[optimizer]

    @cached_property
    def _steps(self) -> dict[Optimizer, CompiledStep]:
        return {}


def list_guides(
    regions: Sequence[Region], weights: ObjectiveWeights
) -> dict[str, tuple[Tensor | None, ...]]:
    """Return the guides of all regions by style layer; None where a region is everywhere."""
    return {
        name: tuple(region.guides and region.guides[name] for region in regions)
        for name in weights.style_layers
    }


def _weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    return tf.add_n([weights[name] * loss for name, loss in losses.items()])
