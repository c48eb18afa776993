"""Regions of the image with a style of their own, and the guides that mark them in feature maps.

A guide says how much each position of a feature map belongs to a region.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.errors import MaskError
from nstk.images.image import Plane
from nstk.stylization.statistics import Moments, Statistics, to_moments
from nstk.types import Tensor

EFFECTIVE_SHARE = 0.5
"""Size of the effective receptive field relative to a layer's reach, for eroding regions.

Receptive fields are dense in the middle and thin at the edge (Luo et al. 2016, "Understanding the
Effective Receptive Field in Deep Convolutional Neural Networks"). Over photographs and paintings,
90 % of the squared gradient of a deep cell of the packaged network lie within 0.40 to 0.45 of
its reach and 99 % within 0.6. Eroding by the whole reach, 66 pixels and more, would erase most
regions at the coarse scales.
"""

LEAST_SHARE = 0.25
"""Least share of a region that erosion leaves: the statistics of a few positions are noise."""

LEAST_WEIGHT = 0.5
"""A region suits a layer if some position has at least this share of the mask's maximum."""


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the image and its style target.

    Attributes:
        targets: The moments of the style by layer.
        guides: The weight of every position by layer, ``(height, width)``; None for the whole
            image.
        share: Weight of the region in the style loss: the part of the image it covers.
    """

    targets: Mapping[str, Moments]
    guides: Mapping[str, Tensor] | None = None
    share: float = 1.0


def make_region(
    style: Mapping[str, Statistics],
    mask: Plane | None = None,
    *,
    backbone: Backbone,
    name: str = "mask",
) -> Region:
    """Create a region from the statistics of its style.

    Args:
        style: The statistics by layer.
        mask: The region, ``(height, width)`` in ``[0, 1]`` at the size of the image; None for
            the whole image.
        backbone: The network.
        name: What error messages call the mask.

    Raises:
        MaskError: If the mask is empty in some layer.
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
    """Return height and width of a layer's feature map for an image of a height and width."""
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
    """Weight the positions of a feature map by how far they lie inside a region of the image.

    The weight of a position is the mean of the eroded mask over its cell, see `average_cells`.
    The mask is eroded until the effective receptive field of what is left lies inside the
    region: by `EFFECTIVE_SHARE`·reach from the middle of a cell. Soft edges stay soft.

    If that would leave less than `LEAST_SHARE` of the region, the radius is halved until it does
    not, down to 0: at the coarse scales nearly every region is narrower than the receptive
    fields of the deepest layers. Layers that depend on a mean over the whole image are not
    eroded.

    Args:
        mask: ``(height, width)`` of the image, ``[0, 1]``.
        backbone: The network.
        layer: One of its taps.
        map_shape: Height and width of the layer's map of this image.
        name: What error messages call the mask.

    Returns:
        ``map_shape``, ``[0, 1]``; not normalized by its area.

    Raises:
        MaskError: If no position of the map overlaps the region.
        BackboneError: If the layer is not a tap.
    """
    stride = backbone.stride(layer)
    guide = average_cells(mask, stride, map_shape)
    if guide.max() == 0:
        raise MaskError(_describe_empty(name, layer, stride))
    return _erode_guide(mask, backbone, layer, guide)


def check_guides(mask: Plane, backbone: Backbone, layers: Sequence[str], name: str) -> None:
    """Refuse a region that is too small for the layers it guides, before any long work.

    Call this at the full size of the result. `make_guide` accepts smaller regions, because all
    are small at the coarse scales.

    Args:
        mask: ``(height, width)`` of the result, ``[0, 1]``.
        backbone: The network.
        layers: The guided layers.
        name: What error messages call the mask.

    Raises:
        MaskError: If at some layer no position has a weight of `LEAST_WEIGHT` or more.
    """
    for layer in layers:
        stride = backbone.stride(layer)
        cells = [math.ceil(side / stride) for side in mask.shape]
        if average_cells(mask, stride, cells).max() < LEAST_WEIGHT * mask.max():
            raise MaskError(_describe_empty(name, layer, stride))


def erode(mask: Plane, radius: int) -> Plane:
    """Erode a mask: take its minimum over a square around each pixel.

    The border of the image does not count as an edge. Soft edges keep their profile.

    Args:
        mask: ``(height, width)``, ``[0, 1]``.
        radius: In pixels, at least 0; the side of the square is 2·radius + 1.

    Returns:
        ``(height, width)``, nowhere above the mask.
    """
    return _column_minimum(_column_minimum(mask, radius).T, radius).T


def _column_minimum(plane: Plane, radius: int) -> Plane:
    """The running minimum of each column, over windows that double until they are wide enough.

    The number of passes grows with the logarithm of the radius.
    """
    window = 2 * min(radius, len(plane)) + 1
    least = np.pad(plane, ((window // 2, window // 2), (0, 0)), mode="edge")
    reached = 1
    while reached < window:
        step = min(reached, window - reached)
        least = np.minimum(least[:-step], least[step:])
        reached += step
    return least


def _erosion_radius(backbone: Backbone, layer: str) -> int:
    """The erosion radius for a layer, in pixels.

    A cell's own pixels lie inside the region; only its receptive field beyond them counts.
    """
    reach = backbone.reach(layer)
    if reach >= WHOLE_IMAGE:
        return 0
    beyond = EFFECTIVE_SHARE * reach - (backbone.stride(layer) - 1) / 2
    return max(0, math.ceil(beyond))


def _erode_guide(mask: Plane, backbone: Backbone, layer: str, guide: Plane) -> Plane:
    """The guide of the eroded mask, with a smaller radius if too little would be left."""
    radius = _erosion_radius(backbone, layer)
    while radius:
        eroded = average_cells(erode(mask, radius), backbone.stride(layer), guide.shape)
        if eroded.sum() >= LEAST_SHARE * guide.sum():
            return eroded
        radius //= 2
    return guide


def average_cells(mask: Plane, stride: int, map_shape: Sequence[int]) -> Plane:
    """Return the mean of a mask over each cell of a feature map.

    Cell p covers the pixels p·stride … (p + 1)·stride − 1. The mask is
    extended beyond the border of the image by its edge values, so a mask of ones gives ones, and
    masks that add up to 1 have means that add up to 1.

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
        f"({stride}×{stride} pixels); draw a larger region, choose a larger `size` or remove "
        "this layer from `style_layers`."
    )
