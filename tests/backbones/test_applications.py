"""The networks of keras.applications: preprocessing, any image size, and the table."""

import gc

import keras
import numpy as np
import pytest

from nstk.backbones.applications import APPLICATIONS, TAPS, deepest_taps
from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import is_named_by_counting, renumber_names
from nstk.backbones.networks import STD, build_network, preprocess
from nstk.backbones.packaged import build_efficientnet_lite0
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.backbones.weights import assign_weights, list_weights, set_weights

FAMILIES = {application.family.module: application.family for application in APPLICATIONS.values()}

SMALLEST = (
    "mobilenet-0.25",
    "vgg16",
    "resnet50",
    "resnet50_v2",
    "mobilenet_v2-0.35",
    "mobilenet_v3_small-0.75",
    "mobilenet_v3_small_minimalistic",
    "densenet121",
    "inception_v3",
    "xception",
    "nasnet_mobile",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "convnext_tiny",
)

# Only the padding could differ, and nstk computes it only in some families.
COMPARED = (
    "mobilenet-0.25",
    "mobilenet_v2-0.35",
    "mobilenet_v3_small-0.75",
    "nasnet_mobile",
    "efficientnet_b0",
)


def parameters(names):
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name != "mobilenet-0.25" else [])
        for name in names
    ]


def random_image(side, seed=0):
    return np.random.default_rng(seed).random((1, side, side, 3), dtype=np.float32)


def family_input(module, images):
    """The result of the family's own preprocessing function, which takes 0 to 255."""
    return getattr(keras.applications, module).preprocess_input(images * 255)


# Those compared come first: pytest builds a network once if it has the same index in all tests.
@pytest.fixture(
    scope="module", params=parameters(sorted(SMALLEST, key=lambda n: n not in COMPARED))
)
def application(request):
    """The smallest network of each family, as its row of the table."""
    yield APPLICATIONS[request.param]
    gc.collect()


@pytest.fixture(scope="module")
def backbone(application):
    keras.utils.set_random_seed(11)
    network = build_network(application)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            move(layer)
    return Backbone(application.name, network, application.input_size, "random")


def move(normalization):
    """Set realistic moments of a batch normalization, so that no layer is inactive."""
    random = np.random.default_rng(normalization.moving_mean.shape[0])
    shape = normalization.moving_mean.shape
    normalization.moving_mean.assign(random.normal(0, 0.1, shape))
    normalization.moving_variance.assign(random.uniform(0.05, 0.5, shape))


# Preprocessing


@pytest.mark.parametrize("module", FAMILIES)
def test_preprocessing_layers_equal_the_function_of_the_family(module):
    inputs = keras.Input((None, None, 3))
    inside = keras.Model(inputs, preprocess(inputs, FAMILIES[module].convention))
    images = random_image(24)
    expected = family_input(module, images.copy())
    np.testing.assert_allclose(inside(images), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("module", FAMILIES)
def test_preprocessing_has_no_weights_and_loads_in_safe_mode(module, tmp_path):
    inputs = keras.Input((None, None, 3))
    inside = keras.Model(inputs, preprocess(inputs, FAMILIES[module].convention))
    assert not inside.weights
    inside.save(tmp_path / "inside.keras")
    loaded = keras.saving.load_model(tmp_path / "inside.keras", compile=False, safe_mode=True)
    images = random_image(24)
    np.testing.assert_array_equal(loaded(images), inside(images))


# The networks


@pytest.mark.parametrize("application", parameters(COMPARED), indirect=True)
def test_a_network_at_an_odd_size_equals_that_of_keras_built_for_this_size(application, backbone):
    side = 97
    plain = getattr(keras.applications, application.constructor)(
        include_top=False, weights=None, input_shape=(side, side, 3), **application.options
    )
    assign_weights(plain, list_weights(backbone.model), name="plain", origin="nstk")
    if application.family.divides_again:
        divide_again(plain)
    images = random_image(side)
    expected = np.asarray(plain(family_input(application.family.module, images.copy())))
    np.testing.assert_allclose(
        backbone.model(images), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )


def divide_again(network):
    """Set the variance to the effect of the layer that Keras adds to downloaded weights."""
    (normalization,) = (
        layer for layer in network.layers if isinstance(layer, keras.layers.Normalization)
    )
    set_weights(normalization, [np.zeros(3), np.array(STD), np.array(0)])


def test_the_table_matches_the_network(application, backbone):
    assert backbone.model.count_params() == application.parameters
    assert backbone.model.outputs[0].shape[-1] == application.channels
    assert find_stages(backbone) == TAPS[application.name.partition("-")[0]].split()
    assert backbone.taps[-1] == deepest_taps(application.name)[-1]


def test_the_taps_of_the_packaged_classifier_network_are_its_stages():
    backbone = Backbone("lite0", build_efficientnet_lite0(), 224, "random")
    assert find_stages(backbone) == deepest_taps("efficientnet-lite0")
    assert backbone.reach("top_activation") < WHOLE_IMAGE
    assert backbone.stride("top_activation") == 32


def find_stages(backbone):
    """For each stride the deepest bottleneck, or else the deepest tap."""
    bottlenecks = find_bottlenecks(backbone.model)
    stages = {backbone.stride(name): name for name in backbone.taps}
    stages |= {backbone.stride(name): name for name in backbone.taps if name in bottlenecks}
    return list(stages.values())


def find_bottlenecks(network):
    """Layers on which everything after them depends: no earlier map is needed."""
    needed_until = {}
    for position, operation in enumerate(network.operations[1:], start=1):
        for tensor in keras.tree.flatten(operation.input):
            needed_until[id(tensor)] = position
    bottlenecks, latest = set(), 0
    for position, operation in enumerate(network.operations):
        if latest <= position:
            bottlenecks.add(operation.name)
        for tensor in keras.tree.flatten(operation.output):
            latest = max(latest, needed_until.get(id(tensor), 0))
    return bottlenecks


def test_every_family_whose_padding_depends_on_the_size_is_compared():
    padded = {family.module for family in FAMILIES.values() if family.pads_by_size}
    assert padded <= {APPLICATIONS[name].family.module for name in COMPARED}


def test_a_network_is_frozen_and_takes_images_of_any_size(backbone):
    assert not backbone.model.trainable_weights
    assert backbone.model.inputs[0].shape == (None, None, None, 3)


def test_pixels_beyond_the_reach_do_not_change_a_cell(backbone):
    name = [name for name in backbone.taps if backbone.reach(name) <= 40][-1]
    reach, stride = backbone.reach(name), backbone.stride(name)
    cell = -(-reach // stride) + 1
    side = 2 * stride * cell + 2 * reach
    distance = np.abs(np.arange(side) - ((cell + 0.5) * stride - 0.5))
    outside = np.maximum(distance[:, None], distance[None, :]) > reach
    before, other = random_image(side, seed=1), random_image(side, seed=2)
    after = np.where(outside[None, :, :, None], other, before)
    maps = np.asarray(backbone.tap([name])(np.concatenate([before, after]))[name])
    scale = np.abs(maps).max()
    change = np.abs(maps[1] - maps[0]).max(axis=-1) / scale
    assert change[cell, cell] < 1e-5
    assert change.max() > 1e-2


def test_squeeze_and_excitation_sees_the_whole_image(backbone):
    squeezes = any(
        isinstance(layer, keras.layers.GlobalAveragePooling2D) for layer in backbone.model.layers
    )
    assert (backbone.reach(backbone.taps[-1]) == WHOLE_IMAGE) == squeezes
    assert backbone.reach(backbone.taps[0]) < 10


def test_names_do_not_depend_on_earlier_networks(backbone):
    counted = [layer.name for layer in backbone.model.layers if is_named_by_counting(layer)]
    assert renumber_names(counted) == {name: name for name in counted}


def test_replicated_edges_change_only_the_border():
    name = "mobilenet-0.25"
    backbone = Backbone(name, build_network(APPLICATIONS[name]), 224, "random")
    replicated = backbone.prepared(edge="replicate")
    assert replicated.digest == backbone.digest
    first = backbone.taps[0]
    before, after = (
        np.asarray(each.tap([first])(random_image(64))[first]) for each in (backbone, replicated)
    )
    border = -(-backbone.reach(first) // backbone.stride(first))
    inner = slice(border, before.shape[1] - border)
    np.testing.assert_allclose(after[:, inner, inner], before[:, inner, inner], atol=1e-5)
    assert not np.allclose(after, before)
