"""Parts == whole: an image in windows has the loss and the gradient of the whole image."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from nstk.backbones.applications import APPLICATIONS
from nstk.backbones.backbone import Backbone
from nstk.backbones.compact import build_compact
from nstk.backbones.networks import build_network
from nstk.backbones.stages import cut_network
from nstk.errors import BackboneError
from nstk.optimizers import OPTIMIZERS, Newton, choose_optimizer
from nstk.stylization.layers import choose_content_layer, choose_style_layers
from nstk.stylization.losses import STYLE_LOSSES
from nstk.stylization.objective import LossWeights, ObjectiveWeights, StyleObjective
from nstk.stylization.regions import Region, make_region
from nstk.stylization.statistics import to_moments
from nstk.stylization.styles import StyleImage, blend_styles
from nstk.stylization.tiled.network import TiledNetwork
from nstk.stylization.tiled.objective import TiledObjective

TINY = {"widths": (4, 6, 8, 10), "depths": (1, 2, 1, 1)}


def seeded(build, name="seeded"):
    keras.utils.set_random_seed(11)
    return Backbone(name, build(), 64, "seeded").prepared(edge="replicate")


@pytest.fixture(scope="module")
def deep():
    """Four blocks: strides up to 8, so that it is cut at strides 4 and 8."""
    return seeded(lambda: build_compact(**TINY))


def draw(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def weigh(backbone, loss="moments"):
    content = choose_content_layer(backbone)
    return ObjectiveWeights(0.7, 1.0, 0.5, {content: 1.0}, choose_style_layers(backbone), loss)


def tiled(backbone, weights, tile_bytes):
    layers = tuple(weights.style_layers), tuple(weights.content_layers)
    return TiledNetwork(backbone, *layers, tile_bytes)


def cover_all(backbone, weights, *styles):
    layers = tuple(weights.style_layers)
    seen = [StyleImage("style", style).observe(backbone, layers, 64) for style in styles]
    mixed = blend_styles(seen, [1.0 + number for number in range(len(seen))])
    return [Region({name: to_moments(sums) for name, sums in mixed.items()})]


def cover_halves(backbone, weights, shape, *styles):
    layers = tuple(weights.style_layers)
    left = np.zeros(shape[:2], np.float32)
    left[:, : shape[1] // 2] = 1.0
    left[: shape[0] // 3] = 0.25
    return [
        make_region(StyleImage("style", style).observe(backbone, layers, 64), mask, backbone=backbone)
        for style, mask in zip(styles, (left, 1 - left), strict=True)
    ]


def both(backbone, shape, weights, regions, tile_bytes, free=None):
    content = draw(*shape, seed=1)
    network = tiled(backbone, weights, tile_bytes)
    return (
        StyleObjective.within(backbone, content, regions, weights, free),
        TiledObjective.within(network, content, regions, weights, free),
    )


def assert_equal(whole, parts, shape, tolerance=1e-4, balance=None):
    assert sum(len(windows) for windows in parts.layout) > len(parts.layout)
    image = tf.constant(draw(*shape, seed=2))
    expected, got = whole.evaluate(image, balance), parts.evaluate(image, balance)
    assert float(got.loss) == pytest.approx(float(expected.loss), rel=1e-5)
    assert set(got.terms) == set(expected.terms)
    for name, term in expected.terms.items():
        assert float(got.terms[name]) == pytest.approx(float(term), rel=1e-4, abs=1e-7)
    error = tf.norm(got.gradient - expected.gradient) / tf.norm(expected.gradient)
    assert float(error) < tolerance
    largest = tf.reduce_max(tf.abs(expected.gradient))
    assert float(tf.reduce_max(tf.abs(got.gradient - expected.gradient)) / largest) < 1e-3


def test_windows_have_the_gradient_of_the_whole_at_any_balance(deep):
    weights = weigh(deep)
    regions = cover_all(deep, weights, draw(40, 50, seed=3))
    pair = both(deep, (64, 96), weights, regions, 8_000)
    for alpha in (0.01, 3.0):
        assert_equal(*pair, (64, 96), balance=LossWeights(alpha, 0.2, 0.7))


@pytest.mark.parametrize("shape", [(64, 96), (61, 90), (37, 131), (16, 16)])
def test_windows_have_the_gradient_of_the_whole_at_any_size(deep, shape):
    weights = weigh(deep)
    regions = cover_all(deep, weights, draw(40, 50, seed=3))
    assert_equal(*both(deep, shape, weights, regions, 8_000), shape)


@pytest.mark.parametrize("loss", STYLE_LOSSES)
def test_windows_have_the_gradient_of_the_whole_for_every_style_loss_and_with_masks(deep, loss):
    shape, weights = (61, 90), weigh(deep, loss)
    regions = cover_halves(deep, weights, shape, draw(40, 50, seed=3), draw(50, 40, seed=4))
    free = tf.constant(draw(*shape, seed=5)[..., :1])
    assert_equal(*both(deep, shape, weights, regions, 20_000, free), shape)


QUICK = [name for name in OPTIMIZERS if name != "newton"]


@pytest.mark.parametrize("name", [*QUICK, pytest.param("newton", marks=pytest.mark.slow)])
def test_every_optimizer_takes_the_same_steps_in_windows(deep, name):
    shape, weights = (32, 40), weigh(deep)
    whole, parts = both(deep, shape, weights, cover_all(deep, weights, draw(40, 50, seed=3)), 8_000)
    optimizer = choose_optimizer(name, bounds=(0.0, 1.0))
    if isinstance(optimizer, Newton):
        optimizer = replace(optimizer, products=1)
    images = []
    for objective in (whole, parts):
        x = tf.constant(draw(*shape, seed=2))
        state = optimizer.init(x)
        for _ in range(2):
            x, state, _ = optimizer.step(objective.evaluate, x, state)
        images.append(x.numpy())
    np.testing.assert_allclose(*images, atol=2e-3)


def test_a_large_style_has_the_statistics_of_the_whole(deep):
    weights, style = weigh(deep), draw(75, 90, seed=3)
    layers = tuple(weights.style_layers)
    whole = StyleImage("style", style).observe(deep, layers, 90)
    parts = tiled(deep, weights, 8_000).gather(tf.constant(style))
    for name in layers:
        for expected, got in zip(whole[name], parts[name], strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_windows_of_all_sizes_are_compiled_once(deep):
    weights = weigh(deep)
    regions = cover_all(deep, weights, draw(40, 50, seed=3))
    network = tiled(deep, weights, 8_000)
    for shape in ((64, 96), (61, 90)):
        objective = TiledObjective.within(network, draw(*shape), regions, weights)
        objective.evaluate(tf.constant(draw(*shape, seed=2)))
    for stage in network.functions(tuple(weights.content_layers), [False]):
        assert stage.sum_up.experimental_get_tracing_count() == 1
        assert stage.vjp.experimental_get_tracing_count() == 1


def test_a_mean_over_the_whole_image_cannot_be_cut():
    def build():
        inputs = keras.Input((None, None, 3))
        maps = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
        mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(maps)
        maps = keras.layers.Multiply(name="squeezed")([maps, mean])
        return keras.Model(inputs, maps)

    with pytest.raises(BackboneError, match=r"squeezed .* --tiling off"):
        cut_network(seeded(build), ["squeezed"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "tile_bytes"),
    [
        ("vgg19", (150, 203), 12_000_000),
        ("resnet50", (170, 205), 12_000_000),
        ("mobilenet-0.25", (131, 170), 1_500_000),
    ],
)
def test_windows_have_the_gradient_of_the_whole_for_networks_of_all_shapes(name, shape, tile_bytes):
    network = seeded(lambda: build_network(APPLICATIONS[name]))
    weights = weigh(network)
    regions = cover_halves(network, weights, shape, draw(90, 80, seed=3), draw(80, 90, seed=4))
    assert_equal(*both(network, shape, weights, regions, tile_bytes), shape)
