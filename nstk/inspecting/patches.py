"""The strongest channels of a layer, and the image patches that activate them most.

After Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", fig. 2: the
nine patches with the highest activation, cropped to the receptive field.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.images.image import Image
from nstk.inspecting.layers import Field, find_whole_cells

Maps = npt.NDArray[np.float32]
"""Feature maps of one image: ``(height, width, channels)``."""

PATCHES = 9


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of an image that activates a channel: exactly the receptive field of one cell.

    Attributes:
        pixels: ``(field.height, field.width, 3)``.
        activation: Of the cell.
        source: Index of its image.
        top: Its first row in the image at inspection size.
        left: Its first column.
    """

    pixels: Image
    activation: float
    source: int
    top: int
    left: int


def channel_energy(maps: Maps) -> npt.NDArray[np.float64]:
    """Σ_ij a_ijk² of every channel k, the diagonal of its Gram matrix; adds over images."""
    energy: npt.NDArray[np.float64] = np.square(maps, dtype=np.float64).sum(axis=(0, 1))
    return energy


def strongest_channels(energy: npt.NDArray[np.float64], count: int) -> tuple[int, ...]:
    """The channels with the most energy, highest first."""
    return tuple(int(channel) for channel in np.argsort(-energy, kind="stable")[:count])


def find_patches(
    activation: npt.NDArray[np.float32], image: Image, field: Field, source: int, count: int
) -> list[Patch]:
    """The patches of one image with the highest activation, highest first.

    Only cells whose receptive field lies inside the image count, and no two patches share more
    than half of their height and width.

    Args:
        activation: One value for each cell of the layer, ``(height, width)``.
        image: The input of the layer.
        field: Receptive field of its cells.
        source: Index of the image.
        count: Maximum number of patches.
    """
    rows = find_whole_cells(image.shape[0], field.rows)
    columns = find_whole_cells(image.shape[1], field.columns)
    free = np.full(activation.shape, -np.inf, np.float32)
    inside = np.s_[rows.start : rows.stop, columns.start : columns.stop]
    free[inside] = activation[inside]
    apart = [
        math.ceil(extent / (2 * axis.stride))
        for extent, axis in ((field.height, field.rows), (field.width, field.columns))
    ]
    patches: list[Patch] = []
    while len(patches) < count:
        i, j = np.unravel_index(int(free.argmax()), free.shape)
        if not free[i, j] > 0:
            break
        patches.append(_crop(image, field, source, (int(i), int(j)), float(free[i, j])))
        near = (max(i - apart[0] + 1, 0), max(j - apart[1] + 1, 0))
        free[near[0] : i + apart[0], near[1] : j + apart[1]] = -np.inf
    return patches


def merge_patches(patches: Sequence[Patch], images: int, count: int = PATCHES) -> list[Patch]:
    """The patches with the highest activation over all images.

    Args:
        patches: In any order.
        images: Number of images. No image contributes more than its share of ``count``, rounded
            up, so that nine images or more contribute one patch each.
        count: Maximum number of patches.
    """
    share = math.ceil(count / images)
    taken: dict[int, int] = {}
    best: list[Patch] = []
    for patch in sorted(patches, key=lambda patch: -patch.activation):
        if len(best) < count and taken.get(patch.source, 0) < share:
            taken[patch.source] = taken.get(patch.source, 0) + 1
            best.append(patch)
    return best


def _crop(
    image: Image, field: Field, source: int, cell: tuple[int, int], activation: float
) -> Patch:
    top = cell[0] * field.rows.stride - field.rows.before
    left = cell[1] * field.columns.stride - field.columns.before
    # A copy: a view would keep the whole image in memory.
    pixels = image[top : top + field.height, left : left + field.width].copy()
    return Patch(pixels, activation, source, top, left)
