"""Saved images are exact, complete, and refused where a format cannot hold them."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms
from raw_images import LEVEL, on_white

from nstk.errors import NstkError, OutputError, SettingsError
from nstk.images.encoding import check_output, save_image
from nstk.images.loading import load_image

# Round trips


@pytest.mark.parametrize("extension", ["png", "tif", "tiff", "bmp", "PNG"])
@settings(max_examples=15)
@given(pixels=arrays(np.float32, (3, 5, 3), elements=st.floats(0, 1, width=32)))
def test_lossless_formats_keep_every_value_to_half_a_gray_level(
    tmp_path_factory, extension, pixels
):
    path = tmp_path_factory.getbasetemp() / f"trip.{extension}"
    assert save_image(path, pixels) == path
    loaded = load_image(path)
    assert loaded.path == path
    assert loaded.pixels.dtype == np.float32
    assert loaded.pixels.flags.c_contiguous
    assert loaded.notices == ()
    assert loaded.alpha is None
    np.testing.assert_allclose(loaded.pixels, pixels, atol=LEVEL / 2 + 1e-6)


@pytest.mark.parametrize("extension", ["png", "tif"])
@settings(max_examples=15)
@given(alpha=arrays(np.float32, (3, 5), elements=st.floats(0, 0.875, width=32)))
def test_alpha_and_the_look_on_white_are_kept(tmp_path_factory, extension, alpha):
    pixels = on_white(np.linspace(0, 1, 45).reshape(3, 5, 3), alpha)
    path = save_image(tmp_path_factory.getbasetemp() / f"a.{extension}", pixels, alpha=alpha)
    loaded = load_image(path)
    np.testing.assert_allclose(loaded.alpha, alpha, atol=LEVEL / 2 + 1e-6)
    np.testing.assert_allclose(loaded.pixels, pixels, atol=LEVEL / 2 + 1e-6)


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "webp"])
def test_lossy_formats_come_close(tmp_path, scene, extension):
    loaded = load_image(save_image(tmp_path / f"scene.{extension}", scene))
    assert np.abs(loaded.pixels - scene).mean() < 5 * LEVEL


def test_webp_keeps_alpha_exactly(tmp_path, scene):
    alpha = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    looks = on_white(scene, alpha)
    loaded = load_image(save_image(tmp_path / "scene.webp", looks, alpha=alpha))
    np.testing.assert_allclose(loaded.alpha, alpha, atol=LEVEL / 2 + 1e-6)
    assert np.abs(loaded.pixels - looks).mean() < 5 * LEVEL


@pytest.mark.parametrize("extension", ["jpg", "bmp"])
def test_formats_without_alpha_save_the_colors(tmp_path, scene, extension):
    path = save_image(tmp_path / f"scene.{extension}", scene, alpha=np.zeros((48, 64), np.float32))
    loaded = load_image(path)
    assert loaded.alpha is None
    assert np.abs(loaded.pixels - scene).mean() < 5 * LEVEL


def test_jpeg_keeps_the_full_color_resolution(tmp_path):
    stripes = np.zeros((16, 16, 3), np.float32)
    stripes[:, ::2, 0] = 1
    stripes[:, 1::2, 2] = 1
    loaded = load_image(save_image(tmp_path / "stripes.jpg", stripes))
    assert np.abs(loaded.pixels - stripes).max() < 0.1


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
def test_saved_files_carry_an_srgb_profile_and_equal_images_are_equal_files(
    tmp_path, scene, extension
):
    first = save_image(tmp_path / f"first.{extension}", scene)
    second = save_image(tmp_path / f"second.{extension}", scene)
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(embedded)


def test_uint8_is_saved_unchanged(tmp_path):
    levels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_image(tmp_path / "levels.png", levels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "levels.png")), levels)


def test_anything_that_converts_to_an_array_is_saved(tmp_path, scene):
    image = Image.fromarray(np.rint(scene * 255).astype(np.uint8))
    save_image(tmp_path / "image.png", image)
    save_image(tmp_path / "array.png", np.asarray(image))
    assert (tmp_path / "image.png").read_bytes() == (tmp_path / "array.png").read_bytes()


@pytest.mark.parametrize("kind", ["int64", "bool", "object"])
def test_other_dtypes_than_floats_and_uint8_are_not_saved(tmp_path, kind):
    with pytest.raises(OutputError, match=kind):
        save_image(tmp_path / "odd.png", np.zeros((4, 4, 3), kind))
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_black_and_white_are_clipped(tmp_path):
    pixels = np.array([[[-0.5, 0.5, 1.5]]], np.float32)
    loaded = load_image(save_image(tmp_path / "a.png", pixels))
    np.testing.assert_allclose(loaded.pixels, [[[0, 128 / 255, 1]]])


# What cannot be saved


def test_an_unknown_extension_is_refused_with_the_known_ones(tmp_path, scene):
    for name in ("image.xyz", "image", "image.gif"):
        for refuse in (check_output, lambda path: save_image(path, scene)):
            with pytest.raises(OutputError, match=r"\.png, \.jpg, \.jpeg, \.webp"):
                refuse(tmp_path / name)


def test_paths_where_no_image_can_be_saved_are_refused_early(tmp_path):
    check_output(tmp_path / "image.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="folder"):
        check_output(tmp_path / "folder.png")
    with pytest.raises(OutputError, match="missing"):
        check_output(tmp_path / "missing" / "image.png")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_non_finite_values_are_not_saved(tmp_path, wrong):
    pixels = np.zeros((4, 4, 3), np.float32)
    alpha = np.ones((4, 4), np.float32)
    pixels[1, 1, 1] = wrong
    with pytest.raises(OutputError, match="NaN"):
        save_image(tmp_path / "a.png", pixels)
    alpha[0, 0] = wrong
    with pytest.raises(OutputError, match="NaN"):
        save_image(tmp_path / "a.png", np.zeros_like(pixels), alpha=alpha)
    assert not list(tmp_path.iterdir())


def test_arrays_that_are_not_images_are_not_saved(tmp_path, scene):
    for pixels in (scene[..., 0], scene[..., :2], scene[:0]):
        with pytest.raises(OutputError, match=r"\(height, width, 3\)"):
            save_image(tmp_path / "a.png", pixels)
    with pytest.raises(OutputError, match=r"alpha .*\(3, 3\)"):
        save_image(tmp_path / "a.png", scene, alpha=np.ones((3, 3), np.float32))
    with pytest.raises(SettingsError, match="`quality` is 0"):
        save_image(tmp_path / "a.jpg", scene, quality=0)
    with pytest.raises(OutputError, match="16383"):
        save_image(tmp_path / "a.webp", np.zeros((1, 17_000, 3), np.float32))
    assert not list(tmp_path.iterdir())


def test_a_failed_save_keeps_the_old_image(tmp_path, scene, monkeypatch):
    path = save_image(tmp_path / "a.png", scene)
    before = path.read_bytes()

    def fail(image, target, **options):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(NstkError, match="No space left"):
        save_image(path, 1 - scene)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
