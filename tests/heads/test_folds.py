"""Folds divide every class evenly, and keep groups together."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nstk.heads.head import assign_folds

FOLDS = 5
SEEDS = st.integers(0, 99)


@st.composite
def grouped(draw):
    """Labels and groups of some images; a group may span classes."""
    count = draw(st.integers(1, 50))
    labels = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    groups = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    return np.array(labels), np.array(groups)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), SEEDS)
def test_folds_divide_every_class_evenly(labels, seed):
    labels = np.array(labels)
    folds = assign_folds(labels, FOLDS, seed)
    assert np.array_equal(folds, assign_folds(labels, FOLDS, seed))
    for label in np.unique(labels):
        mine = folds[labels == label]
        if len(mine) == 1:
            assert mine[0] == -1
        else:
            shares = np.bincount(mine, minlength=FOLDS)
            assert shares.max() - shares.min() <= 1
            assert shares.max() < len(mine)


@settings(max_examples=40)
@given(grouped(), SEEDS)
def test_a_group_stays_in_one_fold(images, seed):
    labels, groups = images
    folds = assign_folds(labels, FOLDS, seed, groups)
    for group in np.unique(groups):
        assert len(np.unique(folds[groups == group])) == 1


@settings(max_examples=40)
@given(grouped(), SEEDS)
def test_no_class_is_held_out_completely(images, seed):
    labels, groups = images
    folds = assign_folds(labels, FOLDS, seed, groups)
    for fold in range(FOLDS):
        assert set(labels[folds != fold]) == set(labels)


def test_groups_of_one_change_nothing():
    labels = np.arange(40) % 3
    alone = assign_folds(labels, FOLDS, 7, np.arange(40))
    assert np.array_equal(alone, assign_folds(labels, FOLDS, 7))


def test_another_seed_gives_other_folds():
    labels = np.arange(60) % 3
    assert not np.array_equal(assign_folds(labels, FOLDS, 0), assign_folds(labels, FOLDS, 1))
