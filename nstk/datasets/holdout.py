"""Holding out images for validation, stratified by label."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nstk.datasets.catalogs import Catalog, LabeledImage


def hold_out(names: Sequence[Path], share: float, seed: int) -> frozenset[Path]:
    """Choose the images of one class that are held out.

    Images are ordered by a hash of seed and name, and the first ones are held out: the choice does
    not depend on their order or the machine, and a new image displaces at most one other.

    Args:
        names: At least two different paths, relative to the labeled folder.
        share: Share to hold out, from 0 to 1; rounded, but at least one image on each side.
        seed: Seed of the choice.
    """
    count = min(max(round(share * len(names)), 1), len(names) - 1)

    def draw(name: Path) -> bytes:
        return hashlib.sha256(f"{seed}/{name.as_posix()}".encode(errors="surrogateescape")).digest()

    return frozenset(sorted(names, key=draw)[:count])


def rarest_labels(labels: Sequence[Sequence[int]]) -> list[int]:
    """Find the stratum of each multi-label image: its rarest label.

    Holding out a share of every stratum keeps rare labels on both sides (the idea of Sechidis et
    al. 2011 in one step).

    Args:
        labels: The labels of each image.

    Returns:
        One label per image, the lowest of equally rare ones; −1 for an image without labels.
    """
    counts = Counter(label for each in labels for label in each)
    return [min(each, key=lambda label: (counts[label], label), default=-1) for each in labels]


def split_validation(
    catalog: Catalog, usable: Sequence[LabeledImage], share: float, seed: int
) -> list[LabeledImage]:
    """Move a share of the training images of each stratum to the validation split.

    Args:
        catalog: The source of the images.
        usable: Its usable images.
        share: Share of each stratum, at least one image on each side.
        seed: Seed for choosing them.

    Returns:
        All images, those for validation with their new split.
    """
    train = [image for image in usable if image.split == "train"]
    names = [image.path.relative_to(catalog.root) for image in train]
    strata = rarest_labels([image.labels for image in train])
    held_out: set[Path] = set()
    for stratum in set(strata):
        members = [name for name, other in zip(names, strata, strict=True) if other == stratum]
        if len(members) > 1:
            held_out |= hold_out(members, share, seed)
    moved = [name in held_out for name in names]
    left = {
        label for image, out in zip(train, moved, strict=True) if not out for label in image.labels
    }
    kept = [
        image
        for image, out in zip(train, moved, strict=True)
        # All images of a common label may have been held out for the rarer labels they also have.
        if not out or not left.issuperset(image.labels)
    ]
    staying = set(kept)
    checked = [replace(image, split="validation") for image in train if image not in staying]
    return [*kept, *checked, *(image for image in usable if image.split != "train")]
