"""The objective of Gatys et al. 2016: how far a picture is from both of its targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.media.pictures import Picture
from nstk.minimizers import Evaluation
from nstk.stylization.losses import measure_content, measure_style, measure_variation
from nstk.stylization.statistics import Moments, blend, gather, summarize


@dataclass(frozen=True)
class ObjectiveWeights:
    """What counts how much.

    Attributes:
        content: α.
        style: β.
        variation: γ.
        content_layers: Weight of each content layer.
        style_layers: λ_l of each style layer.
    """

    content: float
    style: float
    variation: float
    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class StyleObjective:
    """L = α·Σ_l κ_l·L_content^l + β·Σ_l λ_l·L_style^l + γ·L_variation, for one size of picture.

    Attributes:
        taps: Pictures ``(1, height, width, 3)`` in, ``{layer: feature map}`` out.
        content: The feature maps of the content picture.
        style: The moments of the style pictures.
        weights: α, β, γ, κ_l and λ_l.
    """

    taps: Any
    content: Mapping[str, Any]
    style: Mapping[str, Moments]
    weights: ObjectiveWeights

    @classmethod
    def toward(
        cls,
        backbone: Backbone,
        content: Picture,
        styles: Sequence[Picture],
        weights: ObjectiveWeights,
        blending: Sequence[float] | None = None,
    ) -> "StyleObjective":
        """Look at the targets once and remember what the network saw.

        Args:
            backbone: The network.
            content: The content picture, at the size of the result.
            styles: The style pictures, of any sizes.
            weights: What counts how much.
            blending: A weight for each style picture; all the same when None.
        """
        content_taps = backbone.tap(list(weights.content_layers))
        style_taps = backbone.tap(list(weights.style_layers))
        seen = [_look(style_taps, picture) for picture in styles]
        shares = [1.0] * len(styles) if blending is None else list(blending)
        style = {
            name: summarize(blend([gather(maps[name]) for maps in seen], shares))
            for name in weights.style_layers
        }
        both = dict.fromkeys([*weights.style_layers, *weights.content_layers])
        return cls(backbone.tap(list(both)), _look(content_taps, content), style, weights)

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
        layers = {
            name: measure_style(summarize(gather(maps[name])), target)
            for name, target in self.style.items()
        }
        style = _weighted(layers, weights.style_layers)
        variation = measure_variation(picture)
        loss = weights.content * content + weights.style * style + weights.variation * variation
        return loss, {"content": content, "style": style, "variation": variation, **layers}

    def evaluate(self, picture: Any) -> Evaluation:
        """The loss, its gradient with respect to the pixels, and its parts."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(picture)
            loss, terms = self.measure(picture)
        return Evaluation(loss, tape.gradient(loss, picture), terms)


def _look(taps: Any, picture: Picture) -> Any:
    """The feature maps of one picture."""
    return taps(tf.constant(np.asarray(picture)[np.newaxis]), training=False)


def _weighted(losses: Mapping[str, Any], weights: Mapping[str, float]) -> Any:
    return tf.add_n([weights[name] * loss for name, loss in losses.items()])
