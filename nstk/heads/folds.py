"""Folds: every image is left out once, and what looks alike is left out together."""

import numpy as np
import numpy.typing as npt

from nstk.heads.links import Targets

Labels = npt.NDArray[np.integer]


def find_strata(targets: Targets) -> Labels:
    """Name the kind of each image, by which images are dealt: the rarest label that it has.

    Args:
        targets: Which images have which labels, ``(n, C)``.

    Returns:
        ``(n,)``; −1 for images without any label.
    """
    rarity = np.where(targets, targets.sum(axis=0), len(targets) + 1)
    return np.where(targets.any(axis=1), rarity.argmin(axis=1), -1)


def assign_folds(labels: Labels, folds: int, seed: int, groups: Labels | None = None) -> Labels:
    """Deal the images of every class over the folds like cards.

    Args:
        labels: Class of each image, or what `find_strata` gives, ``(n,)``.
        folds: How many folds, at least 2.
        seed: Of the order in which they are dealt.
        groups: Group of each image, ``(n,)``, from 0; a group stays together, and is dealt
            with the class of its first image. None lets every image go alone.

    Returns:
        For every image its fold, ``(n,)``; −1 for images that must never be missing from
        what a head is fitted on, because their class has no others, or only such as stay
        together with them.
    """
    generator = np.random.default_rng(seed)
    group = np.arange(len(labels)) if groups is None else groups
    _, first, member_of, sizes = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    dealt = np.full(len(first), -1)
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels[first] == label))
        if len(own) < 2:
            continue
        held = np.zeros(folds, int)
        for each in own[np.argsort(-sizes[own], kind="stable")]:
            dealt[each] = np.argmin(held)
            held[dealt[each]] += sizes[each]
    assigned = dealt[member_of]
    for label in np.unique(labels):
        if len(np.unique(assigned[labels == label])) < 2:
            assigned[np.isin(member_of, member_of[labels == label])] = -1
    return assigned
