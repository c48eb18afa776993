"""How good a classifier is, and how sure that number is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.finetuning.evaluation import evaluate as compare
from nstk.finetuning.evaluation import wilson_interval

TRIALS = st.integers(1, 5000)


@st.composite
def counts(draw):
    trials = draw(TRIALS)
    return draw(st.integers(0, trials)), trials


@given(counts())
def test_an_interval_holds_the_estimate_and_stays_between_0_and_1(count):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


@given(counts(), st.integers(2, 9))
def test_more_trials_make_an_interval_shorter(count, times):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    lower, higher = wilson_interval(times * successes, times * trials)
    assert higher - lower < high - low


@given(counts())
def test_failures_are_the_mirror_of_successes(count):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low))


@given(counts())
def test_more_confidence_makes_an_interval_longer(count):
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
def test_published_intervals_are_met(successes, trials, interval):
    assert wilson_interval(successes, trials) == pytest.approx(interval, abs=5e-5)


def evaluate(labels, predicted, classes):
    """Compare one label a picture with the truth."""
    truth, given = (np.eye(len(classes), dtype=bool)[each] for each in (labels, predicted))
    return compare(truth, given, given.astype(float), classes)


LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(LABELS)
def test_the_table_and_the_counts_tell_the_same_story(pairs):
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
