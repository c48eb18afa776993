"""The initial metric of L-BFGS, in which neighboring pixels move together."""

import numpy as np
import pytest
import tensorflow as tf

from nstk.optimizers import LBFGS, Evaluation, minimize
from nstk.optimizers.lbfgs import apply_inverse_hessian, precondition


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 7, 1), (1, 9, 2)])
def test_the_metric_is_symmetric_and_shrinks_no_direction(shape):
    size = int(np.prod(shape))
    rows = [
        precondition(tf.constant(unit.reshape(shape)), 4).numpy().ravel() for unit in np.eye(size)
    ]
    matrix = np.stack(rows)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    assert np.linalg.eigvalsh(matrix).min() > 1 - 1e-5


def test_common_changes_gain_with_every_level_and_the_finest_detail_does_not():
    even = np.ones((64, 64, 3), np.float32)
    grain = even * (-1.0) ** np.indices((64, 64)).sum(axis=0)[..., np.newaxis]
    middle = slice(24, 40), slice(24, 40)
    for levels in (1, 2, 3):
        np.testing.assert_allclose(
            precondition(tf.constant(even), levels)[middle], levels, rtol=1e-5
        )
        found = precondition(tf.constant(grain), levels)[middle]
        np.testing.assert_allclose(found, grain[middle], atol=1e-5)


@pytest.mark.parametrize("shape", [(), (5,), (4, 6), (2, 4, 6, 3)])
def test_tensors_of_other_ranks_stay_unchanged(shape):
    gradient = draw(*shape)
    np.testing.assert_array_equal(precondition(tf.constant(gradient), 5), gradient)


def test_the_inverse_hessian_agrees_with_the_newest_pair_in_the_metric():
    s_history, y_history = draw(3, 6, 8, 3), draw(3, 6, 8, 3, seed=1)
    y_history += 2 * s_history
    curvatures = np.sum(s_history * y_history, axis=(1, 2, 3))
    pairs = [tf.constant(each) for each in (s_history, y_history, curvatures)]
    np.testing.assert_allclose(apply_inverse_hessian(pairs[1][-1], *pairs, 3), s_history[-1])
    gradient = tf.constant(draw(6, 8, 3, seed=2))
    nothing = [tf.zeros_like(each) for each in pairs]
    found = apply_inverse_hessian(gradient, *nothing, 3)
    np.testing.assert_array_equal(found, precondition(gradient, 3))


def test_lbfgs_converges_faster_in_the_metric_if_detail_is_steep_and_the_rest_flat():
    target = tf.constant(draw(32, 32, 3, seed=3).cumsum(axis=0).cumsum(axis=1))

    def evaluate(x):
        """Differences of neighbors, as the first layer of a network sees them."""
        with tf.GradientTape() as tape:
            tape.watch(x)
            error = x - target
            sides = (error[1:] - error[:-1], error[:, 1:] - error[:, :-1], 0.05 * error)
            loss = tf.add_n([tf.nn.l2_loss(side) for side in sides])
        return Evaluation(loss, tape.gradient(loss, x), {})

    start = tf.zeros_like(target)
    plain, preconditioned = (
        float(minimize(evaluate, start, LBFGS(first_step=1.0, levels=levels), steps=20)[1].loss)
        for levels in (1, 5)
    )
    assert preconditioned < 0.5 * plain
