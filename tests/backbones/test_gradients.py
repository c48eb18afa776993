"""Our own gradients equal those of TensorFlow, and the graphs they are traced in are not kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nstk.backbones.backbone import Backbone
from nstk.backbones.convolutions import can_speed_up
from nstk.backbones.gradients import convolve, turn_kernel
from nstk.backbones.winograd import convolve_by_winograd, transform_kernel
from nstk.optimizers import Evaluation, multiply_hessian

SIDES = st.integers(1, 13)


def draw(shape, seed):
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def convolve_fast(maps, kernel):
    return convolve(maps, kernel, turn_kernel(kernel))


def convolve_wide(maps, kernel):
    with tf.init_scope():
        turned = turn_kernel(kernel)
    return convolve_by_winograd(
        maps, *(transform_kernel(each.numpy()) for each in (kernel, turned))
    )


def convolve_directly(maps, kernel):
    return tf.nn.conv2d(maps, kernel, 1, "SAME")


def evaluate(function, maps, kernel):
    """A loss through two convolutions, and its gradients with respect to maps and kernel."""
    with tf.init_scope():
        second = turn_kernel(kernel)
    with tf.GradientTape() as tape:
        tape.watch([maps, kernel])
        loss = tf.reduce_sum(tf.sin(0.1 * function(tf.nn.relu(function(maps, kernel)), second)))
    gradient, of_kernel = tape.gradient(loss, [maps, kernel])
    return Evaluation(loss, gradient, {"kernel": of_kernel})


def assert_near(found, wanted):
    for each, other in zip(tf.nest.flatten(found), tf.nest.flatten(wanted), strict=True):
        scale = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(each, other, atol=2e-5 * scale)


@settings(max_examples=15)
@given(height=SIDES, width=SIDES, side=st.sampled_from([1, 3, 5]), seed=st.integers(0, 99))
def test_a_convolution_has_the_value_and_the_gradients_of_a_direct_one(height, width, side, seed):
    maps, kernel = draw((2, height, width, 3), seed), draw((side, side, 3, 4), seed + 1)
    np.testing.assert_array_equal(convolve_fast(maps, kernel), convolve_directly(maps, kernel))
    assert_near(evaluate(convolve_fast, maps, kernel), evaluate(convolve_directly, maps, kernel))


@settings(max_examples=15)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_winograd_has_the_value_and_the_gradient_of_a_direct_convolution(height, width, seed):
    maps, kernel = draw((2, height, width, 3), seed), draw((3, 3, 3, 4), seed + 1)
    assert_near(convolve_wide(maps, kernel), convolve_directly(maps, kernel))
    found, wanted = (
        evaluate(function, maps, kernel) for function in (convolve_wide, convolve_directly)
    )
    assert_near(found.gradient, wanted.gradient)


@pytest.mark.parametrize("function", [convolve_fast, convolve_wide])
def test_a_product_with_the_hessian_is_that_of_a_direct_convolution(function):
    maps, direction, kernel = draw((1, 6, 7, 4), 0), draw((1, 6, 7, 4), 1), draw((3, 3, 4, 5), 2)

    def multiply(function):
        @tf.function(autograph=False)
        def product(maps, direction):
            return multiply_hessian(lambda x: evaluate(function, x, kernel), maps, direction)

        return product(maps, direction)

    assert_near(multiply(function), multiply(convolve_directly))


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(5)
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs)
    maps = keras.layers.Conv2D(128, 3, padding="same", activation="relu", name="second")(maps)
    maps = keras.layers.Conv2D(128, 3, padding="same", activation="relu", name="wide")(maps)
    maps = keras.layers.Conv2D(8, 3, 2, padding="same", name="strided")(maps)
    maps = keras.layers.Conv2D(8, 3, padding="same", groups=2, name="grouped")(maps)
    return Backbone("plain", keras.Model(inputs, maps), 32, "seeded")


def differentiate(backbone, image):
    maps = backbone.tap(["grouped"])
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_sum(tf.cast(tf.square(maps(image)["grouped"]), tf.float32))
    return tape.gradient(loss, image)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_a_prepared_network_has_the_gradient_of_the_given_one(network, scene, precision, tolerance):
    image = tf.constant(scene[np.newaxis])
    prepared = network.prepared(pooling="max", edge="replicate", precision=precision)
    assert [each.name for each in prepared.model.layers if can_speed_up(each)] == ["second", "wide"]
    plain = Backbone("plain", keras.models.clone_model(prepared.model), 32, "copied")
    plain.model.set_weights(prepared.model.get_weights())
    found, wanted = differentiate(prepared, image), differentiate(plain, image)
    assert float(tf.norm(found - wanted) / tf.norm(wanted)) < tolerance
    assert differentiate(prepared, image).shape == image.shape
