"""Winograd convolutions equal direct ones, forward and backward, at every size."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nstk.backbones.backbone import Backbone
from nstk.backbones.winograd import (
    WinogradConv2D,
    convolve,
    suits_winograd,
    transform_kernel,
    turn_kernel,
)
from nstk.stylization.objective import ObjectiveWeights, StyleObjective
from nstk.stylization.tiled.network import TiledNetwork
from nstk.stylization.tiled.objective import TiledObjective

SIDES = st.integers(1, 13)


def draw(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def prepare(kernel):
    return transform_kernel(kernel), transform_kernel(turn_kernel(kernel))


def convolve_directly(maps, kernel):
    return tf.nn.conv2d(maps, kernel, 1, "SAME")


def differentiate(function, maps):
    with tf.GradientTape() as tape:
        tape.watch(maps)
        value = tf.reduce_sum(tf.sin(0.1 * function(maps)))
    return tape.gradient(value, maps)


def assert_near(given, wanted):
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(given, wanted, atol=2e-5 * max(1.0, np.abs(wanted).max()))


@settings(max_examples=20)
@given(height=SIDES, width=SIDES, batch=st.integers(1, 2), seed=st.integers(0, 99))
def test_it_equals_a_direct_convolution_at_every_size(height, width, batch, seed):
    maps, kernel = tf.constant(draw((batch, height, width, 5), seed)), draw((3, 3, 5, 4), seed + 1)
    assert_near(convolve(maps, *prepare(kernel)), convolve_directly(maps, kernel))


@settings(max_examples=10)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 99))
def test_the_gradient_equals_that_of_a_direct_convolution(height, width, seed):
    maps, kernel = tf.constant(draw((1, height, width, 4), seed)), draw((3, 3, 4, 6), seed + 1)
    prepared = prepare(kernel)
    found = differentiate(lambda each: convolve(each, *prepared), maps)
    assert_near(found, differentiate(lambda each: convolve_directly(each, kernel), maps))


def test_the_second_derivative_equals_that_of_a_direct_convolution():
    maps, kernel = tf.constant(draw((1, 6, 7, 4), 0)), draw((3, 3, 4, 4), 1)
    prepared = prepare(kernel)

    def second_derivative(function):
        return differentiate(lambda each: differentiate(function, each), maps)

    found = second_derivative(lambda each: convolve(each, *prepared))
    assert_near(found, second_derivative(lambda each: convolve_directly(each, kernel)))


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(5)
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(128, 3, padding="same", activation="relu", name="first")(inputs)
    maps = keras.layers.Conv2D(128, 3, padding="same", activation="relu", name="second")(maps)
    maps = keras.layers.Conv2D(128, 3, 2, padding="same", name="strided")(maps)
    maps = keras.layers.Conv2D(8, 3, padding="same", name="thin")(maps)
    return Backbone("wide", keras.Model(inputs, maps), 32, "seeded")


def test_only_wide_plain_convolutions_are_replaced(network):
    variant = network.prepared(convolution="winograd")
    replaced = [layer.name for layer in variant.model.layers if type(layer) is WinogradConv2D]
    assert (
        replaced
        == ["second"]
        == [layer.name for layer in network.model.layers if suits_winograd(layer)]
    )
    assert variant.digest == network.digest


def test_the_maps_of_the_network_stay_the_same(network, scene):
    taps = ["first", "second", "thin"]
    expected = network.tap(taps)(scene[np.newaxis])
    for name, maps in network.prepared(convolution="winograd").tap(taps)(scene[np.newaxis]).items():
        assert_near(maps, expected[name])


def test_bfloat16_layers_stay_direct(network):
    halved = network.prepared(precision="bfloat16", convolution="winograd")
    assert not any(type(layer) is WinogradConv2D for layer in halved.model.layers)


def test_tiles_and_the_whole_image_agree(network, scene):
    variant = network.prepared(convolution="winograd")
    weights = ObjectiveWeights(1.0, 1.0, 0.1, {"second": 1.0}, {"first": 0.5, "second": 0.5})
    whole = StyleObjective.from_images(variant, scene, [scene[:, ::-1]], weights)
    cut = TiledNetwork(variant, ("first", "second"), ("second",), tile_bytes=2**20)
    parts = TiledObjective.from_regions(cut, scene, whole.regions, weights)
    assert len(parts.layout[0]) > 1
    x = tf.constant(0.5 * scene)
    wanted, found = whole.evaluate(x), parts.evaluate(x)
    assert float(found.loss) == pytest.approx(float(wanted.loss), rel=1e-5)
    error = np.linalg.norm(found.gradient - wanted.gradient) / np.linalg.norm(wanted.gradient)
    assert error <= 1e-4
