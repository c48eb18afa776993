"""How much each position of a feature map belongs to a region."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nstk.backbones.backbone import Backbone
from nstk.backbones.packaged import build_compact
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.errors import BackboneError, MaskError
from nstk.stylization.regions import (
    EFFECTIVE_SHARE,
    LEAST_SHARE,
    average_cells,
    check_guides,
    erode,
    make_guide,
)

MASKS = st.tuples(st.integers(4, 40), st.integers(4, 40)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.sampled_from([0, 0, 0.5, 1, 1, 1]))
)
DEEPEST = "block5_conv1"


@pytest.fixture(scope="module")
def deep():
    """A network of the packaged one's depth and reach, one channel wide."""
    model = build_compact(widths=(1, 1, 1, 1, 1))
    return Backbone(name="deep", model=model, input_size=64, source="seeded")


def map_shape(backbone, layer, shape):
    return tuple(side // backbone.stride(layer) for side in shape)


def guide(mask, backbone, layer, **options):
    return make_guide(mask, backbone, layer, map_shape(backbone, layer, mask.shape), **options)


def plain_guide(mask, backbone, layer):
    """The guide without erosion."""
    stride = backbone.stride(layer)
    return average_cells(mask, stride, map_shape(backbone, layer, mask.shape))


def disc(side, radius):
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return (np.hypot(rows, columns) < radius).astype(np.float32)


# Erosion


@given(MASKS, st.integers(0, 9))
def test_erosion_is_the_minimum_over_the_square_around_each_pixel(mask, radius):
    rows, columns = np.indices(mask.shape)
    expected = [
        mask[max(0, r - radius) : r + radius + 1, max(0, c - radius) : c + radius + 1].min()
        for r, c in zip(rows.ravel(), columns.ravel(), strict=True)
    ]
    np.testing.assert_array_equal(erode(mask, radius).ravel(), expected)


@given(MASKS, st.integers(0, 6), st.integers(0, 6))
def test_two_erosions_are_one_by_the_sum_of_the_radii(mask, first, second):
    np.testing.assert_array_equal(erode(erode(mask, first), second), erode(mask, first + second))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 500))
def test_the_border_of_the_image_does_not_count_as_an_edge(height, width, radius):
    assert np.all(erode(np.ones((height, width), np.float32), radius) == 1)


@given(MASKS, st.integers(1, 5), st.integers(0, 2**16))
def test_erosion_of_a_bigger_mask_is_bigger(mask, radius, seed):
    more = np.maximum(mask, np.random.default_rng(seed).random(mask.shape, np.float32))
    assert np.all(erode(more, radius) >= erode(mask, radius))
    assert np.all(erode(mask, radius) <= mask)


def test_a_soft_edge_moves_and_stays_as_soft():
    ramp = np.clip(np.linspace(-1, 2, 61, dtype=np.float32), 0, 1)[None].repeat(5, axis=0)
    np.testing.assert_array_equal(erode(ramp, 7)[:, 7:], ramp[:, :-7])


def test_erosion_takes_as_many_passes_as_the_logarithm_of_the_radius(monkeypatch):
    passes = []
    minimum = np.minimum
    monkeypatch.setattr(np, "minimum", lambda *planes: passes.append(1) or minimum(*planes))
    for radius, count in ((1, 4), (500, 20)):
        passes.clear()
        erode(np.ones((8, 2048), np.float32), radius)
        assert len(passes) <= count


# Guides


@settings(max_examples=30)
@given(
    height=st.integers(16, 300),
    width=st.integers(16, 300),
    make=st.sampled_from([guide, plain_guide]),
)
def test_a_mask_of_ones_guides_with_ones_everywhere(deep, height, width, make):
    ones = np.ones((height, width), np.float32)
    for layer in ("block1_conv1", "block3_conv2", DEEPEST):
        made = make(ones, deep, layer)
        assert made.shape == map_shape(deep, layer, ones.shape)
        assert made.dtype == np.float32
        assert np.all(made == 1)


@settings(max_examples=30)
@given(mask=MASKS)
def test_complementary_masks_share_every_position(tiny_backbone, mask):
    for layer in tiny_backbone.taps:
        inside, outside = (plain_guide(m, tiny_backbone, layer) for m in (mask, 1 - mask))
        np.testing.assert_allclose(inside + outside, 1, atol=1e-6)


@settings(max_examples=30)
@given(mask=MASKS, seed=st.integers(0, 2**16))
def test_a_bigger_mask_has_a_bigger_guide(tiny_backbone, mask, seed):
    more = np.maximum(mask, np.random.default_rng(seed).random(mask.shape, np.float32))
    for layer in tiny_backbone.taps:
        small = plain_guide(mask, tiny_backbone, layer)
        assert np.all(plain_guide(more, tiny_backbone, layer) >= small - 1e-6)
        if small.max() > 0:
            assert np.all(guide(mask, tiny_backbone, layer) <= small + 1e-6)


def test_a_bigger_region_that_contains_the_fields_has_a_bigger_eroded_guide(deep):
    for layer in deep.taps:
        small, big = guide(disc(256, 80), deep, layer), guide(disc(256, 110), deep, layer)
        assert np.all(big >= small)
        assert big.sum() > small.sum()


@pytest.mark.parametrize("make", [guide, plain_guide])
def test_a_fainter_mask_has_the_same_guide_fainter(deep, make):
    mask = disc(192, 70) + 0.5 * (disc(192, 90) - disc(192, 70))
    for layer in deep.taps:
        full, faint = (make(m, deep, layer) for m in (mask, 0.3 * mask))
        np.testing.assert_allclose(faint, 0.3 * full, atol=1e-6)


def test_without_erosion_a_weight_is_the_part_of_the_cell_that_lies_inside(deep):
    mask = np.zeros((64, 64), np.float32)
    mask[:, :24] = 1
    made = plain_guide(mask, deep, DEEPEST)
    np.testing.assert_array_equal(made, np.tile([1, 0.5, 0, 0], (4, 1)))


@pytest.mark.parametrize("layer", ["block3_conv1", "block4_conv2", DEEPEST])
def test_full_weight_lies_inside_by_the_effective_field(deep, layer):
    mask = np.zeros((256, 256), np.float32)
    mask[:, 100:] = 1
    stride, reach = deep.stride(layer), deep.reach(layer)
    middles = np.arange(256 // stride) * stride + (stride - 1) / 2
    made = guide(mask, deep, layer)[5]
    assert np.all(middles[made == 1] - EFFECTIVE_SHARE * reach >= 100 - 1)
    assert np.all(made[middles - EFFECTIVE_SHARE * reach >= 100 + stride / 2] == 1)
    assert np.all(made[middles < 100] == 0)


@pytest.mark.parametrize("seed", range(3))
def test_positions_of_full_weight_depend_little_on_pixels_outside(tiny_backbone, seed):
    import tensorflow as tf

    image = tf.constant(np.random.default_rng(seed).random((1, 48, 48, 3)), tf.float32)
    mask = np.zeros((48, 48), np.float32)
    mask[:, 20:] = 1
    for layer in tiny_backbone.taps:
        weights = guide(mask, tiny_backbone, layer)
        row = weights.shape[0] // 2
        column = int(np.argmax(weights[row] == 1))
        with tf.GradientTape() as tape:
            tape.watch(image)
            activation = tiny_backbone.tap([layer])(image, training=False)[layer][0, row, column]
            energy = tf.reduce_sum(activation**2)
        squares = tape.gradient(energy, image).numpy()[0] ** 2
        assert np.sum(squares * mask[..., None]) >= 0.8 * np.sum(squares)


def test_a_region_too_narrow_for_a_field_is_eroded_less(deep):
    narrow, wide = np.zeros((2, 128, 256), np.float32)
    narrow[:, 96:144] = 1
    wide[:, 32:224] = 1
    reduced, plain = guide(narrow, deep, DEEPEST), plain_guide(narrow, deep, DEEPEST)
    assert 0 < reduced.sum() < plain.sum()
    assert reduced.max() == 1
    assert guide(wide, deep, DEEPEST).sum() < plain_guide(wide, deep, DEEPEST).sum()
    line = np.zeros((128, 256), np.float32)
    line[:, 100] = 1
    np.testing.assert_array_equal(guide(line, deep, DEEPEST), plain_guide(line, deep, DEEPEST))


def test_layers_that_depend_on_the_whole_image_are_not_eroded():
    everything = SimpleNamespace(reach=lambda layer: WHOLE_IMAGE, stride=lambda layer: 4)
    mask = disc(64, 20)
    eroded, plain = (make(mask, everything, "squeezed") for make in (guide, plain_guide))
    np.testing.assert_array_equal(eroded, plain)


def test_cells_beyond_the_last_pixel_repeat_the_edge_of_the_mask(deep):
    mask = np.zeros((40, 40), np.float32)
    mask[:, 32:] = 1
    made = average_cells(mask, deep.stride(DEEPEST), (3, 3))
    np.testing.assert_array_equal(made, np.tile([0, 0, 1], (3, 1)))


@pytest.mark.parametrize("radius", [3, 8, 20, 33, 60, 100])
def test_erosion_leaves_a_quarter_of_a_region_of_any_size(deep, radius):
    mask = disc(256, radius)
    for layer in deep.taps:
        eroded, plain = guide(mask, deep, layer), plain_guide(mask, deep, layer)
        assert LEAST_SHARE * plain.sum() <= eroded.sum() <= plain.sum()


# Regions too small


def test_a_region_outside_every_position_is_refused_by_mask_and_layer(deep):
    mask = np.zeros((40, 40), np.float32)
    mask[:, 35:] = 1
    with pytest.raises(MaskError, match=r"sky\.png.*block5_conv1") as refused:
        guide(mask, deep, DEEPEST, name="sky.png")
    assert "\n" not in str(refused.value)


def test_a_few_pixels_guide_a_coarse_scale_but_are_refused_at_the_full_one(deep):
    dot = np.zeros((96, 96), np.float32)
    dot[40:44, 40:44] = 1
    assert guide(dot, deep, DEEPEST).max() > 0
    check_guides(dot, deep, ["block1_conv1", "block2_conv1"], "eye.png")
    with pytest.raises(MaskError, match=r"eye\.png.*block5_conv1.*16×16"):
        check_guides(dot, deep, ["block1_conv1", DEEPEST], "eye.png")


@settings(max_examples=20)
@given(side=st.integers(32, 130), value=st.floats(0.1, 1))
def test_a_region_of_half_the_image_is_large_enough(deep, side, value):
    mask = np.zeros((side, side), np.float32)
    mask[: math.ceil(side / 2)] = value
    check_guides(mask, deep, deep.taps, "half.png")


def test_an_unknown_layer_is_refused(deep):
    with pytest.raises(BackboneError, match="block9"):
        make_guide(np.ones((32, 32), np.float32), deep, "block9_conv1", (2, 2))
