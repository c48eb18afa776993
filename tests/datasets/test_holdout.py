"""What is held out: how many of a kind, and of what kind an image is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.datasets.folders import hold_out, rarest_labels

NAMES = [Path(f"ants/{number}.jpg") for number in range(40)]

KNOWN = [["11", "3", "4"], ["10", "6", "7"]]
"""What seeds 0 and 1 hold out of the first twelve."""


@pytest.mark.parametrize(
    ("names", "share", "count"),
    [
        (10, 0.2, 2),
        (10, 0.26, 3),
        (10, 0.24, 2),
        (10, 0.0, 1),
        (10, 0.04, 1),
        (10, 1.0, 9),
        (10, 0.99, 9),
        (2, 0.2, 1),
        (2, 0.9, 1),
        (40, 0.5, 20),
    ],
)
def test_the_share_is_rounded_and_neither_side_is_empty(names, share, count):
    assert len(hold_out(NAMES[:names], share, 0)) == count


def test_a_choice_of_a_seed_stays_what_it_was():
    assert sorted(path.stem for path in hold_out(NAMES[:12], 0.25, 0)) == KNOWN[0]
    assert sorted(path.stem for path in hold_out(NAMES[:12], 0.25, 1)) == KNOWN[1]


def test_a_larger_share_holds_out_the_same_and_more():
    assert hold_out(NAMES, 0.1, 3) < hold_out(NAMES, 0.3, 3)


@given(st.lists(st.lists(st.integers(0, 4), unique=True)))
def test_the_kind_of_a_image_is_the_rarest_label_it_has(labels):
    counts = {label: sum(label in each for each in labels) for label in range(5)}
    for each, kind in zip(labels, rarest_labels(labels), strict=True):
        if not each:
            assert kind == -1
            continue
        fewest = min(counts[label] for label in each)
        assert kind == min(label for label in each if counts[label] == fewest)
