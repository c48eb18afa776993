"""Every bit depth, color mode and color profile becomes float32 sRGB."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms
from raw_images import (
    GRAY_ALPHA,
    LEVEL,
    PALETTE,
    RGB,
    RGBA,
    black_only_profile,
    gamma,
    on_white,
    png,
    profile,
    swapped_profile,
    tiff,
    write,
)

from nstk.errors import ImageError
from nstk.images.color_spaces import SRGB_PROFILE
from nstk.images.loading import load_image, load_levels, warn_unused_bits

# Depths and kinds of color


@pytest.mark.parametrize("extension", ["png", "tif"])
@settings(max_examples=20)
@given(values=arrays(np.uint16, (4, 3)))
def test_sixteen_bit_gray_keeps_every_bit(tmp_path_factory, extension, values):
    path = tmp_path_factory.getbasetemp() / f"deep.{extension}"
    Image.fromarray(values).save(path)
    pixels = load_image(path).pixels
    assert pixels.shape == (4, 3, 3)
    assert (np.rint(pixels * 65535) == values[..., None]).all()


@pytest.mark.parametrize(("color_type", "channels"), [(GRAY_ALPHA, 2), (RGB, 3), (RGBA, 4)])
@settings(max_examples=30)
@given(data=st.data())
def test_sixteen_bit_png_keeps_every_bit(tmp_path_factory, color_type, channels, data):
    values = data.draw(arrays(np.uint16, (3, 4, channels)))
    values[0, 0, -1] = 7
    path = write(tmp_path_factory.getbasetemp() / "deep.png", png(values, color_type))
    loaded = load_image(path)
    colors, alpha = values[..., : 3 if channels > 2 else 1] / 65535, np.ones((3, 4))
    if channels in (2, 4):
        alpha = values[..., -1] / 65535
        np.testing.assert_allclose(loaded.alpha, alpha, atol=1e-6)
    np.testing.assert_allclose(
        loaded.pixels, np.broadcast_to(on_white(colors, alpha), (3, 4, 3)), atol=1e-6
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
def test_sixteen_bit_color_tiff_keeps_every_bit(tmp_path, order, compression):
    values = np.random.default_rng(1).integers(0, 65536, (5, 6, 3), dtype=np.uint16)
    path = write(tmp_path / "deep.tif", tiff(values, order, compression))
    assert (np.rint(load_image(path).pixels * 65535) == values).all()


def test_sixteen_bit_color_in_planes_is_refused_because_pillow_misreads_it(tmp_path):
    path = write(tmp_path / "planes.tif", tiff(np.zeros((5, 6, 3), np.uint16), planes=True))
    with pytest.raises(ImageError, match="interleaved"):
        load_image(path)


def test_gray_whose_zero_is_white_is_inverted(tmp_path):
    values = np.array([[[0], [65535], [257]]], np.uint16)
    path = write(tmp_path / "white.tif", tiff(values, photometric=0))
    assert (np.rint(load_image(path).pixels[..., :1] * 65535) == 65535 - values).all()


def test_a_sixteen_bit_transparent_color_is_exactly_one_color(tmp_path):
    values = np.array([[[258, 3, 4], [257, 3, 4]]], np.uint16)
    key = struct.pack(">3H", 258, 3, 4)
    loaded = load_image(write(tmp_path / "key.png", png(values, RGB, tRNS=key)))
    assert loaded.alpha.tolist() == [[0, 1]]
    assert loaded.pixels[0, 0].tolist() == [1, 1, 1]
    assert (np.rint(loaded.pixels[0, 1] * 65535) == values[0, 1]).all()


def test_floats_from_0_to_1_are_kept_unchanged(tmp_path):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "float.tif")
    assert (load_image(tmp_path / "float.tif").pixels == values[..., None]).all()


@pytest.mark.parametrize("wrong", [-1.0, 255.0, np.nan])
def test_floats_without_a_known_white_are_refused(tmp_path, wrong):
    Image.fromarray(np.full((2, 2), wrong, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=f"{wrong:g}"):
        load_image(tmp_path / "float.tif")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "LAB", "YCbCr"])
def test_every_color_mode_becomes_rgb(tmp_path, scene, mode):
    colors = Image.fromarray(np.rint(scene * 255).astype(np.uint8))
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(colors, srgb, lab, outputMode="LAB")
        image.info.clear()
    else:
        image = colors.convert(mode)
    image.save(tmp_path / "kind.tif")
    expected = scene if mode in ("LAB", "CMYK") else np.asarray(image.convert("RGB")) / 255
    loaded = load_image(tmp_path / "kind.tif")
    assert np.abs(loaded.pixels - expected).mean() < 2.5 * LEVEL
    assert ("approximate" in "".join(loaded.notices)) == (mode == "CMYK")


@pytest.mark.parametrize("extension", ["png", "gif"])
def test_the_transparent_entry_of_a_palette_is_white(tmp_path, extension):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / f"palette.{extension}", transparency=1)
    loaded = load_image(tmp_path / f"palette.{extension}")
    assert loaded.pixels.tolist() == [[[1, 0, 0], [1, 1, 1]], [[0, 0, 1], [1, 1, 1]]]
    assert loaded.alpha.tolist() == [[1, 0], [1, 0]]


def test_a_palette_with_half_transparent_entries_keeps_them(tmp_path):
    content = png(
        np.array([[[0], [1]]], np.uint8),
        PALETTE,
        PLTE=bytes([200, 100, 50, 0, 255, 0]),
        tRNS=bytes([51, 102]),
    )
    loaded = load_image(write(tmp_path / "palette.png", content))
    np.testing.assert_allclose(loaded.alpha, [[0.2, 0.4]])
    colors = np.array([[[200, 100, 50], [0, 255, 0]]]) / 255
    np.testing.assert_allclose(loaded.pixels, on_white(colors, loaded.alpha), rtol=1e-6)


def test_gray_with_alpha_lies_on_white(tmp_path):
    content = png(np.array([[[102, 51], [204, 255]]], np.uint8), GRAY_ALPHA)
    loaded = load_image(write(tmp_path / "gray.png", content))
    np.testing.assert_allclose(loaded.alpha, [[0.2, 1]])
    np.testing.assert_allclose(loaded.pixels, [[[0.88] * 3, [0.8] * 3]], rtol=1e-6)


def test_opaque_alpha_is_dropped(tmp_path, noise):
    opaque = np.concatenate([noise, np.full((9, 14, 1), 255, np.uint8)], axis=-1)
    assert load_image(write(tmp_path / "opaque.png", png(opaque, RGBA))).alpha is None


@pytest.mark.parametrize("extension", ["gif", "webp", "png", "tif"])
def test_the_first_of_several_images_is_loaded_with_a_notice(tmp_path, extension):
    red, blue = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    path = tmp_path / f"several.{extension}"
    options = {"lossless": True} if extension == "webp" else {}
    red.save(path, save_all=True, append_images=[blue], **options)
    loaded = load_image(path)
    assert (loaded.pixels == [1, 0, 0]).all()
    assert loaded.notices == (f"{path}: the file holds several images; the first is used.",)


# Color profiles


@pytest.mark.parametrize("extension", ["png", "tif", "jpg", "webp"])
def test_an_embedded_profile_is_converted_to_srgb(tmp_path, extension):
    image = Image.new("RGB", (8, 8), (255, 120, 0))
    path = tmp_path / f"swapped.{extension}"
    options = {"lossless": True} if extension == "webp" else {}
    image.save(path, icc_profile=swapped_profile(), quality=100, **options)
    np.testing.assert_allclose(load_image(path).pixels[4, 4] * 255, [120, 255, 0], atol=2)


def test_the_srgb_profile_keeps_sixteen_bits(tmp_path):
    values = np.random.default_rng(2).integers(0, 65536, (4, 4, 3), dtype=np.uint16)
    content = png(values, RGB, iCCP=b"sRGB\0\0" + zlib.compress(SRGB_PROFILE))
    loaded = load_image(write(tmp_path / "deep.png", content))
    assert (np.rint(loaded.pixels * 65535) == values).all()
    assert loaded.notices == ()


def test_another_profile_reduces_to_eight_bits_with_a_notice(tmp_path):
    values = np.full((2, 2, 4), (65535, 30840, 0, 13107), np.uint16)
    content = png(values, RGBA, iCCP=b"swapped\0\0" + zlib.compress(swapped_profile()))
    loaded = load_image(write(tmp_path / "deep.png", content))
    np.testing.assert_allclose(loaded.pixels[0, 0] * 255, [228, 255, 204], atol=0.3)
    np.testing.assert_allclose(loaded.alpha, 0.2, rtol=1e-6)
    assert "8 bits" in loaded.notices[0]


def test_a_profile_does_not_change_alpha(tmp_path):
    image = Image.new("RGBA", (2, 2), (255, 120, 0, 51))
    image.save(tmp_path / "a.png", icc_profile=swapped_profile())
    loaded = load_image(tmp_path / "a.png")
    np.testing.assert_allclose(loaded.pixels[0, 0] * 255, [228, 255, 204], atol=0.3)
    np.testing.assert_allclose(loaded.alpha, 0.2, rtol=1e-6)


def test_a_gray_profile_is_converted_to_srgb(tmp_path):
    linear = profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": gamma(1)})
    Image.new("L", (2, 2), 55).save(tmp_path / "gray.png", icc_profile=linear)
    light = 55 / 255
    expected = 1.055 * light ** (1 / 2.4) - 0.055
    loaded = load_image(tmp_path / "gray.png")
    np.testing.assert_allclose(loaded.pixels, np.full((2, 2, 3), expected), atol=1.5 * LEVEL)


def test_a_color_profile_in_a_gray_image_is_applied(tmp_path):
    Image.new("L", (2, 2), 100).save(tmp_path / "gray.png", icc_profile=swapped_profile())
    loaded = load_image(tmp_path / "gray.png")
    assert loaded.notices == ()
    np.testing.assert_allclose(loaded.pixels * 255, np.full((2, 2, 3), 100), atol=1.1)


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_a_cmyk_profile_is_converted_to_srgb(tmp_path, extension):
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 8, 4))
    path = tmp_path / f"press.{extension}"
    image.save(path, icc_profile=black_only_profile())
    loaded = load_image(path)
    np.testing.assert_allclose(loaded.pixels[0, 0], 0, atol=0.03)
    np.testing.assert_allclose(loaded.pixels[7, 7], 1, atol=0.03)
    assert loaded.notices == ()


@pytest.mark.parametrize("broken", [b"nonsense", SRGB_PROFILE[:300], black_only_profile()])
def test_an_unusable_profile_is_a_notice(tmp_path, noise, broken):
    Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=broken)
    loaded = load_image(tmp_path / "a.png")
    assert (loaded.pixels * 255 == noise).all()
    assert "profile cannot be used" in loaded.notices[0]


# Values that are not what the format's maximum says


def test_twelve_bits_in_sixteen_are_told_of_and_kept(tmp_path):
    values = np.linspace(0, 4095, 48).reshape(6, 8).astype(np.uint16)
    for number in range(3):
        Image.fromarray(values).save(tmp_path / f"{number}.tif")
    paths = sorted(tmp_path.iterdir())
    loaded = load_image(paths[0])
    assert (np.rint(loaded.pixels[..., 0] * 65535) == values).all()
    assert "upper 4 of its 16 bits" in loaded.notices[0]
    [notice] = warn_unused_bits(paths)
    assert "by 16" in notice
    values[0, 0] = 4096
    Image.fromarray(values).save(tmp_path / "bright.tif")
    assert load_image(tmp_path / "bright.tif").notices == ()
    assert warn_unused_bits([*paths, tmp_path / "bright.tif"]) == []
    assert warn_unused_bits([]) == []


def light(levels: np.ndarray, exponent: float) -> np.ndarray:
    """sRGB values of levels that are encoded as light^exponent."""
    linear = (levels / np.iinfo(levels.dtype).max) ** (1 / exponent)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("exponent", [1.0, 1 / 1.8])
def test_the_gamma_of_a_png_is_applied(tmp_path, kind, exponent):
    levels = np.linspace(0, np.iinfo(kind).max, 60).reshape(4, 5, 3).astype(kind)
    gama = struct.pack(">I", round(exponent * 100_000))
    path = write(tmp_path / "linear.png", png(levels, RGB, gAMA=gama))
    expected = light(levels, exponent)
    np.testing.assert_allclose(load_image(path).pixels, expected, atol=2e-5)
    np.testing.assert_array_equal(load_levels(path), np.rint(load_image(path).pixels * 255))


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 45455)},
        {"gAMA": bytes(4)},
        {"sRGB": b"\0", "gAMA": struct.pack(">I", 100_000)},
        {
            "iCCP": b"sRGB\0\0" + zlib.compress(SRGB_PROFILE),
            "gAMA": struct.pack(">I", 100_000),
        },
    ],
)
def test_a_gamma_like_srgb_or_beside_a_profile_changes_nothing(tmp_path, noise, chunks):
    path = write(tmp_path / "a.png", png(noise, RGB, **chunks))
    np.testing.assert_array_equal(load_levels(path), noise)


def test_a_gamma_does_not_change_alpha(tmp_path):
    levels = np.array([[[255, 255, 255, 51], [0, 0, 0, 255]]], np.uint8)
    path = write(tmp_path / "a.png", png(levels, RGBA, gAMA=struct.pack(">I", 100_000)))
    np.testing.assert_allclose(load_image(path).alpha, [[0.2, 1]], rtol=1e-6)
