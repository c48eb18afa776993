"""The sum over the tiles is the whole: a tiled image has the loss and gradient of the whole one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from nstk.backbones.applications import APPLICATIONS
from nstk.backbones.backbone import Backbone
from nstk.backbones.networks import build_network
from nstk.backbones.packaged import build_compact
from nstk.backbones.stages import cut_network
from nstk.errors import BackboneError
from nstk.optimizers import choose_optimizer, multiply_hessian
from nstk.optimizers.smooth_colors import smooth_chroma
from nstk.stylization.losses import STYLE_LOSSES
from nstk.stylization.objective import LossWeights, ObjectiveWeights, StyleObjective
from nstk.stylization.recipe import choose_content_layer, choose_style_layers
from nstk.stylization.regions import Region, make_region
from nstk.stylization.statistics import to_moments
from nstk.stylization.styles import StyleImage, blend_styles
from nstk.stylization.tiled.network import TiledNetwork
from nstk.stylization.tiled.objective import TiledObjective

TINY = {"widths": (4, 6, 8, 10), "depths": (1, 2, 1, 1)}


def make_backbone(build):
    keras.utils.set_random_seed(11)
    return Backbone("seeded", build(), 64, "seeded").prepared(edge="replicate")


def make_weights(backbone, loss="moments"):
    content = choose_content_layer(backbone)
    return ObjectiveWeights(0.7, 1.0, 0.5, {content: 1.0}, choose_style_layers(backbone), loss)


def make_tiled(backbone, tile_bytes):
    weights = make_weights(backbone)
    layers = tuple(weights.style_layers), tuple(weights.content_layers)
    return TiledNetwork(backbone, *layers, tile_bytes)


@pytest.fixture(scope="module")
def deep():
    """Four blocks with strides up to 8: the network is cut at strides 4 and 8."""
    return make_backbone(lambda: build_compact(**TINY))


@pytest.fixture(scope="module")
def tiled(deep):
    """Its tiled network; the stages are compiled once for all tests."""
    return make_tiled(deep, 24_000)


def draw(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def statistics(backbone, style):
    layers = tuple(make_weights(backbone).style_layers)
    return StyleImage("style", style).compute_statistics(backbone, layers, 64)


def whole_region(backbone):
    blended = blend_styles([statistics(backbone, draw(40, 50, seed=3))], [1.0])
    return [Region({name: to_moments(sums) for name, sums in blended.items()})]


def half_regions(backbone, shape, sizes):
    left = np.zeros(shape, np.float32)
    left[:, : shape[1] // 2] = 1.0
    left[: shape[0] // 3] = 0.25
    return [
        make_region(statistics(backbone, draw(*size, seed=seed)), mask, backbone=backbone)
        for seed, size, mask in zip((3, 4), sizes, (left, 1 - left), strict=True)
    ]


def make_objectives(backbone, tiled, shape, weights, regions, gradient_mask=None):
    content = draw(*shape, seed=1)
    targets = content, regions, weights, gradient_mask
    return (
        StyleObjective.from_regions(backbone, *targets),
        TiledObjective.from_regions(tiled, *targets),
    )


def assert_same_gradient(whole, parts, shape, loss_weights=(0.7, 1.0, 0.5)):
    loss_weights = LossWeights(*map(tf.constant, loss_weights))
    assert sum(len(tiles) for tiles in parts.layout) > len(parts.layout)
    image = tf.constant(draw(*shape, seed=2))
    expected, got = whole.evaluate(image, loss_weights), parts.evaluate(image, loss_weights)
    assert float(got.loss) == pytest.approx(float(expected.loss), rel=1e-5)
    assert set(got.terms) == set(expected.terms)
    for name, term in expected.terms.items():
        assert float(got.terms[name]) == pytest.approx(float(term), rel=1e-4, abs=1e-7)
    error = tf.norm(got.gradient - expected.gradient) / tf.norm(expected.gradient)
    assert float(error) < 1e-4
    largest = tf.reduce_max(tf.abs(expected.gradient))
    assert float(tf.reduce_max(tf.abs(got.gradient - expected.gradient)) / largest) < 1e-3


@pytest.mark.parametrize(
    ("shape", "loss_weights"),
    [((64, 48), (0.01, 0.2, 0.7)), ((37, 71), (3.0, 0.2, 0.7)), ((16, 16), (0.7, 1.0, 0.5))],
)
def test_tiles_have_the_gradient_of_the_whole_at_any_size(deep, tiled, shape, loss_weights):
    objectives = make_objectives(deep, tiled, shape, make_weights(deep), whole_region(deep))
    assert_same_gradient(*objectives, shape, loss_weights)


@pytest.mark.parametrize("loss", STYLE_LOSSES)
def test_tiles_have_the_gradient_of_the_whole_for_every_style_loss_and_with_masks(
    deep, tiled, loss
):
    shape, weights = (41, 50), make_weights(deep, loss)
    regions = half_regions(deep, shape, [(40, 50), (50, 40)])
    free = tf.constant(draw(*shape, seed=5)[..., :1])
    assert_same_gradient(*make_objectives(deep, tiled, shape, weights, regions, free), shape)


def test_the_tiled_step_of_an_optimizer_is_that_of_the_whole(deep, tiled):
    shape, weights = (16, 24), make_weights(deep)
    optimizer = choose_optimizer("lbfgs", bounds=(0.0, 1.0))
    results = []
    for objective in make_objectives(deep, tiled, shape, weights, whole_region(deep)):
        step = objective.compile(optimizer)
        x = tf.constant(draw(*shape, seed=2))
        state = optimizer.init(x)
        for _ in range(2):
            x, state, _ = step(x, state, LossWeights(*map(tf.constant, (0.7, 1.0, 0.5))))
        results.append(x.numpy())
    np.testing.assert_allclose(*results, atol=2e-3)


@pytest.mark.slow
def test_tiles_have_the_hessian_of_the_whole():
    shape, layer = (12, 16), "block2_conv1"
    shallow = make_backbone(lambda: build_compact(widths=(4, 6, 8), depths=(1, 1, 1)))
    weights = ObjectiveWeights(0.7, 1.0, 0.5, {"block3_conv1": 1.0}, {layer: 1.0}, "moments")
    tiled = TiledNetwork(shallow, (layer,), ("block3_conv1",), 20_000)
    image, direction = (tf.constant(draw(*shape, seed=seed)) for seed in (2, 6))
    objectives = make_objectives(shallow, tiled, shape, weights, whole_region(shallow))
    assert [len(tiles) for tiles in objectives[1].layout] == [2, 1]
    whole, parts = (multiply_hessian(each.evaluate, image, direction) for each in objectives)
    assert float(tf.norm(parts - whole) / tf.norm(whole)) < 1e-3


def test_the_statistics_of_a_tiled_style_are_those_of_the_whole(deep, tiled):
    style = draw(75, 90, seed=3)
    layers = tuple(make_weights(deep).style_layers)
    whole = StyleImage("style", style).compute_statistics(deep, layers, 90)
    parts = tiled.style_statistics(smooth_chroma(style))
    for name in layers:
        for expected, got in zip(whole[name], parts[name], strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_tiles_of_all_sizes_are_compiled_once(deep, tiled):
    weights, regions = make_weights(deep), whole_region(deep)
    for shape in ((32, 24), (21, 40)):
        objective = TiledObjective.from_regions(tiled, draw(*shape), regions, weights)
        objective.evaluate(tf.constant(draw(*shape, seed=2)))
    for functions in tiled.stage_functions(tuple(weights.content_layers), [False]):
        assert functions.sums.experimental_get_tracing_count() == 1
        assert functions.vjp.experimental_get_tracing_count() == 1


def test_a_network_with_a_mean_over_the_whole_image_cannot_be_tiled():
    def build():
        inputs = keras.Input((None, None, 3))
        maps = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
        mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(maps)
        maps = keras.layers.Multiply(name="squeezed")([maps, mean])
        return keras.Model(inputs, maps)

    with pytest.raises(BackboneError, match=r"squeezed .*tiling"):
        cut_network(make_backbone(build), ["squeezed"])


def build_residual():
    """The first stages of a ResNet with few channels: padding apart, overlapping pools, sums."""
    layers = keras.layers

    def normalize(maps):
        return layers.ReLU()(layers.BatchNormalization()(maps))

    def block(maps, channels, stride):
        shortcut = layers.BatchNormalization()(layers.Conv2D(channels, 1, stride)(maps))
        maps = normalize(layers.Conv2D(4, 1, stride)(maps))
        maps = normalize(layers.Conv2D(4, 3, padding="same")(maps))
        maps = layers.BatchNormalization()(layers.Conv2D(channels, 1)(maps))
        return layers.ReLU()(layers.Add()([shortcut, maps]))

    inputs = keras.Input((None, None, 3))
    maps = layers.Conv2D(4, 7, 2)(layers.ZeroPadding2D(3)(inputs))
    maps = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(normalize(maps)))
    for channels, stride in ((8, 1), (8, 2), (8, 2)):
        maps = block(maps, channels, stride)
    return keras.Model(inputs, maps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "shape", "tile_bytes"),
    [
        (build_residual, (53, 70), 30_000),
        (lambda: build_network(APPLICATIONS["mobilenet-0.25"]), (71, 90), 500_000),
    ],
    ids=["residual", "mobilenet-0.25"],
)
def test_tiles_have_the_gradient_of_the_whole_for_other_architectures(build, shape, tile_bytes):
    backbone = make_backbone(build)
    tiled = make_tiled(backbone, tile_bytes)
    weights, regions = make_weights(backbone), whole_region(backbone)
    objectives = make_objectives(backbone, tiled, shape, weights, regions)
    assert_same_gradient(*objectives, shape)
