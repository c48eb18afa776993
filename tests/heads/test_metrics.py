"""Metrics and their intervals agree with their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.heads.metrics import average_precision, wilson_interval
from nstk.heads.metrics import evaluate as compare

TRIALS = st.integers(1, 5000)


@st.composite
def counts(draw):
    trials = draw(TRIALS)
    return draw(st.integers(0, trials)), trials


@given(counts())
def test_an_interval_contains_the_estimate_and_stays_between_0_and_1(count):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


@given(counts(), st.integers(2, 9))
def test_more_trials_make_an_interval_narrower(count, times):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    lower, higher = wilson_interval(times * successes, times * trials)
    assert higher - lower < high - low


@given(counts())
def test_intervals_of_failures_and_successes_are_symmetric(count):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low))


@given(counts())
def test_more_confidence_makes_an_interval_wider(count):
    low, high = wilson_interval(*count)
    lower, higher = wilson_interval(*count, confidence=0.99)
    assert lower <= low
    assert high <= higher


@pytest.mark.parametrize(
    ("successes", "trials", "interval"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_intervals_are_those_of_newcombe(successes, trials, interval):
    assert wilson_interval(successes, trials) == pytest.approx(interval, abs=5e-5)


def evaluate(labels, predicted, classes):
    """Compare one label per image with the truth."""
    truth, given = (np.eye(len(classes), dtype=bool)[each] for each in (labels, predicted))
    return compare(truth, given, given.astype(float), classes)


LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(LABELS)
def test_per_class_metrics_agree_with_the_counts(pairs):
    labels, predicted = np.array(pairs).T
    found = evaluate(labels, predicted, "abcd")
    assert found.images == len(pairs) == sum(map(sum, found.confusion))
    assert found.accuracy == np.mean(labels == predicted)
    assert found.accuracy_interval == wilson_interval(int(np.sum(labels == predicted)), len(pairs))
    for index, score in enumerate(found.per_class):
        of_it, as_it = labels == index, predicted == index
        assert score.name == "abcd"[index]
        assert score.support == of_it.sum()
        if of_it.any():
            assert score.recall == pytest.approx(np.mean(predicted[of_it] == index))
            assert score.recall_interval[0] <= score.recall <= score.recall_interval[1]
        else:
            assert score.recall is score.recall_interval is None
        if as_it.any():
            assert score.precision == pytest.approx(np.mean(labels[as_it] == index))
            assert score.precision_interval[0] <= score.precision <= score.precision_interval[1]
        else:
            assert score.precision is score.precision_interval is None


def test_rows_are_true_classes_and_columns_predicted_ones():
    found = evaluate(np.array([0, 0, 1]), np.array([0, 1, 1]), ["ants", "bees"])
    assert found.confusion == ((1, 1), (0, 1))
    assert [score.recall for score in found.per_class] == [0.5, 1.0]
    assert [score.precision for score in found.per_class] == [1.0, 0.5]


def test_f1_is_the_harmonic_mean_inside_its_interval():
    truth = np.array([[1, 1], [1, 0], [1, 0], [0, 1], [0, 0]], bool)
    given_ = np.array([[1, 0], [1, 0], [0, 0], [1, 0], [0, 0]], bool)
    first, second = compare(truth, given_, given_.astype(float), "ab").per_class
    assert (first.recall, first.precision) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert first.f1 == pytest.approx(2 / 3)
    # The Jaccard index is 2 of 4.
    low, high = wilson_interval(2, 4)
    assert first.f1_interval == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert (second.recall, second.precision, second.f1) == (0.0, None, 0.0)
    assert second.precision_interval is None
    found = compare(truth[4:], given_[4:], given_[4:].astype(float), "ab")
    assert [score.f1 for score in found.per_class] == [None, None]
    assert found.mean_average_precision == 0.0
    assert found.accuracy == 1.0


def test_multi_label_confusions_are_counted_pairwise():
    truth, given_ = np.array([[1, 1, 0], [0, 1, 0]], bool), np.array([[1, 0, 1], [0, 1, 0]], bool)
    found = compare(truth, given_, given_.astype(float), "abc")
    assert found.confusion == ((1, 0, 0), (0, 1, 1), (0, 0, 0))
    assert found.accuracy == 0.5


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], (1 + 2 / 3) / 2),
        ([0, 1], [0.9, 0.1], 0.5),
        ([1, 0, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([1, 0, 1, 0], [0.9, 0.6, 0.6, 0.1], (1 + 2 / 3) / 2),
        ([0, 0], [0.5, 0.1], None),
    ],
)
def test_average_precision_is_its_formula(truth, scores, expected):
    found = average_precision(np.array(truth, bool), np.array(scores))
    assert found == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("labels", "share", "unbalanced"),
    [([0] * 4 + [1] * 4, 0.5, False), ([0] * 7 + [1], 0.875, True)],
)
def test_the_majority_share_is_the_accuracy_of_one_constant_answer(labels, share, unbalanced):
    targets = np.eye(2, dtype=bool)[labels]
    found = compare(targets, targets, targets.astype(float), ("bees", "ants"))
    assert (found.majority_share, found.is_unbalanced) == (share, unbalanced)
