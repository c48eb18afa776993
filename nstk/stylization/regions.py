"""Which part of the image is to look like which style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.images.image import Plane
from nstk.stylization.guides import guide_for
from nstk.stylization.statistics import Moments, Statistics, to_moments


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the image and the moments it is to have.

    Attributes:
        targets: The moments of the style by layer.
        guides: The weight of every position by layer, ``(height, width)``; the whole image
            where None.
        share: How much the region counts in the style loss: the part of the image it covers.
    """

    targets: Mapping[str, Moments]
    guides: Mapping[str, Any] | None = None
    share: float = 1.0


def cover(
    style: Mapping[str, Statistics],
    mask: Plane | None = None,
    *,
    backbone: Backbone,
    name: str = "mask",
) -> Region:
    """Make the region that is to have the statistics of a style.

    Args:
        style: The statistics by layer.
        mask: Where, ``(height, width)`` in ``[0, 1]`` at the size of the image; everywhere
            when None.
        backbone: The network.
        name: What messages call the mask.

    Raises:
        MaskError: If nothing of the mask is left in some layer.
    """
    targets = {layer: to_moments(sums) for layer, sums in style.items()}
    if mask is None:
        return Region(targets)
    guides = {
        layer: tf.constant(
            guide_for(mask, backbone, layer, map_shape(backbone, layer, mask.shape), name=name)
        )
        for layer in style
    }
    return Region(targets, guides, float(np.mean(mask)))


def map_shape(backbone: Backbone, layer: str, size: Sequence[int]) -> tuple[int, int]:
    """Height and width of a layer's feature map of an image of this height and width."""
    shape = backbone.tap([layer]).compute_output_shape((1, *size[:2], 3))[layer]
    return shape[1], shape[2]
