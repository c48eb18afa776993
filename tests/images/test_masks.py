"""Masks from files, and of the size of their images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from nstk.errors import ImageError, MaskError
from nstk.images.masks import check_mask, load_mask, resize_mask

LEVEL = 1 / 255

SIDES = st.integers(1, 12)
MASKS = st.tuples(SIDES, SIDES).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
)


def disc(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows - height / 2, columns - width / 2) < min(height, width) / 3
    return inside.astype(np.float32)


# Files


@pytest.mark.parametrize("extension", ["png", "webp", "tif", "bmp"])
def test_white_is_inside_and_black_is_outside(tmp_path, extension):
    levels = np.tile(np.uint8([0, 51, 255]), (4, 1))
    path = tmp_path / f"mask.{extension}"
    Image.fromarray(levels).convert("RGB").save(path, lossless=True)
    loaded = load_mask(path)
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, np.tile([0, 0.2, 1], (4, 1)), atol=1e-6)
    assert loaded.max() == 1


def test_masks_may_have_one_or_sixteen_bits(tmp_path):
    Image.fromarray(disc(20, 30) > 0).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(load_mask(tmp_path / "bit.png"), disc(20, 30))
    ramp = np.tile(np.arange(0, 65536, 4369, dtype=np.uint16), (2, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    np.testing.assert_allclose(load_mask(tmp_path / "deep.png"), ramp / 65535, atol=1e-6)


def test_a_colored_mask_is_its_luma(tmp_path):
    Image.new("RGB", (3, 2), (0, 255, 0)).save(tmp_path / "green.png")
    np.testing.assert_allclose(load_mask(tmp_path / "green.png"), np.full((2, 3), 0.587))


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 60)])
def test_a_shape_of_one_color_on_a_transparent_background_is_its_alpha(tmp_path, color):
    image = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((8, 5, 30, 24), (*color, 255))
    alpha = np.asarray(image)[..., 3].copy()
    alpha[0, 0] = 128
    image.putpixel((0, 0), (*color, 128))
    image.save(tmp_path / "shape.png")
    np.testing.assert_allclose(load_mask(tmp_path / "shape.png"), alpha / 255, atol=1e-6)


def test_transparent_pixels_of_a_colorful_image_are_outside(tmp_path):
    levels = np.zeros((2, 3, 4), np.uint8)
    levels[0, :, :3], levels[1, :, :3] = 255, 51
    levels[..., 3] = [0, 51, 255]
    Image.fromarray(levels).save(tmp_path / "both.png")
    expected = np.outer([1, 0.2], [0, 0.2, 1])
    np.testing.assert_allclose(load_mask(tmp_path / "both.png"), expected, atol=1e-6)


def test_a_transparent_file_is_an_empty_mask(tmp_path):
    Image.new("RGBA", (4, 4), (255, 255, 255, 0)).save(tmp_path / "nothing.png")
    assert load_mask(tmp_path / "nothing.png").max() == 0


def test_a_file_that_is_not_an_image_is_not_a_mask(tmp_path):
    (tmp_path / "mask.png").write_text("white")
    with pytest.raises(ImageError, match=r"mask\.png: not an image"):
        load_mask(tmp_path / "mask.png")


# Fit


def test_a_mask_of_the_size_of_its_image_is_unchanged():
    mask = disc(30, 40)
    np.testing.assert_array_equal(check_mask(mask, (30, 40, 3), "sky.png"), mask)


@pytest.mark.parametrize("size", [(60, 80), (15, 20), (300, 400), (341, 455), (8, 11)])
def test_a_mask_of_the_same_aspect_ratio_is_resized(size):
    fitted = check_mask(disc(*size), (30, 40, 3), "sky.png")
    assert fitted.shape == (30, 40)
    assert fitted.max() <= 1
    assert np.mean(fitted) == pytest.approx(np.mean(disc(30, 40)), abs=0.06)


@given(height=st.integers(20, 300), width=st.integers(20, 300), scale=st.floats(0.1, 5))
def test_rounding_to_whole_pixels_keeps_the_aspect_ratio(height, width, scale):
    scaled = max(1, round(height * scale)), max(1, round(width * scale))
    assert check_mask(np.ones(scaled, np.float32), (height, width), "m").shape == (height, width)


@pytest.mark.parametrize("size", [(40, 30), (30, 42), (28, 40), (80, 80), (600, 840)])
def test_a_mask_of_another_aspect_ratio_is_refused_with_both_sizes(size):
    with pytest.raises(MaskError) as refused:
        check_mask(np.ones(size, np.float32), (30, 40, 3), "sky.png")
    said = str(refused.value)
    assert f"sky.png is {size[1]}×{size[0]} pixels, its image 40×30" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((30, 40)), "black"),
        (np.full((30, 40), 1.2), "values from 1.2 to 1.2"),
        (np.full((30, 40), -0.1), "values from -0.1"),
        (np.full((30, 40), np.nan), "values from nan"),
        (np.ones((30, 40, 3)), r"shape \(30, 40, 3\)"),
        (np.ones((0, 40)), r"shape \(0, 40\)"),
    ],
)
def test_invalid_masks_are_refused_by_name(mask, reason):
    with pytest.raises(MaskError, match=f"sky.png .*{reason}") as refused:
        check_mask(mask.astype(np.float32), (30, 40), "sky.png")
    assert "\n" not in str(refused.value)


# Sizes and edges


@given(MASKS, SIDES, SIDES)
def test_resizing_a_mask_does_not_overshoot(mask, height, width):
    resized = resize_mask(mask, height, width)
    assert resized.shape == (height, width)
    assert resized.dtype == np.float32
    assert resized.min() >= mask.min() - 1e-6
    assert resized.max() <= mask.max() + 1e-6


@given(*[st.integers(1, 80)] * 4)
def test_a_mask_of_ones_resized_is_a_mask_of_ones(h, w, height, width):
    assert np.all(resize_mask(np.ones((h, w), np.float32), height, width) == 1)


@given(MASKS, SIDES, SIDES)
def test_complementary_masks_stay_complementary(mask, height, width):
    both = resize_mask(mask, height, width) + resize_mask(1 - mask, height, width)
    np.testing.assert_allclose(both, 1, atol=1e-5)


def test_a_shrunk_checkerboard_is_gray_without_moire():
    board = (np.indices((90, 120)).sum(axis=0) % 2).astype(np.float32)
    np.testing.assert_allclose(resize_mask(board, 18, 24), 0.5, atol=0.05)
