"""Arrays from memory become images by one rule."""

import numpy as np
import pytest

from nstk.errors import ImageError, SettingsError
from nstk.images.arrays import is_ambiguous, to_image, to_levels

LEVELS = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("array", "value_range"),
    [
        (LEVELS, (0, 255)),
        (LEVELS, (0, 1)),
        (LEVELS.astype(np.int64), (0, 255)),
        (LEVELS.astype(np.float32), (0, 255)),
        (LEVELS / 255, (0, 1)),
        ((LEVELS / 255).astype(np.float32), (0, 1)),
        (LEVELS / 127.5 - 1, (-1, 1)),
    ],
)
def test_the_same_image_in_any_range_is_the_same_image(array, value_range):
    levels, image = to_levels(array, "a", value_range), to_image(array, "a", value_range)
    assert levels.dtype == np.uint8
    assert image.dtype == np.float32
    np.testing.assert_array_equal(levels, LEVELS)
    np.testing.assert_allclose(image, LEVELS / 255, atol=1e-6)


class Returned:
    value_range = (0.0, 1.0)

    def __array__(self, dtype=None, copy=None):
        return (LEVELS / 255).astype(dtype or np.float32)


def test_a_result_carries_its_own_range():
    np.testing.assert_array_equal(to_levels(Returned(), "a"), LEVELS)


@pytest.mark.parametrize(
    ("array", "value_range", "named"),
    [
        (LEVELS / 255, (0, 255), r"value_range=\(0, 1\)"),
        (LEVELS.astype(float), (0, 1), r"value_range` is \(0, 1\)"),
        (LEVELS - 124.0, (0, 255), "from -124"),
        (LEVELS.astype(int) - 1, (0, 255), "from -1 "),
        (np.full((4, 5, 3), np.nan), (0, 255), "nan"),
        (LEVELS[0], (0, 255), r"\(5, 3\)"),
        (LEVELS[..., :2], (0, 255), r"\(4, 5, 2\)"),
        (LEVELS[:0], (0, 255), r"\(0, 5, 3\)"),
        (LEVELS > 3, (0, 255), "bool"),
    ],
)
def test_values_that_contradict_the_range_are_refused(array, value_range, named):
    for convert in (to_levels, to_image):
        with pytest.raises(ImageError, match=f"image 3: .*{named}"):
            convert(array, "image 3", value_range)


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), 255, (0, 1, 2), (0, np.inf)])
def test_what_is_not_a_range_is_refused(value_range):
    with pytest.raises(SettingsError, match="value_range"):
        to_levels(LEVELS, "a", value_range)


def test_floats_beyond_the_range_after_resampling_are_clipped():
    array = np.array([[[-20.0, 0.0, 270.0]]])
    np.testing.assert_array_equal(to_levels(array, "a"), [[[0, 0, 255]]])
    np.testing.assert_array_equal(to_image(array / 255, "a", (0, 1)), [[[0, 0, 1]]])


def test_black_is_black_in_every_range():
    black = np.zeros((4, 5, 3))
    assert not is_ambiguous(black)
    assert not to_levels(black, "a").any()
    assert not to_levels(black + 1, "a", check_scale=False).max() > 1
