"""Folds: every image is held out once, together with its near-duplicates."""

import numpy as np

from nstk.types import Labels, Targets


def find_strata(targets: Targets) -> Labels:
    """Assign each image to a stratum: the rarest of its labels.

    Args:
        targets: The labels of the images, ``(n, C)``.

    Returns:
        ``(n,)``; −1 for images without a label.
    """
    rarity = np.where(targets, targets.sum(axis=0), len(targets) + 1)
    return np.where(targets.any(axis=1), rarity.argmin(axis=1), -1)


def assign_folds(labels: Labels, folds: int, seed: int, groups: Labels | None = None) -> Labels:
    """Distribute the images of every class evenly over the folds.

    Args:
        labels: Class of each image, or its stratum from `find_strata`, ``(n,)``.
        folds: Number of folds, at least 2.
        seed: Random seed.
        groups: Group of each image, ``(n,)``, from 0; the images of a group share a fold, chosen
            by the class of the first one. None puts every image in a group of its own.

    Returns:
        Fold of each image, ``(n,)``; −1 for images that have to stay in every training set,
        because their class has no images outside their group.
    """
    generator = np.random.default_rng(seed)
    group = np.arange(len(labels)) if groups is None else groups
    _, first, member_of, sizes = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    fold_of_group = np.full(len(first), -1)
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels[first] == label))
        if len(own) < 2:
            continue
        counts = np.zeros(folds, int)
        for each in own[np.argsort(-sizes[own], kind="stable")]:
            fold_of_group[each] = np.argmin(counts)
            counts[fold_of_group[each]] += sizes[each]
    assigned = fold_of_group[member_of]
    for label in np.unique(labels):
        if len(np.unique(assigned[labels == label])) < 2:
            assigned[np.isin(member_of, member_of[labels == label])] = -1
    return assigned
