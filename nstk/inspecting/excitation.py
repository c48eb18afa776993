"""Which channels of a layer are strong, and the patches of images that excite them most.

After Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", fig. 2: the
nine patches with the highest activation, cut to what the cell truly sees.
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
    """A part of an image that excites a channel: exactly what one cell of the layer sees.

    Attributes:
        pixels: ``(field.height, field.width, 3)``.
        activation: Of the cell.
        source: Which image it is from, counted from 0.
        top: Its first row in the image as it was looked at.
        left: Its first column.
    """

    pixels: Image
    activation: float
    source: int
    top: int
    left: int


def measure_energy(maps: Maps) -> npt.NDArray[np.float64]:
    """Σ_ij a_ijk² of every channel k, the diagonal of its Gram matrix; adds over images."""
    energy: npt.NDArray[np.float64] = np.square(maps, dtype=np.float64).sum(axis=(0, 1))
    return energy


def pick_strongest(energy: npt.NDArray[np.float64], count: int) -> tuple[int, ...]:
    """The channels with the most energy, the strongest first."""
    return tuple(int(channel) for channel in np.argsort(-energy, kind="stable")[:count])


def find_patches(
    strength: npt.NDArray[np.float32], image: Image, field: Field, source: int, count: int
) -> list[Patch]:
    """The patches of one image that excite most, the strongest first.

    Only cells that see nothing but the image count, and no two patches share more than half of
    their height and width.

    Args:
        strength: What is looked for, one number for each cell of the layer, ``(height, width)``.
        image: What the layer saw.
        field: What one of its cells sees.
        source: Number of the image.
        count: How many at most.
    """
    rows = find_whole_cells(image.shape[0], field.rows)
    columns = find_whole_cells(image.shape[1], field.columns)
    free = np.full(strength.shape, -np.inf, np.float32)
    inside = np.s_[rows.start : rows.stop, columns.start : columns.stop]
    free[inside] = strength[inside]
    apart = [
        math.ceil(extent / (2 * axis.stride))
        for extent, axis in ((field.height, field.rows), (field.width, field.columns))
    ]
    found: list[Patch] = []
    while len(found) < count:
        i, j = np.unravel_index(int(free.argmax()), free.shape)
        if not free[i, j] > 0:
            break
        found.append(_cut(image, field, source, (int(i), int(j)), float(free[i, j])))
        near = (max(i - apart[0] + 1, 0), max(j - apart[1] + 1, 0))
        free[near[0] : i + apart[0], near[1] : j + apart[1]] = -np.inf
    return found


def merge_patches(patches: Sequence[Patch], images: int, count: int = PATCHES) -> list[Patch]:
    """The strongest patches of all images.

    Args:
        patches: Of any images, in any order.
        images: How many there are; no image gives more than its share of ``count``, rounded
            up, so that nine images or more give one patch each.
        count: How many patches at most.
    """
    share = math.ceil(count / images)
    taken: dict[int, int] = {}
    best: list[Patch] = []
    for patch in sorted(patches, key=lambda patch: -patch.activation):
        if len(best) < count and taken.get(patch.source, 0) < share:
            taken[patch.source] = taken.get(patch.source, 0) + 1
            best.append(patch)
    return best


def _cut(
    image: Image, field: Field, source: int, cell: tuple[int, int], activation: float
) -> Patch:
    top = cell[0] * field.rows.stride - field.rows.before
    left = cell[1] * field.columns.stride - field.columns.before
    # A copy, as a view would keep the whole image in memory.
    pixels = image[top : top + field.height, left : left + field.width].copy()
    return Patch(pixels, activation, source, top, left)
