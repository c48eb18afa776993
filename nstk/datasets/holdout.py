"""Which images are held out for validation, and of what kind an image is."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def hold_out(names: Sequence[Path], share: float, seed: int) -> frozenset[Path]:
    """Choose the images of one class that are held out.

    Each name is drawn by a hash of seed and name, and the lowest draws are taken: the choice
    depends on neither the order nor the machine, and a new image moves at most one other.

    Args:
        names: At least two different paths, relative to the labeled folder.
        share: How many of them, from 0 to 1; rounded, but at least one on each side.
        seed: Another seed, another choice.
    """
    count = min(max(round(share * len(names)), 1), len(names) - 1)

    def draw(name: Path) -> bytes:
        return hashlib.sha256(f"{seed}/{name.as_posix()}".encode(errors="surrogateescape")).digest()

    return frozenset(sorted(names, key=draw)[:count])


def rarest_labels(labels: Sequence[Sequence[int]]) -> list[int]:
    """Name the kind of each image that may have several labels: the rarest label it has.

    Holding out a share of every kind keeps rare labels on both sides, whatever common labels
    they come with (the idea of Sechidis et al. 2011 in one step).

    Args:
        labels: The labels of each image.

    Returns:
        One label for each image, the lowest of those equally rare; −1 where it has none.
    """
    counts = Counter(label for each in labels for label in each)
    return [min(each, key=lambda label: (counts[label], label), default=-1) for each in labels]
