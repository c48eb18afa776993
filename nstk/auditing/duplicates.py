"""Duplicates and near-duplicates among images."""

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nstk.auditing.reading import AuditedImage
from nstk.images.hashes import group_duplicates

_CORRELATION = 0.8
_FLAT = 4.0
_CLOSE_COLOR = 24.0
_BLOCK = 1024


def group_identical(images: Sequence[AuditedImage]) -> list[int]:
    """Group images with the same bytes; returns the group of each image."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(image.digest, len(numbers)) for image in images]


def group_similar(images: Sequence[AuditedImage], distance: int) -> list[int]:
    """Group images that look the same, with the same bytes or not.

    Two images are near-duplicates if their hashes are close and their thumbnails correlated. So
    blank images of different colors, or two products on white paper, are not.

    Args:
        images: The images.
        distance: Bits of the hash that may differ.

    Returns:
        The group of each image.
    """
    if not images:
        return []
    thumbnails = _Thumbnails(np.stack([image.thumbnail for image in images]))
    return group_duplicates([image.hash for image in images], distance, thumbnails.find_similar)


def list_groups(groups: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The indices of every group of at least two images, in the order of their first members."""
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    yield from (tuple(indices) for indices in members.values() if len(indices) > 1)


def differ(indices: Sequence[int], value: Callable[[int], Hashable]) -> bool:
    """Whether a value is not the same for all members of a group."""
    return len({value(index) for index in indices}) > 1


class _Thumbnails:
    """Compares one thumbnail with many others; takes uint8 ``(n, height, width, 3)``."""

    def __init__(self, levels: npt.NDArray[np.uint8]) -> None:
        self._levels = levels.reshape(len(levels), -1)
        self._means = np.array([each.mean(axis=(0, 1)) for each in levels])
        pairs = zip(levels, self._means, strict=True)
        self._stds = np.array([(each - mean).std() for each, mean in pairs])

    def find_similar(self, index: int, others: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Which of the others ``(m,)`` show the same as one, ``(m,)``."""
        colors = np.abs(self._means[others] - self._means[index]).max(axis=1)
        std, stds = self._stds[index], self._stds[others]
        least = _CORRELATION * self._levels.shape[1] * std * stds
        # In nearly blank images correlation compares noise: there the color decides.
        flat = np.maximum(std, stds) < _FLAT
        similar: npt.NDArray[np.bool_]
        similar = np.where(flat, colors < _CLOSE_COLOR, self._products(index, others) > least)
        return similar

    def _products(self, index: int, others: npt.NDArray[np.intp]) -> npt.NDArray[np.floating]:
        """Dot products of one centered thumbnail with each of the others, ``(m,)``."""
        mean = np.tile(self._means[index], self._levels.shape[1] // 3)
        one = (self._levels[index] - mean).astype(np.float32)
        blocks = np.array_split(others, -(-len(others) // _BLOCK))
        return np.concatenate([self._levels[block].astype(np.float32) @ one for block in blocks])
