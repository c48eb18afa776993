"""Smooth colors: no chroma at the scale of single pixels, the right gradient, luma untouched."""

import numpy as np
import pytest
import tensorflow as tf

from nstk.optimizers import LBFGS, Evaluation, GradientDescent, SmoothColors, minimize
from nstk.optimizers.smooth_colors import smooth_chroma

NOISE = np.random.default_rng(0).random((12, 17, 3), np.float32)
TARGET = np.random.default_rng(1).random((12, 17, 3), np.float32)


def squared_distance(x):
    return Evaluation(tf.nn.l2_loss(x - TARGET), x - TARGET, {})


def luma(image):
    return image @ np.float32([0.299, 0.587, 0.114])


def test_luma_stays_and_the_mean_color_stays():
    smooth = smooth_chroma(tf.constant(NOISE)).numpy()
    np.testing.assert_allclose(luma(smooth), luma(NOISE), atol=1e-6)
    np.testing.assert_allclose(smooth.mean((0, 1)), NOISE.mean((0, 1)), atol=1e-6)


def test_a_checkerboard_of_colors_becomes_gray_and_one_color_stays():
    rows, columns = np.indices((8, 10))
    sign = np.where((rows + columns) % 2, 1, -1)[..., None]
    red_green = np.float32([0.5, -0.5 * 0.299 / 0.587, 0])
    checked = (0.5 + sign * 0.5 * red_green).astype(np.float32)
    assert np.ptp(smooth_chroma(tf.constant(checked)).numpy()[1:-1, 1:-1]) < 1e-6
    flat = np.broadcast_to(np.float32([0.8, 0.1, 0.3]), (8, 10, 3))
    np.testing.assert_allclose(smooth_chroma(tf.constant(flat)), flat, atol=1e-6)


def test_the_gradient_is_that_of_the_smoothed_image():
    seen = []

    class Recorder(GradientDescent):
        def step(self, evaluate, x, state):
            seen.append(evaluate(x))
            return super().step(evaluate, x, state)

    x = tf.constant(NOISE, tf.float64)
    target = tf.constant(TARGET, tf.float64)

    def evaluate(x):
        return Evaluation(tf.nn.l2_loss(x - target), x - target, {})

    optimizer = SmoothColors(Recorder(0.1))
    optimizer.step(evaluate, x, optimizer.init(x))
    direction = tf.constant(np.random.default_rng(2).normal(size=NOISE.shape))
    above, below = (
        tf.nn.l2_loss(smooth_chroma(x + sign * 1e-5 * direction) - target) for sign in (1, -1)
    )
    slope = float(tf.reduce_sum(seen[0].gradient * direction))
    assert slope == pytest.approx(float(above - below) / 2e-5, rel=1e-6)


def test_the_result_is_as_near_as_the_smoothed_target_or_nearer():
    optimizer = SmoothColors(LBFGS())
    x, _ = minimize(squared_distance, tf.constant(NOISE), optimizer, steps=100)
    result = optimizer.result(x, optimizer.init(x))
    smoothed_target = smooth_chroma(tf.constant(TARGET))
    assert squared_distance(result).loss <= squared_distance(smoothed_target).loss


def test_a_gray_image_stays_exactly_as_it_is():
    gray = np.repeat(NOISE[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(smooth_chroma(tf.constant(gray)), gray)
