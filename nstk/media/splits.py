"""Which pictures are held out for validation."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


def hold_out(names: Sequence[Path], share: float, seed: int) -> frozenset[Path]:
    """Choose the pictures of one class that are held out.

    Each name is drawn by a hash of seed and name, and the lowest draws are taken: the choice
    depends on neither the order nor the machine, and a new picture moves at most one other.

    Args:
        names: At least two different paths, relative to the labelled folder.
        share: How many of them, from 0 to 1; rounded, but at least one on each side.
        seed: Another seed, another choice.
    """
    count = min(max(round(share * len(names)), 1), len(names) - 1)

    def draw(name: Path) -> bytes:
        return hashlib.sha256(f"{seed}/{name.as_posix()}".encode(errors="surrogateescape")).digest()

    return frozenset(sorted(names, key=draw)[:count])
