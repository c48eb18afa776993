"""The objective of Gatys et al. 2016: how far an image is from both of its targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.images.image import Image
from nstk.optimizers import Evaluation, Optimizer
from nstk.stylization.losses import STYLE_LOSSES, content_sum, tv_sums, tv_from_sums
from nstk.stylization.regions import Region
from nstk.stylization.statistics import to_moments
from nstk.stylization.styles import StyleImage, extract_features, blend_styles
from nstk.stylization.sums import Sums, sum_layers


class LossWeights(NamedTuple):
    """How much the three parts of the loss count; a step need not be compiled again for others.

    Attributes:
        content: α.
        style: β.
        variation: γ.
    """

    content: Any
    style: Any
    tv: Any


@dataclass(frozen=True)
class ObjectiveWeights:
    """What counts how much.

    Attributes:
        content: α.
        style: β.
        variation: γ.
        content_layers: Weight κ_l of each content layer.
        style_layers: λ_l of each style layer.
        style_loss: How moments are compared, a name of `STYLE_LOSSES`.
    """

    content: float
    style: float
    tv: float
    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    style_loss: str = "moments"

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that is looked at, once."""
        return tuple(dict.fromkeys([*self.style_layers, *self.content_layers]))

    @property
    def balance(self) -> LossWeights:
        """α, β and γ."""
        return LossWeights(self.content, self.style, self.tv)


def combine_losses(
    sums: Sums,
    weights: ObjectiveWeights,
    regions: Sequence[Region],
    sizes: Mapping[str, Any],
    shape: Sequence[int],
    balance: LossWeights | None = None,
) -> tuple[Any, dict[str, Any]]:
    """The loss of an image and its parts, from its sums alone.

    Args:
        sums: Of the whole image.
        weights: What counts how much.
        regions: Where it is to look like what.
        sizes: ½‖a*‖² of every content layer.
        shape: Height and width of the image.
        balance: α, β and γ, where they are not those of ``weights``.

    Returns:
        See `StyleObjective.measure`.
    """
    alpha, beta, gamma = balance or weights.balance
    content = _weighted(
        {name: error / tf.maximum(sizes[name], 1e-30) for name, error in sums.content.items()},
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
    style = _weighted(layers, weights.style_layers)
    tv = tv_from_sums(sums.tv, shape)
    loss = alpha * content + beta * style + gamma * tv
    return loss, {"content": content, "style": style, "tv": tv, **layers}


class Objective(Protocol):
    """Whatever can say how far an image of one size is from its targets, and which way is down."""

    @property
    def weights(self) -> ObjectiveWeights:
        """What counts how much where nothing else is said."""

    def evaluate(self, image: Any, balance: LossWeights | None = None) -> Evaluation:
        """The loss of an image ``(height, width, 3)``, its gradient and its parts."""

    def compile(self, optimizer: Optimizer) -> Callable[..., Any]:
        """Make a step of an optimizer as fast as it can be, or give the one made before.

        Returns:
            ``(x, state, balance) -> (x, state, evaluation)``, where ``balance`` is one of
            tensors, so that other weights cost no other step.
        """


@dataclass(frozen=True, eq=False)
class StyleObjective:
    """L = α·Σ_l κ_l·L_content^l + β·Σ_l λ_l·L_style^l + γ·L_variation, for one size of image.

    L_style^l is the sum of the regions' losses, each times the part of the image it covers.

    Attributes:
        taps: Images ``(1, height, width, 3)`` in, ``{layer: feature map}`` out.
        content: The feature maps of the content image.
        regions: Where it is to look like what.
        weights: α, β, γ, κ_l and λ_l.
        free: How free every pixel is to move, ``(height, width, 1)`` in ``[0, 1]``; all are
            where None.
    """

    taps: Any
    content: Mapping[str, Any]
    regions: Sequence[Region]
    weights: ObjectiveWeights
    free: Any | None = None

    @classmethod
    def from_images(
        cls,
        backbone: Backbone,
        content: Image,
        styles: Sequence[Image],
        weights: ObjectiveWeights,
        blending: Sequence[float] | None = None,
    ) -> "StyleObjective":
        """Look at plain images once and remember what the network saw.

        Args:
            backbone: The network.
            content: The content image, at the size of the result.
            styles: The style images, of any sizes; they are looked at as they are.
            weights: What counts how much.
            blending: A weight for each style image; all the same when None.
        """
        layers = tuple(weights.style_layers)
        seen = [
            StyleImage(f"style {number}", image).observe(backbone, layers, max(image.shape))
            for number, image in enumerate(styles, 1)
        ]
        mixed = blend_styles(seen, blending or [1.0] * len(seen))
        region = Region({name: to_moments(sums) for name, sums in mixed.items()})
        return cls.within(backbone, content, [region], weights)

    @classmethod
    def within(
        cls,
        backbone: Backbone,
        content: Image,
        regions: Sequence[Region],
        weights: ObjectiveWeights,
        free: Any | None = None,
    ) -> "StyleObjective":
        """Look at the content once; the styles have been looked at region by region.

        Args:
            backbone: The network.
            content: The content image, at the size of the result.
            regions: Where it is to look like what.
            weights: What counts how much.
            free: How free every pixel is to move, ``(height, width, 1)``.
        """
        seen = extract_features(backbone.tap(list(weights.content_layers)), content)
        return cls(backbone.tap(weights.layers), seen, tuple(regions), weights, free)

    def measure(self, image: Any, balance: LossWeights | None = None) -> tuple[Any, dict[str, Any]]:
        """The loss of an image and its parts.

        Args:
            image: A float32 tensor ``(height, width, 3)`` in ``[0, 1]``, of the size of the
                content image.
            balance: α, β and γ, where they are not those of ``weights``.

        Returns:
            The loss L, and ``content``, ``style``, ``variation`` and every style layer by name,
            before α, β, γ and λ_l are applied.
        """
        maps = self.taps(image[tf.newaxis], training=False)
        style, content = sum_layers(maps, self.guides, self.content)
        sums = Sums(style, content, tv_sums(image))
        return combine_losses(sums, self.weights, self.regions, self.sizes, image.shape, balance)

    @property
    def guides(self) -> Mapping[str, Sequence[Any]]:
        """The weight of every position by style layer, one for each region."""
        return list_guides(self.regions, self.weights)

    @cached_property
    def sizes(self) -> Mapping[str, Any]:
        """½‖a*‖² of every content layer."""
        with tf.init_scope():  # once, not in every step
            return {name: content_sum(target) for name, target in self.content.items()}

    def evaluate(self, image: Any, balance: LossWeights | None = None) -> Evaluation:
        """The loss, its gradient with respect to the pixels, and its parts; see `measure`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            loss, terms = self.measure(image, balance)
        gradient = tape.gradient(loss, image)
        return Evaluation(loss, gradient if self.free is None else gradient * self.free, terms)

    def compile(self, optimizer: Optimizer) -> Callable[..., Any]:
        """See `Objective.compile`."""
        if optimizer not in self._steps:

            def step(x: Any, state: Any, balance: LossWeights) -> Any:
                return optimizer.step(partial(self.evaluate, balance=balance), x, state)

            self._steps[optimizer] = tf.function(step, autograph=False)
        compiled: Callable[..., Any] = self._steps[optimizer]
        return compiled

    @cached_property
    def _steps(self) -> dict[Optimizer, Any]:
        return {}


def list_guides(regions: Sequence[Region], weights: ObjectiveWeights) -> dict[str, tuple[Any, ...]]:
    """The guides of all regions by style layer; None where a region is everywhere."""
    return {
        name: tuple(region.guides and region.guides[name] for region in regions)
        for name in weights.style_layers
    }


def _weighted(losses: Mapping[str, Any], weights: Mapping[str, float]) -> Any:
    return tf.add_n([weights[name] * loss for name, loss in losses.items()])
