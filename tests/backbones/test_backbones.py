"""The frozen backbone: taps and embedding, receptive field, variants, digest."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import extract, make_backbone, random_image

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.backbones.packaged import build_compact
from nstk.errors import BackboneError, SettingsError, WeightsError

# Architecture


def test_layers_of_the_compact_network_are_named_as_in_vgg19():
    taps = Backbone("compact", build_compact(), 160, "random").taps
    vgg19 = {
        f"block{block}_{layer}"
        for block, depth in enumerate((2, 2, 4, 4, 4), start=1)
        for layer in ("pool", *(f"conv{number}" for number in range(1, depth + 1)))
    }
    assert set(taps) <= vgg19


def test_there_is_no_pool_after_the_last_block(tiny_backbone):
    assert tiny_backbone.taps == (
        "block1_conv1",
        "block1_pool",
        "block2_conv1",
        "block2_pool",
        "block3_conv1",
    )
    assert tiny_backbone.model(random_image(48, 64)).shape == (1, 12, 16, 8)


def test_widths_and_depths_must_describe_the_same_blocks():
    with pytest.raises(SettingsError, match=r"2 .* 1"):
        build_compact(widths=(4, 6), depths=(1,))


# Taps and embedding


def test_every_tap_is_the_map_of_its_layer(tiny_backbone, scene):
    maps = tiny_backbone.tap(tiny_backbone.taps)(scene[np.newaxis])
    assert set(maps) == set(tiny_backbone.taps)
    for name, map_ in maps.items():
        stride = tiny_backbone.stride(name)
        assert map_.shape[:3] == (1, 48 // stride, 64 // stride)
    np.testing.assert_allclose(
        maps["block3_conv1"], tiny_backbone.model(scene[np.newaxis]), rtol=1e-6
    )


def test_a_tap_ends_at_the_deepest_layer(tiny_backbone):
    tapped = tiny_backbone.tap(["block2_conv1", "block1_conv1"])
    assert [layer.name for layer in tapped.layers][-1] == "block2_conv1"


def test_equal_taps_are_one_model(tiny_backbone):
    assert tiny_backbone.tap(["block1_conv1"]) is tiny_backbone.tap(("block1_conv1",))
    assert tiny_backbone.embed is tiny_backbone.embed


def test_an_embedding_is_the_mean_of_the_last_map(tiny_backbone, scene):
    vectors = tiny_backbone.embed(scene[np.newaxis]).numpy()
    maps = tiny_backbone.model(scene[np.newaxis]).numpy()
    assert vectors.shape == (1, 8)
    np.testing.assert_allclose(vectors, maps.mean(axis=(1, 2)), rtol=1e-5)


def test_an_unknown_tap_is_refused_with_the_nearest_ones(tiny_backbone):
    for ask in (lambda name: tiny_backbone.tap([name]), tiny_backbone.reach, tiny_backbone.stride):
        with pytest.raises(BackboneError, match=r"'blok2_conv1'.*block2_conv1"):
            ask("blok2_conv1")


def test_an_empty_list_of_taps_is_refused(tiny_backbone):
    with pytest.raises(BackboneError, match="block1_conv1"):
        tiny_backbone.tap([])


def test_the_network_and_all_its_outputs_are_frozen(tiny_backbone):
    for model in (tiny_backbone.model, tiny_backbone.embed, tiny_backbone.tap(["block1_conv1"])):
        assert not model.trainable_weights


# Receptive fields


def outside(backbone, name, cell, side):
    """Which pixels of a square image are farther from the center of a cell than the reach."""
    middle = (cell + 0.5) * backbone.stride(name) - 0.5
    distance = np.abs(np.arange(side) - middle)
    return np.maximum(distance[:, None], distance[None, :]) > backbone.reach(name)


def change_at_cell(backbone, name, changed, cell, side):
    """Change of a cell, relative to its map, when the pixels of a mask change."""
    before = random_image(side, side, seed=1)
    after = np.where(changed[None, :, :, None], random_image(side, side, seed=2), before)
    maps = extract(backbone, name, np.concatenate([before, after]))
    return np.abs(maps[1] - maps[0])[cell, cell].max() / np.abs(maps).max()


def test_pixels_beyond_the_reach_do_not_change_a_cell(vgg_like):
    for name in vgg_like.taps:
        for cell in (6, 7):
            changed = outside(vgg_like, name, cell, 64)
            assert change_at_cell(vgg_like, name, changed, cell, 64) < 1e-6


def test_the_reach_of_a_vgg_network_is_exact(vgg_like):
    averaged = vgg_like.prepared(pooling="average")
    for name in averaged.taps:
        side = 16 * averaged.stride(name)
        tape_image = tf.constant(random_image(side, side))
        with tf.GradientTape() as tape:
            tape.watch(tape_image)
            cell = tf.reduce_sum(averaged.tap([name])(tape_image)[name][0, 8, 8])
        seen = np.abs(tape.gradient(cell, tape_image)).sum(axis=(0, 2, 3)) > 0
        middle = 8.5 * averaged.stride(name) - 0.5
        farthest = np.abs(np.flatnonzero(seen) - middle).max()
        assert averaged.reach(name) == np.ceil(farthest)


def test_vgg19_sees_78_pixels_to_each_side_at_its_deepest_style_layer():
    vgg19 = Backbone("vgg19", build_compact(widths=(1,) * 5, depths=(2, 2, 4, 4, 1)), 224, "random")
    assert (vgg19.reach("block5_conv1"), vgg19.stride("block5_conv1")) == (78, 16)


def test_dilation_padding_and_cropping_affect_the_reach():
    image = keras.Input((None, None, 3))
    maps = keras.layers.ZeroPadding2D(((3, 1), (2, 2)))(image)
    maps = keras.layers.Conv2D(2, 3, dilation_rate=2, name="dilated")(maps)
    maps = keras.layers.Cropping2D(((1, 0), (0, 1)))(maps)
    maps = keras.layers.SeparableConv2D(2, (5, 1), padding="same", name="separable")(maps)
    backbone = Backbone("odd", keras.Model(image, maps), 32, "random")
    assert backbone.reach("dilated") == 3
    assert backbone.reach("separable") == 4


# Digest


def test_using_the_network_does_not_change_its_digest(tiny_backbone, scene):
    before = make_backbone().digest
    assert before == make_backbone().digest
    tiny_backbone.embed(scene[np.newaxis])
    tiny_backbone.tap(tiny_backbone.taps)(scene[np.newaxis])
    assert Backbone("again", tiny_backbone.model, 32, "seeded").digest == tiny_backbone.digest


def test_the_digest_depends_on_every_weight():
    backbone = make_backbone()
    layer = backbone.model.get_layer("block2_conv1")
    kernel, bias = layer.get_weights()
    kernel[0, 0, 0, 0] = np.nextafter(kernel[0, 0, 0, 0], np.float32(1))
    layer.set_weights([kernel, bias])
    assert backbone.digest != make_backbone().digest


def test_the_digest_does_not_depend_on_earlier_networks():
    def digest():
        image = keras.Input((None, None, 3))
        maps = keras.layers.Conv2D(2, 3, kernel_initializer="ones")(image)
        return Backbone("counted", keras.Model(image, maps), 32, "ones").digest

    assert digest() == digest()


def test_the_digest_of_the_packaged_network_is_always_the_same():
    digest = "b500e584bf882a406cc645a53920852dcde00816fc0796d379471e321dad8138"
    assert load_backbone().digest == digest


def test_from_preset_is_load_backbone(tiny_backbone):
    assert Backbone.from_preset("compact").digest == load_backbone("compact").digest
    assert load_backbone(tiny_backbone) is tiny_backbone
    with pytest.raises(WeightsError, match="`weights`"):
        load_backbone(tiny_backbone, weights="other.h5")
