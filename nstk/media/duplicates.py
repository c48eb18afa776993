"""Pictures that are nearly the same: a hash of what is seen, and groups of close hashes."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from nstk.media.color_spaces import LUMA

NEAR = 8
"""How many of the 64 bits may differ between two pictures that are nearly the same.

Of 397 photographs of insects and 600 of waste, some taken twice, the pictures taken twice differ
in at most 5 bits and all others in at least 9. The same pictures differ from copies at half the
size, in JPEG of quality 20, made brighter by a fifth or cropped by a fiftieth in at most 8 bits
in 97 of 100 cases or more.
"""

_SIDE = 32
_BLOCK = 1024
_FREQUENCIES = sorted(np.ndindex(11, 11), key=lambda place: (sum(place), place))[1:65]
_ROWS, _COLUMNS = np.array(_FREQUENCIES).T
_COSINES = np.cos(np.pi * np.outer(np.arange(11), 2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
_BITS = np.arange(64, dtype=np.uint64)


def picture_hash(pixels: npt.NDArray[np.generic]) -> int:
    """Give 64 bits that hardly change when a picture is resized, compressed or made brighter.

    Bit k is the sign of the k-th lowest frequency, k = 1 to 64, in the cosine transform of the
    picture's brightness on a 32 × 32 grid (after Zauner 2010, with signs instead of a median).
    Signs of differences of neighbours, the usual dHash, were tried: at equal tolerance they take
    ten times as many strangers for relatives.

    Args:
        pixels: ``(height, width, 3)``, upright, of any size and scale (``[0, 1]`` or 0 to 255).

    Returns:
        A number from 0 to 2⁶⁴ − 1; 0 for a picture of one colour.
    """
    brightness = np.asarray(pixels, np.float32) @ LUMA.astype(np.float32)
    grid = Image.fromarray(brightness).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    levels = np.asarray(grid, np.float64)
    spectrum = _COSINES @ levels @ _COSINES.T
    # What rounding leaves of a picture of one colour must not count as a pattern.
    bits = spectrum[_ROWS, _COLUMNS] > 1e-3 * np.abs(levels).max()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def group_duplicates(hashes: Sequence[int], distance: int = NEAR) -> list[int]:
    """Group pictures whose hashes are close, or close to those of others in the group.

    Args:
        hashes: What `picture_hash` gave.
        distance: The most bits that may differ between two that are close.

    Returns:
        For each hash the number of its group; groups are numbered from 0 in the order of their
        first members, and what resembles nothing is a group of its own.
    """
    return group_pairs(len(hashes), close_pairs(hashes, distance))


def close_pairs(hashes: Sequence[int], distance: int = NEAR) -> list[tuple[int, int]]:
    """Find all pairs of hashes that differ in at most ``distance`` bits.

    Args:
        hashes: What `picture_hash` gave.
        distance: From 0 to 64.

    Returns:
        Pairs of positions ``(i, j)`` with i < j, in ascending order.
    """
    return list(_close_pairs(np.array(hashes, np.uint64), distance))


def group_pairs(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Group what is connected by pairs, directly or through others (union-find).

    Args:
        count: How many there are.
        pairs: Positions from 0 to ``count`` − 1.

    Returns:
        For each of them the number of its group, as `group_duplicates` numbers them.
    """
    parents = list(range(count))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for one, other in pairs:
        roots = root(one), root(other)
        parents[max(roots)] = min(roots)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(place), len(numbers)) for place in range(count)]


def _close_pairs(hashes: npt.NDArray[np.uint64], distance: int) -> Iterator[tuple[int, int]]:
    # With bits as ±1, a · b = 64 − 2 · (bits that differ): all distances are a matrix product.
    signs = np.where((hashes[:, np.newaxis] >> _BITS) & np.uint64(1), 1, -1).astype(np.float32)
    for start in range(0, len(signs), _BLOCK):
        products = signs[start : start + _BLOCK] @ signs[start:].T
        rows, columns = np.nonzero(np.triu(products >= 64 - 2 * distance, 1))
        yield from zip((rows + start).tolist(), (columns + start).tolist(), strict=True)
