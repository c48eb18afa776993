"""Regions of the image with a style of their own, and the guides that mark them in feature maps.

A guide says how much each position of a feature map belongs to a region.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.errors import MaskError
from nstk.images.image import Plane
from nstk.stylization.statistics import Moments, Statistics, to_moments

EFFECTIVE_SHARE = 0.5
"""Share of a layer's reach that its receptive field is taken to be when regions are eroded.

Fields are dense in the middle and thin at the rim (Luo et al. 2016, "Understanding the Effective
Receptive Field in Deep Convolutional Neural Networks"). Over images and paintings, nine tenths
of the squared gradient of a deep cell of the packaged network lie within 0.40 to 0.45 of its
reach and 99 hundredths within 0.6. The whole reach, 66 pixels and more, would leave nothing of
most regions at the coarse scales.
"""

LEAST_SHARE = 0.25
"""Erosion leaves at least this share of a region: the style of one position alone is noise."""

LEAST_WEIGHT = 0.5
"""A region is large enough for a layer if some position has this share of the mask's maximum."""


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


def make_region(
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
            make_guide(mask, backbone, layer, map_shape(backbone, layer, mask.shape), name=name)
        )
        for layer in style
    }
    return Region(targets, guides, float(np.mean(mask)))


def map_shape(backbone: Backbone, layer: str, size: Sequence[int]) -> tuple[int, int]:
    """Height and width of a layer's feature map of an image of this height and width."""
    shape = backbone.tap([layer]).compute_output_shape((1, *size[:2], 3))[layer]
    return shape[1], shape[2]


def make_guide(
    mask: Plane,
    backbone: Backbone,
    layer: str,
    map_shape: Sequence[int],
    *,
    name: str = "the mask",
) -> Plane:
    """Weigh the positions of a feature map by how far they lie in a region of the image.

    The weight of a position is the mean of the mask over its cell, see `average_cells`, once the
    mask's edge has drawn back so far that the effective receptive field of what is left lies
    inside: by `EFFECTIVE_SHARE`·reach from the middle of a cell. Soft edges stay soft.

    Where that would leave less than `LEAST_SHARE` of the region, the edge draws back half as
    far, and half of that, down to not at all: at the coarse scales of a descent nearly every
    region is narrower than the fields of the deepest layers. Layers that see the whole image,
    by a mean over it, are not eroded.

    Args:
        mask: ``(height, width)`` of the image, ``[0, 1]``.
        backbone: The network.
        layer: One of its taps.
        map_shape: Height and width of the layer's map of this image.
        name: What the mask is called in messages.

    Returns:
        ``map_shape``, ``[0, 1]``; not normalized by its area.

    Raises:
        MaskError: If not one position of the map lies in the region even in part.
        BackboneError: If the layer is not a tap.
    """
    stride = backbone.stride(layer)
    guide = average_cells(mask, stride, map_shape)
    if guide.max() == 0:
        raise MaskError(_describe_empty(name, layer, stride))
    return _draw_back(mask, backbone, layer, guide)


def check_guides(mask: Plane, backbone: Backbone, layers: Sequence[str], name: str) -> None:
    """Refuse, before any long work, a region too small for the layers that it is to guide.

    To be asked at the full size of the result. `make_guide` takes smaller regions, as all are
    small at the coarse scales.

    Args:
        mask: ``(height, width)`` of the result, ``[0, 1]``.
        backbone: The network.
        layers: Which of its taps are guided.
        name: What the mask is called in messages.

    Raises:
        MaskError: If at some layer no position lies in the region by at least `LEAST_WEIGHT`.
    """
    for layer in layers:
        stride = backbone.stride(layer)
        cells = [math.ceil(side / stride) for side in mask.shape]
        if average_cells(mask, stride, cells).max() < LEAST_WEIGHT * mask.max():
            raise MaskError(_describe_empty(name, layer, stride))


def erode(mask: Plane, radius: int) -> Plane:
    """Draw the edge of a region back: the least of the mask in a square round each pixel.

    The border of the image is no edge. Soft edges keep their profile.

    Args:
        mask: ``(height, width)``, ``[0, 1]``.
        radius: How far back in pixels, at least 0; the square has 2·radius + 1 a side.

    Returns:
        ``(height, width)``, nowhere above the mask.
    """
    return _minimum_down(_minimum_down(mask, radius).T, radius).T


def _minimum_down(plane: Plane, radius: int) -> Plane:
    """The least of each column within a radius, by windows that double until they are wide enough.

    A minimum over ever wider windows costs as many passes as the logarithm of the radius.
    """
    window = 2 * min(radius, len(plane)) + 1
    least = np.pad(plane, ((window // 2, window // 2), (0, 0)), mode="edge")
    reached = 1
    while reached < window:
        step = min(reached, window - reached)
        least = np.minimum(least[:-step], least[step:])
        reached += step
    return least


def _erosion(backbone: Backbone, layer: str) -> int:
    """How far a region draws back for a layer, in pixels.

    A cell's own pixels lie inside; only what its field covers beyond them is to be drawn back.
    """
    reach = backbone.reach(layer)
    if reach >= WHOLE_IMAGE:
        return 0
    beyond = EFFECTIVE_SHARE * reach - (backbone.stride(layer) - 1) / 2
    return max(0, math.ceil(beyond))


def _draw_back(mask: Plane, backbone: Backbone, layer: str, guide: Plane) -> Plane:
    """The guide of what erosion leaves of a mask, or as it is where it would leave too little."""
    radius = _erosion(backbone, layer)
    while radius:
        eroded = average_cells(erode(mask, radius), backbone.stride(layer), guide.shape)
        if eroded.sum() >= LEAST_SHARE * guide.sum():
            return eroded
        radius //= 2
    return guide


def average_cells(mask: Plane, stride: int, map_shape: Sequence[int]) -> Plane:
    """The mean of a mask over each cell of a feature map.

    Cell p stands over the pixels p·stride … (p + 1)·stride − 1. Beyond the image's border the
    mask goes on as it ends, so a mask of ones gives ones, and masks that add up to 1 have means
    that add up to 1.

    Args:
        mask: ``(height, width)``, ``[0, 1]``.
        stride: Pixels from one cell to the next.
        map_shape: Rows and columns of the map.
    """
    rows, columns = map_shape
    height, width = rows * stride, columns * stride
    inside = mask[:height, :width]
    lacking = ((0, height - inside.shape[0]), (0, width - inside.shape[1]))
    cells = np.pad(inside, lacking, mode="edge").reshape(rows, stride, columns, stride)
    means: Plane = cells.mean(axis=(1, 3), dtype=np.float32)
    return means


def _describe_empty(name: str, layer: str, stride: int) -> str:
    return (
        f"{name} is too small: its region fills no position of layer {layer} "
        f"({stride}×{stride} pixels); paint a larger region, choose a larger --size or leave this "
        "layer out of --style-layers."
    )
