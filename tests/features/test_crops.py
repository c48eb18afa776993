"""Crops computed as weighted sums are the crops that the network's own layers compute."""

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nstk.features.crops import CROPS, crop_levels, extract_crops, plan_sampling
from nstk.features.networks import FEATURES, SQUARE, build_extractor

SIDES = st.integers(1, 90)
SOME = (CROPS[0], CROPS[5])
"""The whole square, and a corner zoomed and mirrored."""


@pytest.fixture(scope="module")
def layers(tiny_backbone):
    """The layers of a classifier up to its crops."""
    extractor = build_extractor(tiny_backbone, 32, crops=SOME)
    return keras.Model(extractor.inputs[0], extractor.get_layer(SQUARE).output)


def draw(height, width, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return (levels / 255).astype(np.float32)


@settings(max_examples=8)
@example(1, 1)
@given(SIDES, SIDES)
def test_crops_are_those_of_the_layers(layers, height, width):
    image = draw(height, width, seed=height * width)
    expected = layers(np.rint(image * 255)[np.newaxis]).numpy()[0]
    assert extract_crops(image, 32, SOME) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [(1500, 1100), (700, 2000)])
def test_crops_of_large_images_are_those_of_the_layers(layers, size):
    image = draw(*size)
    expected = layers(np.rint(image * 255)[np.newaxis]).numpy()[0]
    assert extract_crops(image, 32, SOME) == pytest.approx(expected, abs=1e-5)


def test_all_crops_are_those_of_the_layers(tiny_backbone):
    extractor = build_extractor(tiny_backbone, 32, crops=CROPS)
    layers = keras.Model(extractor.inputs[0], extractor.get_layer(SQUARE).output)
    image = draw(61, 83)
    expected = layers(np.rint(image * 255)[np.newaxis]).numpy()[0]
    assert extract_crops(image, 32, CROPS) == pytest.approx(expected, abs=1e-5)


def test_levels_of_any_dtype_give_the_same_crops():
    image = draw(70, 50)
    levels = np.rint(image * 255)
    for kind in (np.uint8, np.float32, np.float64):
        squares = crop_levels(levels.astype(kind), 32, CROPS)
        np.testing.assert_array_equal(squares, extract_crops(image, 32, CROPS))


def test_a_square_of_the_crops_size_is_unchanged_inside_its_border():
    image = draw(48, 48)
    [square] = extract_crops(image, 48, CROPS[:1])
    assert square[1:-1, 1:-1] == pytest.approx(image[1:-1, 1:-1], abs=1e-5)


@pytest.mark.parametrize("size", [32, 33, 128, 224, 700])
def test_every_crop_lies_inside_the_square(size):
    for crop in CROPS:
        plan = plan_sampling(crop, size)
        assert plan.factor % 2 == 0
        assert 0 <= plan.top <= plan.side - plan.window
        assert 0 <= plan.left <= plan.side - plan.window


def test_one_color_stays_that_color_in_every_crop():
    image = np.full((37, 53, 3), [0.2, 0.4, 0.8], np.float32)
    assert extract_crops(image, 32, CROPS) == pytest.approx(
        np.broadcast_to(image[0, 0], (len(CROPS), 32, 32, 3)), abs=1e-5
    )


def test_crops_are_all_different_and_the_first_mirrored_is_the_second():
    squares = extract_crops(draw(60, 80), 32, CROPS)
    assert squares[0][:, ::-1] == pytest.approx(squares[1])
    for number, square in enumerate(squares):
        for other in squares[number + 1 :]:
            assert np.abs(square - other).max() > 0.1


def test_the_vector_of_several_crops_is_their_mean(tiny_backbone):
    image = np.rint(draw(50, 70) * 255)[np.newaxis]
    together = build_extractor(tiny_backbone, 32, "pooled+statistics", CROPS[:3])(image)
    alone = [
        build_extractor(tiny_backbone, 32, "pooled+statistics", (crop,))(image).numpy()
        for crop in CROPS[:3]
    ]
    assert together.numpy() == pytest.approx(np.mean(alone, axis=0), abs=1e-5)
    assert (
        together.shape[-1]
        == build_extractor(tiny_backbone, 32, "pooled+statistics")
        .get_layer(FEATURES)
        .output.shape[-1]
    )
