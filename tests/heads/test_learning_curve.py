"""A learning curve rises where images help, and its extrapolation is bounded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.heads.learning_curve import extrapolate, trace_learning_curve
from nstk.heads.selection import select_head
from nstk.heads.splits import Samples
from nstk.settings import FinetuneSettings


def clouds(images: int, distance: float, classes: int = 2) -> Samples:
    """Overlapping clouds, one per class."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % classes
    centers = np.eye(classes, 20) * distance
    vectors = (centers[labels] + generator.normal(0, 1, (images, 20))).astype(np.float32)
    targets = np.arange(classes) == labels[:, np.newaxis]
    return Samples({"pooled": vectors}, targets, np.arange(images))


def trace(samples, settings=None, classes=("a", "b")):
    settings = settings or FinetuneSettings()
    selection = select_head(samples, settings)
    return trace_learning_curve(samples, selection, classes, settings)


@pytest.mark.parametrize("balance", [True, False])
def test_more_images_help_where_classes_overlap(balance):
    curve = trace(clouds(200, 3), FinetuneSettings(balance=balance))
    assert curve.images == pytest.approx((20, 40, 80, 160), abs=2)
    assert curve.accuracy[-1] > curve.accuracy[0]
    assert curve.accuracy[-1] <= curve.twice <= 1
    assert curve.gain == curve.twice - curve.accuracy[-1]
    assert curve.weakest in ("a", "b")


def test_a_perfect_accuracy_has_no_gain():
    curve = trace(clouds(80, 30))
    assert curve.accuracy[-1] == 1
    assert curve.gain == 0


def test_too_few_images_have_no_curve():
    assert trace(clouds(2, 5)) is None


@given(st.floats(0, 0.5), st.floats(0.01, 2), st.integers(10, 100))
def test_an_exact_curve_is_recovered(floor, gradient, first):
    images = first * np.array([1, 2, 4, 8])
    errors = floor + gradient / np.sqrt(images)
    expected = floor + gradient / np.sqrt(16 * first)
    assert extrapolate(images, errors, 16 * first) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_an_extrapolation_is_between_perfect_and_the_last_error(errors):
    assert 0 <= extrapolate([10, 20, 40, 80], errors, 160) <= errors[-1]
