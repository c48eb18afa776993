"""Links agree with TensorFlow, and their derivatives with finite differences."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nstk.heads.links import SIGMOID, SOFTMAX

LINKS = pytest.mark.parametrize("link", [SOFTMAX, SIGMOID], ids=["softmax", "sigmoid"])
LOGITS = arrays(float, (4, 3), elements=st.floats(-800, 800))
TARGETS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]], bool)


@LINKS
@settings(max_examples=25)
@given(logits=LOGITS)
def test_probabilities_and_losses_are_those_of_tensorflow(link, logits):
    trained = link.cross_entropy(tf.constant(TARGETS, tf.float64), tf.constant(logits)).numpy()
    assert link.losses(TARGETS, logits) == pytest.approx(trained, rel=1e-12, abs=1e-12)
    layer = link.layer()(logits.astype(np.float32)).numpy()
    assert link.probabilities(logits) == pytest.approx(layer, rel=1e-3, abs=1e-6)


@LINKS
def test_losses_are_negative_logarithms_of_the_true_probabilities(link):
    logits = np.random.default_rng(0).normal(0, 2, (4, 3))
    probabilities = link.probabilities(logits)
    right = np.where(TARGETS, probabilities, 1 - probabilities if link is SIGMOID else 1)
    expected = link.losses(TARGETS, logits)
    assert -np.log(right).reshape(4, expected.shape[1], -1).sum(axis=2) == pytest.approx(expected)


@LINKS
def test_probabilities_keep_the_dtype_of_the_logits(link):
    assert link.probabilities(np.zeros((2, 3), np.float32)).dtype == np.float32


@LINKS
@settings(max_examples=25)
@given(seed=st.integers(0, 1000))
def test_the_jvp_is_the_limit_of_differences(link, seed):
    logits, changes = np.random.default_rng(seed).normal(0, 2, (2, 4, 3))
    found = link.jvp(link.probabilities(logits), changes)
    step = 1e-6
    ahead, behind = (link.probabilities(logits + sign * step * changes) for sign in (1, -1))
    assert found == pytest.approx((ahead - behind) / (2 * step), abs=1e-8)
