"""Pictures that stand in the data more than once."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.auditing.reading import Sight
from nstk.media.duplicates import close_pairs, group_pairs

_ALIKE = 0.8
_FLAT = 4.0
_CLOSE_COLOUR = 24.0


def group_exact(sights: Sequence[Sight]) -> list[int]:
    """Group pictures with the same bytes; for each the number of its group."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(sight.digest, len(numbers)) for sight in sights]


def group_near(sights: Sequence[Sight], distance: int) -> list[int]:
    """Group pictures that look the same, with the same bytes or not.

    Close hashes make a pair worth a look; the pictures are the same if their thumbnails are
    correlated too. So neither two blank pictures of different colours nor two products in the
    middle of white paper are taken for one.

    Args:
        sights: The pictures.
        distance: Bits of the hash that may differ.

    Returns:
        For each picture the number of its group.
    """
    first: dict[str, int] = {}
    same = [(first.setdefault(sight.digest, place), place) for place, sight in enumerate(sights)]
    pairs = close_pairs([sight.hash for sight in sights], distance)
    alike = ((i, j) for i, j in pairs if _look_alike(sights[i].thumbnail, sights[j].thumbnail))
    return group_pairs(len(sights), [*same, *alike])


def members(groups: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The positions of every group of at least two, in the order of their first members."""
    found: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        found.setdefault(group, []).append(place)
    yield from (tuple(places) for places in found.values() if len(places) > 1)


def differ(places: Sequence[int], trait: Callable[[int], Hashable]) -> bool:
    """Whether the members of a group are not all the same in something."""
    return len({trait(place) for place in places}) > 1


def _look_alike(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    left, right = (thumbnail.astype(np.float64) for thumbnail in (one, other))
    a, b = left - left.mean(axis=(0, 1)), right - right.mean(axis=(0, 1))
    # Where hardly anything is to be seen, correlation compares noise: the colour decides.
    if max(a.std(), b.std()) < _FLAT:
        return bool(np.abs(left.mean(axis=(0, 1)) - right.mean(axis=(0, 1))).max() < _CLOSE_COLOUR)
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return bool((a * b).sum() > _ALIKE * scale)
