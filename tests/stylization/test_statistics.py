import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nstk.stylization.statistics import blend_statistics, feature_sums, merge, to_moments

MAPS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**16))


def feature_map(height: int, width: int, channels: int, seed: int) -> tf.Tensor:
    noise = np.random.default_rng(seed).normal(size=(1, height, width, channels))
    return tf.constant(noise, tf.float32)


@settings(deadline=None, max_examples=20)
@given(MAPS)
def test_the_gram_matrix_is_the_sum_of_the_papers_formula(shape):
    features = feature_map(*shape)
    gram = tf.einsum("nijk,nijl->kl", features, features)
    np.testing.assert_allclose(feature_sums(features).gram, gram, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(MAPS)
def test_moments_match_numpy(shape):
    features = feature_map(*shape)
    moments = to_moments(feature_sums(features))
    flat = features.numpy().reshape(-1, features.shape[-1])
    np.testing.assert_allclose(moments.mean, flat.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moments.variance, flat.var(axis=0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cut", [1, 4, 7])
def test_the_statistics_of_parts_add_up_to_those_of_the_whole(cut):
    features = feature_map(8, 6, 5, seed=1)
    parts = merge([feature_sums(features[:, :cut]), feature_sums(features[:, cut:])])
    whole = feature_sums(features)
    for part, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-5)


def test_a_style_blended_with_itself_is_the_style():
    style = feature_sums(feature_map(6, 7, 4, seed=2))
    once, twice = to_moments(style), to_moments(blend_statistics([style, style], [0.3, 0.9]))
    for a, b in zip(once, twice, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_large_style_image_counts_no_more_than_a_small_one():
    small, large = feature_map(2, 2, 3, seed=3), feature_map(2, 2, 3, seed=4)
    tiled = tf.tile(large, [1, 5, 5, 1])
    even = to_moments(blend_statistics([feature_sums(small), feature_sums(large)], [1, 1]))
    with_tiled = to_moments(blend_statistics([feature_sums(small), feature_sums(tiled)], [1, 1]))
    np.testing.assert_allclose(even.gram, with_tiled.gram, rtol=1e-4, atol=1e-5)


def test_half_precision_maps_are_summed_in_single_precision():
    features = tf.fill([1, 64, 64, 2], tf.constant(300.0, tf.float16))
    assert np.isfinite(feature_sums(features).gram.numpy()).all()
    assert feature_sums(features).gram.dtype == tf.float32
