"""Variants of a network: borders, pooling and new layers with the same weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import extract, make_backbone, random_image

from nstk.backbones.backbone import Backbone
from nstk.errors import BackboneError

# Variants


def test_replicated_edges_change_only_the_border(vgg_like):
    replicated = vgg_like.prepared(edge="replicate")
    image = random_image(64, 64)
    for name in vgg_like.taps:
        before, after = extract(vgg_like, name, image), extract(replicated, name, image)
        border = -(-vgg_like.reach(name) // vgg_like.stride(name))
        inner = slice(border, before.shape[1] - border)
        np.testing.assert_allclose(after[:, inner, inner], before[:, inner, inner], rtol=1e-5)
        assert not np.allclose(after, before)


def test_with_replicated_edges_a_uniform_image_has_a_uniform_first_map(tiny_backbone):
    plain = np.full((1, 20, 24, 3), [0.2, 0.5, 0.9], np.float32)
    first = tiny_backbone.taps[0]
    assert np.ptp(extract(tiny_backbone, first, plain), axis=(1, 2)).max() > 1e-3
    assert (
        np.ptp(extract(tiny_backbone.prepared(edge="replicate"), first, plain), axis=(1, 2)).max()
        < 1e-5
    )


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("padded_by", ["convolution", "layer"])
def test_replicated_edges_are_the_nearest_pixels_for_every_kernel(kernel, padded_by):
    image = keras.Input((None, None, 3))
    maps, around = image, kernel // 2
    if padded_by == "layer":
        maps = keras.layers.ZeroPadding2D(around)(maps)
    padding = "valid" if padded_by == "layer" else "same"
    maps = keras.layers.Conv2D(2, kernel, padding=padding, name="first")(maps)
    backbone = Backbone("one", keras.Model(image, maps), 32, "random")
    pixels = random_image(9, 11)
    surrounded = np.pad(pixels, ((0, 0), (around,) * 2, (around,) * 2, (0, 0)), mode="edge")
    expected = extract(backbone, "first", surrounded)[:, around:-around, around:-around]
    replicated = extract(backbone.prepared(edge="replicate"), "first", pixels)
    np.testing.assert_allclose(replicated, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [16, 17])
def test_replicated_edges_keep_the_size_after_a_strided_convolution(side):
    image = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(2, 3, strides=2, padding="same", name="strided")(image)
    backbone = Backbone("strided", keras.Model(image, maps), 32, "random")
    pixels = random_image(side, side)
    before = extract(backbone, "strided", pixels)
    after = extract(backbone.prepared(edge="replicate"), "strided", pixels)
    assert after.shape == before.shape
    if side % 2 == 0:
        np.testing.assert_allclose(after[:, :-1, :-1], before[:, :-1, :-1], rtol=1e-5)


def test_average_pools_average_and_double(tiny_backbone):
    averaged = tiny_backbone.prepared(pooling="average")
    image = random_image(16, 16)
    before = extract(averaged, "block1_conv1", image)
    means = before.reshape(1, 8, 2, 8, 2, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(extract(averaged, "block1_pool", image), 2 * means, rtol=1e-5)


def test_l2_pools_take_the_root_of_the_sum_of_squares(tiny_backbone):
    pooled = tiny_backbone.prepared(pooling="l2")
    image = random_image(16, 16)
    before = extract(pooled, "block1_conv1", image)
    roots = np.sqrt((before.reshape(1, 8, 2, 8, 2, 4) ** 2).sum(axis=(2, 4)))
    np.testing.assert_allclose(extract(pooled, "block1_pool", image), 0.78 * roots, atol=1e-3)


def test_every_pooling_has_a_finite_gradient_at_zero(tiny_backbone):
    dark = tf.zeros((1, 8, 8, 3))
    for pooling in ("max", "average", "l2"):
        backbone = make_backbone().prepared(pooling=pooling)
        first = backbone.model.get_layer("block1_conv1")
        first.set_weights([weight * 0 for weight in first.get_weights()])
        with tf.GradientTape() as tape:
            tape.watch(dark)
            total = tf.reduce_sum(backbone.model(dark))
        assert np.isfinite(tape.gradient(total, dark)).all()


@pytest.mark.parametrize("edge", ["zero", "replicate"])
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_a_variant_is_the_same_network_in_new_layers(tiny_backbone, edge, pooling):
    variant = tiny_backbone.prepared(edge=edge, pooling=pooling)
    assert variant.digest == tiny_backbone.digest
    assert variant.taps == tiny_backbone.taps
    assert not variant.model.trainable_weights
    for name in variant.taps:
        assert variant.reach(name) == tiny_backbone.reach(name)
        assert variant.stride(name) == tiny_backbone.stride(name)
    if (edge, pooling) != ("zero", "max"):
        assert variant.model.weights[0] is not tiny_backbone.model.weights[0]


def test_a_variant_of_a_variant_is_both(tiny_backbone):
    image = random_image(16, 16)
    both = tiny_backbone.prepared(edge="replicate", pooling="l2")
    one_by_one = tiny_backbone.prepared(pooling="l2").prepared(edge="replicate")
    np.testing.assert_allclose(one_by_one.model(image), both.model(image), rtol=1e-5)


def test_a_variant_survives_saving_and_loading_in_safe_mode(tiny_backbone, tmp_path):
    variant = tiny_backbone.prepared(edge="replicate", pooling="l2")
    variant.model.save(tmp_path / "variant.keras")
    loaded = keras.saving.load_model(tmp_path / "variant.keras", compile=False, safe_mode=True)
    image = random_image(16, 16)
    np.testing.assert_allclose(loaded(image), variant.model(image), rtol=1e-6)


def test_unknown_variants_are_refused_by_name(tiny_backbone):
    with pytest.raises(BackboneError, match="mirror"):
        tiny_backbone.prepared(edge="mirror")
    with pytest.raises(BackboneError, match="sum"):
        tiny_backbone.prepared(pooling="sum")


def test_a_network_without_vgg_pools_refuses_another_pooling():
    image = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(2, 3, strides=2, name="strided")(image)
    backbone = Backbone("strided", keras.Model(image, maps), 32, "random")
    with pytest.raises(BackboneError, match="average"):
        backbone.prepared(pooling="average")
