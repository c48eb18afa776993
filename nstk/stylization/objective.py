"""The objective of Gatys et al. 2016: how far a picture is from both of its targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.media.pictures import Picture
from nstk.minimizers import Evaluation
from nstk.stylization.losses import STYLE_LOSSES, measure_content, measure_variation
from nstk.stylization.regions import Region
from nstk.stylization.statistics import gather, summarize
from nstk.stylization.styles import PaintedStyle, look, mix


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
    variation: float
    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    style_loss: str = "moments"

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that is looked at, once."""
        return tuple(dict.fromkeys([*self.style_layers, *self.content_layers]))


@dataclass(frozen=True, eq=False)
class StyleObjective:
    """L = α·Σ_l κ_l·L_content^l + β·Σ_l λ_l·L_style^l + γ·L_variation, for one size of picture.

    L_style^l is the sum of the regions' losses, each times the part of the picture it covers.

    Attributes:
        taps: Pictures ``(1, height, width, 3)`` in, ``{layer: feature map}`` out.
        content: The feature maps of the content picture.
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
    def toward(
        cls,
        backbone: Backbone,
        content: Picture,
        styles: Sequence[Picture],
        weights: ObjectiveWeights,
        blending: Sequence[float] | None = None,
    ) -> "StyleObjective":
        """Look at plain pictures once and remember what the network saw.

        Args:
            backbone: The network.
            content: The content picture, at the size of the result.
            styles: The style pictures, of any sizes; they are looked at as they are.
            weights: What counts how much.
            blending: A weight for each style picture; all the same when None.
        """
        layers = tuple(weights.style_layers)
        seen = [
            PaintedStyle(f"style {number}", picture).observe(backbone, layers, max(picture.shape))
            for number, picture in enumerate(styles, 1)
        ]
        mixed = mix(seen, blending or [1.0] * len(seen))
        region = Region({name: summarize(sums) for name, sums in mixed.items()})
        return cls.within(backbone, content, [region], weights)

    @classmethod
    def within(
        cls,
        backbone: Backbone,
        content: Picture,
        regions: Sequence[Region],
        weights: ObjectiveWeights,
        free: Any | None = None,
    ) -> "StyleObjective":
        """Look at the content once; the styles have been looked at region by region.

        Args:
            backbone: The network.
            content: The content picture, at the size of the result.
            regions: Where it is to look like what.
            weights: What counts how much.
            free: How free every pixel is to move, ``(height, width, 1)``.
        """
        seen = look(backbone.tap(list(weights.content_layers)), content)
        return cls(backbone.tap(weights.layers), seen, tuple(regions), weights, free)

    def measure(self, picture: Any) -> tuple[Any, dict[str, Any]]:
        """The loss of a picture and its parts.

        Args:
            picture: A float32 tensor ``(height, width, 3)`` in ``[0, 1]``, of the size of the
                content picture.

        Returns:
            The loss L, and ``content``, ``style``, ``variation`` and every style layer by name,
            before α, β, γ and λ_l are applied.
        """
        weights = self.weights
        maps = self.taps(picture[tf.newaxis], training=False)
        content = _weighted(
            {name: measure_content(maps[name], target) for name, target in self.content.items()},
            weights.content_layers,
        )
        layers = {name: self._measure_style(name, maps[name]) for name in weights.style_layers}
        style = _weighted(layers, weights.style_layers)
        variation = measure_variation(picture)
        loss = weights.content * content + weights.style * style + weights.variation * variation
        return loss, {"content": content, "style": style, "variation": variation, **layers}

    def evaluate(self, picture: Any) -> Evaluation:
        """The loss, its gradient with respect to the pixels, and its parts."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(picture)
            loss, terms = self.measure(picture)
        gradient = tape.gradient(loss, picture)
        return Evaluation(loss, gradient if self.free is None else gradient * self.free, terms)

    def _measure_style(self, layer: str, features: Any) -> Any:
        """L_style^l = Σ_r share_r·loss_r over the regions r."""
        compare = STYLE_LOSSES[self.weights.style_loss]
        return tf.add_n(
            [
                region.share
                * compare(
                    summarize(gather(features, region.guides and region.guides[layer])),
                    region.targets[layer],
                )
                for region in self.regions
            ]
        )


def _weighted(losses: Mapping[str, Any], weights: Mapping[str, float]) -> Any:
    return tf.add_n([weights[name] * loss for name, loss in losses.items()])
