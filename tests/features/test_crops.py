"""Views cut by sums of lines are the views that the delivered network cuts for itself."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstk.features.crops import CROPS, crop_levels, extract_crops, plan_sampling
from nstk.features.networks import FEATURES, SQUARE, build_extractor

SIDES = st.integers(1, 90)


@pytest.fixture(scope="module")
def cut(tiny_backbone):
    """The layers of a delivered network up to its views."""
    extractor = build_extractor(tiny_backbone, 32, views=CROPS)
    return keras.Model(extractor.inputs[0], extractor.get_layer(SQUARE).output)


def draw(height, width, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return (levels / 255).astype(np.float32)


@settings(max_examples=25)
@given(SIDES, SIDES)
def test_every_view_is_the_one_of_the_delivered_network(cut, height, width):
    image = draw(height, width, seed=height * width)
    expected = cut(np.rint(image * 255)[np.newaxis]).numpy()[0]
    assert extract_crops(image, 32, CROPS) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [(1500, 1100), (700, 2000)])
def test_large_images_are_seen_like_small_ones(cut, size):
    image = draw(*size)
    expected = cut(np.rint(image * 255)[np.newaxis]).numpy()[0]
    assert extract_crops(image, 32, CROPS) == pytest.approx(expected, abs=1e-5)


def test_whole_levels_of_any_type_give_the_same_views():
    image = draw(70, 50)
    levels = np.rint(image * 255)
    for kind in (np.uint8, np.float32, np.float64):
        squares = crop_levels(levels.astype(kind), 32, CROPS)
        np.testing.assert_array_equal(squares, extract_crops(image, 32, CROPS))


def test_a_square_of_its_own_size_stays_as_it_is_inside_its_border():
    image = draw(48, 48)
    [square] = extract_crops(image, 48, CROPS[:1])
    assert square[1:-1, 1:-1] == pytest.approx(image[1:-1, 1:-1], abs=1e-5)


@pytest.mark.parametrize("size", [32, 33, 128, 224, 700])
def test_every_view_lies_inside_the_square(size):
    for view in CROPS:
        plan = plan_sampling(view, size)
        assert plan.factor % 2 == 0
        assert 0 <= plan.top <= plan.side - plan.window
        assert 0 <= plan.left <= plan.side - plan.window


def test_one_color_stays_that_color_in_every_view():
    image = np.full((37, 53, 3), [0.2, 0.4, 0.8], np.float32)
    assert extract_crops(image, 32, CROPS) == pytest.approx(
        np.broadcast_to(image[0, 0], (len(CROPS), 32, 32, 3)), abs=1e-5
    )


def test_views_are_all_different_and_the_first_mirrored_is_the_second():
    squares = extract_crops(draw(60, 80), 32, CROPS)
    assert squares[0][:, ::-1] == pytest.approx(squares[1])
    for number, square in enumerate(squares):
        for other in squares[number + 1 :]:
            assert np.abs(square - other).max() > 0.1


def test_the_vector_of_several_views_is_the_mean_of_theirs(tiny_backbone):
    image = np.rint(draw(50, 70) * 255)[np.newaxis]
    together = build_extractor(tiny_backbone, 32, "pooled+statistics", CROPS[:3])(image)
    alone = [
        build_extractor(tiny_backbone, 32, "pooled+statistics", (view,))(image).numpy()
        for view in CROPS[:3]
    ]
    assert together.numpy() == pytest.approx(np.mean(alone, axis=0), abs=1e-5)
    assert (
        together.shape[-1]
        == build_extractor(tiny_backbone, 32, "pooled+statistics")
        .get_layer(FEATURES)
        .output.shape[-1]
    )
