"""Arrays from memory become images by one rule."""

import numpy as np
import pytest

import nstk
from nstk.errors import ImageError, SettingsError
from nstk.images.image import RangedArray, is_ambiguous, to_image, to_levels
from nstk.stylization.records import digest_source

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


def call_on(image, name, backbone, folder, **options):
    """Call a public function on an image from memory."""
    axis = nstk.SweepAxis("seed", (1,))
    calls = {
        "stylize": lambda: nstk.stylize(image, image, **options),
        "plan_stylization": lambda: nstk.plan_stylization(image, image, **options),
        "sweep": lambda: nstk.sweep(image, image, [axis], folder / "runs", **options),
        "save_style": lambda: nstk.save_style(image, folder / "a.nstyle", **options),
        "inspect_layers": lambda: nstk.inspect_layers(image, **options),
        "inspect_content": lambda: nstk.inspect_content(image, **options),
        "inspect_style": lambda: nstk.inspect_style(image, **options),
        "inspect_gram": lambda: nstk.inspect_gram([image], **options),
    }
    options["backbone"] = backbone
    return calls[name]()


@pytest.mark.parametrize(
    "name",
    [
        "stylize",
        "plan_stylization",
        "sweep",
        "save_style",
        "inspect_layers",
        "inspect_content",
        "inspect_style",
        "inspect_gram",
    ],
)
def test_every_function_refuses_floats_that_contradict_the_range(
    tiny_backbone, scene, tmp_path, name
):
    floats = np.array(scene)
    for value_range, named in (((0, 255), r"value_range=\(0, 1\)"), ((-9, -8), "value_range")):
        with pytest.raises(ImageError, match=named):
            call_on(floats, name, tiny_backbone, tmp_path, value_range=value_range)
    with pytest.raises(SettingsError, match="value_range` is 3"):
        call_on(floats, name, tiny_backbone, tmp_path, value_range=3)
    assert not list(tmp_path.glob("*.nstyle"))


def test_floats_of_any_range_are_the_same_style(tiny_backbone, scene, tmp_path):
    floats, saved = np.array(scene), []
    for number, (array, value_range) in enumerate(
        [(floats, (0, 1)), (255 * floats, (0, 255)), (floats - 0.5, (-0.5, 0.5))]
    ):
        path = tmp_path / f"{number}.nstyle"
        options = {"value_range": value_range, "backbone": tiny_backbone}
        saved.append(nstk.save_style(array, path, **options).sums)
    for other in saved[1:]:
        for name, sums in saved[0][64].items():
            np.testing.assert_allclose(sums.gram, other[64][name].gram, rtol=1e-3)


def test_a_sweep_distinguishes_floats_by_their_range():
    levels = np.full((4, 4, 3), 1.5)
    one, other = (digest_source(RangedArray(levels, (0, high))) for high in (2, 255))
    assert one != other
