"""Every loss is the formula of its docstring, recomputed with NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nstk.stylization.losses import (
    GRADIENT_FLOOR,
    content_loss,
    content_sum,
    gram_loss,
    moments_loss,
    total_variation,
    tv_from_sums,
    tv_sums,
    wasserstein_loss,
)
from nstk.stylization.statistics import (
    blend_statistics,
    covariance,
    feature_sums,
    gram_matrix,
    to_moments,
    upcast,
)

DRAW = np.random.default_rng(7)
FOUND, WANTED = DRAW.normal(size=(2, 1, 6, 5, 3)) + np.array([0.5, -0.2, 0.1])


def moments(features):
    return to_moments(feature_sums(tf.constant(features)))


def by_hand(features):
    """Gram matrix per position, mean and variance."""
    flat = features.reshape(-1, features.shape[-1])
    return flat.T @ flat / len(flat), flat.mean(0), flat.var(0)


def relative(value, target):
    return np.sum((value - target) ** 2) / np.sum(target**2)


def root(squared):
    return np.sqrt(squared + GRADIENT_FLOOR) - np.sqrt(GRADIENT_FLOOR)


def test_content_is_half_the_squared_distance_relative_to_half_the_square():
    expected = 0.5 * np.sum((FOUND - WANTED) ** 2)
    assert float(content_sum(tf.constant(FOUND), tf.constant(WANTED))) == pytest.approx(expected)
    assert float(content_sum(tf.constant(FOUND))) == pytest.approx(0.5 * np.sum(FOUND**2))
    found = content_loss(tf.constant(FOUND), tf.constant(WANTED))
    assert float(found) == pytest.approx(relative(FOUND, WANTED))


def test_gram_is_the_squared_distance_of_the_matrices_relative_to_the_target():
    expected = relative(by_hand(FOUND)[0], by_hand(WANTED)[0])
    assert float(gram_loss(moments(FOUND), moments(WANTED))) == pytest.approx(expected)


def test_moments_is_the_root_of_three_relative_distances():
    (gram, mean, variance), (gram_, mean_, variance_) = by_hand(FOUND), by_hand(WANTED)
    floor = 1e-4 * variance_.mean()
    std, std_ = np.sqrt(variance + floor), np.sqrt(variance_ + floor)
    expected = root(relative(gram, gram_) + relative(mean, mean_) + relative(std, std_))
    found = float(moments_loss(moments(FOUND), moments(WANTED)))
    assert found == pytest.approx(expected, rel=1e-9)


def test_wasserstein_is_the_distance_of_normal_distributions_relative_to_the_targets_size():
    (gram, mean, _), (gram_, mean_, variance_) = by_hand(FOUND), by_hand(WANTED)
    cov, cov_ = gram - np.outer(mean, mean), gram_ - np.outer(mean_, mean_)
    # The eigenvalues of C·C* are those of C*^½ C C*^½.
    shared = np.sqrt(np.linalg.eigvals(cov @ cov_).real).sum()
    squared = np.sum((mean - mean_) ** 2) + np.trace(cov) + np.trace(cov_) - 2 * shared
    expected = root(squared / (np.sum(mean_**2) + variance_.sum()))
    found = float(wasserstein_loss(moments(FOUND), moments(WANTED)))
    assert found == pytest.approx(expected, rel=1e-3)


def test_zero_targets_have_finite_losses():
    nothing = np.zeros_like(FOUND)
    for loss in (gram_loss, moments_loss, wasserstein_loss):
        assert np.isfinite(float(loss(moments(FOUND), moments(nothing))))
        assert float(loss(moments(nothing), moments(nothing))) == pytest.approx(0, abs=1e-6)
    assert float(content_loss(tf.constant(nothing), tf.constant(nothing))) == 0


def test_total_variation_is_the_mean_square_over_eight_neighbors():
    image = DRAW.random((5, 7, 3))
    differences = (
        (2 / 3, image[:, 1:] - image[:, :-1]),
        (2 / 3, image[1:] - image[:-1]),
        (1 / 6, image[1:, 1:] - image[:-1, :-1]),
        (1 / 6, image[1:, :-1] - image[:-1, 1:]),
    )
    sums = [np.sum(difference**2) for _, difference in differences]
    np.testing.assert_allclose(tv_sums(tf.constant(image)), sums)
    expected = sum(weight * np.mean(difference**2) for weight, difference in differences)
    assert float(total_variation(tf.constant(image))) == pytest.approx(expected)


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 4), st.integers(1, 5))
def test_the_total_variation_of_parts_adds_up_to_that_of_the_whole(row, column):
    image = tf.constant(DRAW.random((5, 6, 3)))
    parts = [
        tv_sums(image[: row + 1, : column + 1], row, column),
        tv_sums(image[: row + 1, column:], row, 6 - column),
        tv_sums(image[row:, : column + 1], 5 - row, column),
        tv_sums(image[row:, column:], 5 - row, 6 - column),
    ]
    np.testing.assert_allclose(tf.add_n(parts), tv_sums(image))
    whole = total_variation(image)
    np.testing.assert_allclose(tv_from_sums(tf.add_n(parts), (5, 6, 3)), whole)


def test_sums_are_weighted_by_the_guide():
    guide = DRAW.random((6, 5))
    found = feature_sums(tf.constant(FOUND), tf.constant(guide))
    weighted = guide[..., np.newaxis] * FOUND[0]
    np.testing.assert_allclose(found.gram, np.einsum("ijk,ijl->kl", weighted, FOUND[0]))
    np.testing.assert_allclose(found.total, weighted.sum((0, 1)))
    assert float(found.count) == pytest.approx(guide.sum())
    assert float(feature_sums(tf.constant(FOUND)).count) == 30


def test_the_gradient_of_the_gram_matrix_is_that_of_the_product():
    flat = tf.constant(DRAW.normal(size=(7, 3)))
    gradient, level = DRAW.normal(size=(3, 3)), DRAW.normal(size=3)
    with tf.GradientTape() as tape:
        tape.watch(flat)
        gram, total = gram_matrix(flat)
        value = tf.reduce_sum(gradient * gram) + tf.reduce_sum(level * total)
    np.testing.assert_allclose(gram, flat.numpy().T @ flat.numpy())
    np.testing.assert_allclose(total, flat.numpy().sum(0))
    np.testing.assert_allclose(tape.gradient(value, flat), flat @ (gradient + gradient.T) + level)


def test_covariance_is_that_of_numpy():
    expected = np.cov(FOUND.reshape(-1, 3).T, bias=True)
    np.testing.assert_allclose(covariance(moments(FOUND)), expected, atol=1e-12)


def test_a_blend_is_the_weighted_mean_of_the_moments():
    mixed = to_moments(
        blend_statistics([feature_sums(tf.constant(each)) for each in (FOUND, WANTED)], [1.0, 3.0])
    )
    for found, one, other in zip(mixed[:2], by_hand(FOUND)[:2], by_hand(WANTED)[:2], strict=True):
        np.testing.assert_allclose(found, 0.25 * one + 0.75 * other)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("bfloat16", "float32"), ("float16", "float32"), ("float32", "float32"), (*["float64"] * 2,)],
)
def test_only_half_precision_is_upcast(dtype, expected):
    assert upcast(tf.zeros([2], dtype)).dtype == expected


def test_a_variance_is_never_negative():
    sums = feature_sums(tf.fill([1, 9, 9, 2], tf.constant(0.1, tf.float32)))
    assert float(tf.reduce_min(to_moments(sums).variance)) >= 0
