"""Regions of the image with a style of their own, and the guides that mark them in feature maps.

A guide says how much each position of a feature map belongs to a region.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.datasets.listing import is_single
from nstk.errors import MaskError
from nstk.images.image import Image, Plane
from nstk.images.masks import check_mask, load_mask
from nstk.stylization.statistics import Moments, Statistics, to_moments
from nstk.types import Images, Tensor

MaskSource = Plane | str | Path
"""A mask ``(height, width)`` in ``[0, 1]``, or the path of a grayscale image of one."""


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of a run; each has the shape of the image it belongs to.

    Attributes:
        content_masks: Where in the content each style goes: none, or one for each style.
        style_masks: Which part of each style image counts: none, or one for each style.
        keep_mask: The part of the content that stays unchanged, or None.

    Example:
        >>> import nstk
        >>> masks = nstk.Masks(content_masks=["sky.png", "ground.png"], keep_mask="face.png")
        >>> len(masks.content_masks)
        2
    """

    content_masks: Sequence[MaskSource] = ()
    style_masks: Sequence[MaskSource] = ()
    keep_mask: MaskSource | None = None

    def __post_init__(self) -> None:
        for name in ("content_masks", "style_masks"):
            object.__setattr__(self, name, _as_tuple(getattr(self, name)))

    def numbered(self) -> dict[str, MaskSource]:
        """All masks by role and number: ``content mask 1``, ``style mask 1``, ``keep mask``."""
        named = {
            f"content mask {number}": mask for number, mask in enumerate(self.content_masks, 1)
        }
        named |= {f"style mask {number}": mask for number, mask in enumerate(self.style_masks, 1)}
        return named if self.keep_mask is None else {**named, "keep mask": self.keep_mask}

    def captioned(self, styles: int) -> dict[str, MaskSource]:
        """All masks by a caption for readers."""
        names = ["the style"] if styles == 1 else [f"style {k + 1}" for k in range(styles)]
        where = zip(names, self.content_masks, strict=False)
        parts = zip(names, self.style_masks, strict=False)
        named = {f"Where {name} goes": mask for name, mask in where}
        named |= {f"Part of {name} that counts": mask for name, mask in parts}
        kept = {} if self.keep_mask is None else {"Part that stays unchanged": self.keep_mask}
        return {**named, **kept}


def read_mask(mask: MaskSource) -> Plane:
    return load_mask(mask) if isinstance(mask, str | Path) else np.asarray(mask, np.float32)


def open_mask(mask: MaskSource, shape: Sequence[int], name: str) -> Plane:
    checked: Plane = check_mask(read_mask(mask), tuple(shape), name)
    return checked


def draw_mask(mask: MaskSource) -> Image:
    """Return a mask as an image that shows its inside in white."""
    return np.repeat(read_mask(mask)[..., np.newaxis], 3, axis=-1)


def _as_tuple(masks: Images) -> tuple[MaskSource, ...]:
    if isinstance(masks, str | Path):
        return (masks,)
    return (masks,) if is_single(masks) and np.ndim(np.asarray(masks)) == 2 else tuple(masks)


NO_MASKS = Masks()


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


class Region(NamedTuple):
    """A part of the image and its style target.

    ``guides`` holds the weight of every position by layer, ``(height, width)``, and nothing for
    the whole image; ``share`` is the part of the image it covers, its weight in the style loss.
    """

    targets: Mapping[str, Moments]
    guides: Mapping[str, Tensor] = {}
    share: float = 1.0


def make_region(
    style: Mapping[str, Statistics],
    mask: Plane | None = None,
    *,
    backbone: Backbone,
    name: str = "mask",
) -> Region:
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


def list_guides(
    regions: Sequence[Region], layers: Iterable[str]
) -> dict[str, tuple[Tensor | None, ...]]:
    """The guides of all regions by layer; None where a region is everywhere."""
    return {name: tuple(region.guides.get(name) for region in regions) for name in layers}


def map_shape(backbone: Backbone, layer: str, size: Sequence[int]) -> tuple[int, int]:
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
    """
    stride = backbone.stride(layer)
    guide = average_cells(mask, stride, map_shape)
    if guide.max() == 0:
        raise MaskError(_describe_empty(name, layer, stride))
    reach = backbone.reach(layer)
    # A cell's own pixels lie inside the region; only its receptive field beyond them counts.
    beyond = 0 if reach >= WHOLE_IMAGE else EFFECTIVE_SHARE * reach - (stride - 1) / 2
    radius = max(0, math.ceil(beyond))
    while radius:
        eroded = average_cells(erode(mask, radius), stride, map_shape)
        if eroded.sum() >= LEAST_SHARE * guide.sum():
            return eroded
        radius //= 2
    return guide


def check_guides(mask: Plane, backbone: Backbone, layers: Sequence[str], name: str) -> None:
    """Refuse a region that is too small for the layers it guides, before any long work.

    Call this at the full size of the result. `make_guide` accepts smaller regions, because all
    are small at the coarse scales.
    """
    for layer in layers:
        stride = backbone.stride(layer)
        cells = [math.ceil(side / stride) for side in mask.shape]
        if average_cells(mask, stride, cells).max() < LEAST_WEIGHT * mask.max():
            raise MaskError(_describe_empty(name, layer, stride))


def erode(mask: Plane, radius: int) -> Plane:
    """Erode a mask: take its minimum over a square around each pixel.

    The border of the image does not count as an edge. Soft edges keep their profile.
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


def average_cells(mask: Plane, stride: int, map_shape: Sequence[int]) -> Plane:
    """Return the mean of a mask over each cell of a feature map.

    Cell p covers the pixels p·stride … (p + 1)·stride − 1. The mask is
    extended beyond the border of the image by its edge values, so a mask of ones gives ones, and
    masks that add up to 1 have means that add up to 1.
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
