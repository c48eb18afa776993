"""The metric in which neighbors of an image move together."""

import numpy as np
import pytest
import tensorflow as tf

from nstk.optimizers import LBFGS, Evaluation, minimize
from nstk.optimizers.lbfgs import apply_inverse_hessian
from nstk.optimizers.pyramid import spread


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 7, 1), (1, 9, 2)])
def test_the_metric_is_symmetric_and_no_direction_shrinks_in_it(shape):
    size = int(np.prod(shape))
    rows = [spread(tf.constant(unit.reshape(shape)), 4).numpy().ravel() for unit in np.eye(size)]
    matrix = np.stack(rows)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    assert np.linalg.eigvalsh(matrix).min() > 1 - 1e-5


def test_what_pixels_share_gains_with_every_level_and_the_finest_grain_does_not():
    even = np.ones((64, 64, 3), np.float32)
    grain = even * (-1.0) ** np.indices((64, 64)).sum(axis=0)[..., np.newaxis]
    middle = slice(24, 40), slice(24, 40)
    for levels in (1, 2, 3):
        np.testing.assert_allclose(spread(tf.constant(even), levels)[middle], levels, rtol=1e-5)
        found = spread(tf.constant(grain), levels)[middle]
        np.testing.assert_allclose(found, grain[middle], atol=1e-5)


@pytest.mark.parametrize("shape", [(), (5,), (4, 6), (2, 4, 6, 3)])
def test_what_is_no_image_stays_as_it_is(shape):
    gradient = draw(*shape)
    np.testing.assert_array_equal(spread(tf.constant(gradient), 5), gradient)


def test_the_two_loops_still_agree_with_the_newest_pair_in_the_metric():
    shifts, turns = draw(3, 6, 8, 3), draw(3, 6, 8, 3, seed=1)
    turns += 2 * shifts
    curvatures = np.sum(shifts * turns, axis=(1, 2, 3))
    pairs = [tf.constant(each) for each in (shifts, turns, curvatures)]
    np.testing.assert_allclose(apply_inverse_hessian(pairs[1][-1], *pairs, 3), shifts[-1])
    gradient = tf.constant(draw(6, 8, 3, seed=2))
    nothing = [tf.zeros_like(each) for each in pairs]
    found = apply_inverse_hessian(gradient, *nothing, 3)
    np.testing.assert_array_equal(found, spread(gradient, 3))


def test_lbfgs_is_nearer_in_the_metric_where_grain_is_steep_and_the_rest_is_flat():
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
    plain, spreading = (
        float(minimize(evaluate, start, LBFGS(first_step=1.0, levels=levels), steps=20)[1].loss)
        for levels in (1, 5)
    )
    assert spreading < 0.5 * plain
