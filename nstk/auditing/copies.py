"""Images that stand in the data more than once."""

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nstk.auditing.reading import AuditedImage
from nstk.images.hashes import group_duplicates

_ALIKE = 0.8
_FLAT = 4.0
_CLOSE_COLOR = 24.0
_BLOCK = 1024


def group_exact(sights: Sequence[AuditedImage]) -> list[int]:
    """Group images with the same bytes; for each the number of its group."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(sight.digest, len(numbers)) for sight in sights]


def group_near(sights: Sequence[AuditedImage], distance: int) -> list[int]:
    """Group images that look the same, with the same bytes or not.

    Close hashes make a pair worth a look; the images are the same if their thumbnails are
    correlated too. So neither two blank images of different colors nor two products in the
    middle of white paper are taken for one.

    Args:
        sights: The images.
        distance: Bits of the hash that may differ.

    Returns:
        For each image the number of its group.
    """
    if not sights:
        return []
    thumbnails = _Thumbnails(np.stack([sight.thumbnail for sight in sights]))
    return group_duplicates([sight.hash for sight in sights], distance, thumbnails.find_alike)


def members(groups: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The positions of every group of at least two, in the order of their first members."""
    found: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        found.setdefault(group, []).append(place)
    yield from (tuple(places) for places in found.values() if len(places) > 1)


def differ(places: Sequence[int], trait: Callable[[int], Hashable]) -> bool:
    """Whether the members of a group are not all the same in something."""
    return len({trait(place) for place in places}) > 1


class _Thumbnails:
    """Thumbnails, of which one is compared with many at a time.

    Args:
        levels: uint8 ``(n, height, width, 3)``.
    """

    def __init__(self, levels: npt.NDArray[np.uint8]) -> None:
        self._levels = levels.reshape(len(levels), -1)
        self._means = np.array([each.mean(axis=(0, 1)) for each in levels])
        pairs = zip(levels, self._means, strict=True)
        self._spreads = np.array([(each - mean).std() for each, mean in pairs])

    def find_alike(self, place: int, others: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Which of the others ``(m,)`` show the same as one, ``(m,)``."""
        colors = np.abs(self._means[others] - self._means[place]).max(axis=1)
        spread, spreads = self._spreads[place], self._spreads[others]
        least = _ALIKE * self._levels.shape[1] * spread * spreads
        # Where hardly anything is to be seen, correlation compares noise: the color decides.
        flat = np.maximum(spread, spreads) < _FLAT
        found: npt.NDArray[np.bool_]
        found = np.where(flat, colors < _CLOSE_COLOR, self._multiply(place, others) > least)
        return found

    def _multiply(self, place: int, others: npt.NDArray[np.intp]) -> npt.NDArray[np.floating]:
        """The products of one less its mean with each of the others, ``(m,)``."""
        mean = np.tile(self._means[place], self._levels.shape[1] // 3)
        one = (self._levels[place] - mean).astype(np.float32)
        blocks = np.array_split(others, -(-len(others) // _BLOCK))
        return np.concatenate([self._levels[block].astype(np.float32) @ one for block in blocks])
