"""The frozen backbone: taps and embedding, receptive field, variants, digest."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.compact import build_compact
from nstk.backbones.loading import load_backbone
from nstk.errors import BackboneError, SettingsError, WeightsError


def make_backbone(*, widths=(4, 6, 8), depths=(1, 1, 1), seed=7) -> Backbone:
    keras.utils.set_random_seed(seed)
    model = build_compact(widths=widths, depths=depths)
    return Backbone(name="tiny", model=model, input_size=32, source="seeded")


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).random((1, height, width, 3), dtype=np.float32)


def extract(backbone, name, image):
    return backbone.tap([name])(image)[name].numpy()


@pytest.fixture(scope="module")
def vgg_like():
    """A network of VGG's shape, deep enough to have every kind of layer, with active units."""
    backbone = make_backbone(widths=(4, 4, 6), depths=(2, 2, 2))
    for layer in backbone.model.layers:
        layer.set_weights([np.abs(weight) + 0.01 for weight in layer.get_weights()])
    return backbone


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
