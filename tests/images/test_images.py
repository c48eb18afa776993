"""Every image file becomes float32 sRGB, and back."""

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms

from nstk.errors import ImageError, NstkError, OutputError, SettingsError
from nstk.images.encoding import check_output, save_image
from nstk.images.icc_profiles import SRGB_PROFILE
from nstk.images.image import fit_size, resize_image, resize_plane
from nstk.images.loading import load_image, probe_image

LEVEL = 1 / 255

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""PNG color types."""


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(samples: np.ndarray, color_type: int, **chunks: bytes) -> bytes:
    """A PNG file with the samples (height, width, channels), uint8 or uint16, as they are."""
    height, width, _ = samples.shape
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1)
    depth = 8 * samples.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(name.encode(), content) for name, content in chunks.items()),
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
            chunk(b"IEND", b""),
        ]
    )


def tiff(
    values: np.ndarray,
    order: str = "<",
    compression: int = 1,
    photometric: int | None = None,
    planes: bool = False,
) -> bytes:
    """A 16-bit TIFF file with the values (height, width, channels), packed as asked."""
    height, width, channels = values.shape
    values = values.astype(f"{order}u2")
    strips = [values[..., each] for each in range(channels)] if planes else [values]
    packed = [
        zlib.compress(strip.tobytes()) if compression == 8 else strip.tobytes() for strip in strips
    ]
    starts = [8 + sum(map(len, packed[:each])) for each in range(len(packed))]
    tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [16] * channels),
        259: ("H", [compression]),
        262: ("H", [(2 if channels == 3 else 1) if photometric is None else photometric]),
        273: ("I", starts),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", list(map(len, packed))),
        284: ("H", [2 if planes else 1]),
    }
    content = b"".join(packed)
    directory = struct.pack(f"{order}H", len(tags))
    for tag, (kind, numbers) in tags.items():
        field = struct.pack(f"{order}{len(numbers)}{kind}", *numbers).ljust(4, b"\0")
        if len(field) > 4:
            content, field = content + field, struct.pack(f"{order}I", 8 + len(content))
        directory += struct.pack(f"{order}HHI", tag, 3 if kind == "H" else 4, len(numbers)) + field
    head = b"II" if order == "<" else b"MM"
    start = struct.pack(f"{order}HI", 42, 8 + len(content))
    return head + start + content + directory + bytes(4)


def profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A minimal ICC profile (ICC.1:2022, clause 7)."""
    tags = {b"wtpt": xyz(0.9642, 1.0, 0.8249)} | tags
    offset, table, contents = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(contents), len(content))
        contents += content
    body = struct.pack(">I", len(tags)) + table + contents
    header = struct.pack(">I4xI", 128 + len(body), 0x02400000) + kind + space + connection
    header = header.ljust(36, b"\0") + b"acsp"
    return header.ljust(68, b"\0") + struct.pack(">iii", 63190, 65536, 54061) + bytes(48) + body


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(value * 65536) for value in values))


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def swapped_profile() -> bytes:
    """The sRGB profile in which red and green have changed places."""
    swapped = SRGB_PROFILE.replace(b"rXYZ", b"xxxx").replace(b"gXYZ", b"rXYZ")
    return swapped.replace(b"xxxx", b"gXYZ")


def black_only_profile() -> bytes:
    """A CMYK profile of a press on which only the black ink leaves a trace."""
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = bytes(range(256))
    corners = b"".join(bytes([0 if corner % 2 else 255, 128, 128]) for corner in range(16))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + corners + 3 * ramp
    return profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": lut})


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


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
def test_alpha_and_the_colors_below_it_are_kept(tmp_path_factory, extension, alpha):
    pixels = np.linspace(0, 1, 45, dtype=np.float32).reshape(3, 5, 3)
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
    loaded = load_image(save_image(tmp_path / "scene.webp", scene, alpha=alpha))
    np.testing.assert_allclose(loaded.alpha, alpha, atol=LEVEL / 2 + 1e-6)
    assert np.abs(loaded.pixels - scene).mean() < 5 * LEVEL


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
    colors = 3 if channels > 2 else 1
    assert (np.rint(loaded.pixels * 65535) == values[..., :colors]).all()
    if channels in (2, 4):
        assert (np.rint(loaded.alpha * 65535) == values[..., -1]).all()


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
    assert (np.rint(loaded.pixels * 65535) == values).all()


def test_floats_from_0_to_1_are_kept_unchanged(tmp_path):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    Image.fromarray(values).save(tmp_path / "float.tif")
    assert (load_image(tmp_path / "float.tif").pixels == values[..., None]).all()


@pytest.mark.parametrize("wrong", [-1.0, 255.0, np.nan])
def test_floats_without_a_known_white_are_refused(tmp_path, wrong):
    Image.fromarray(np.full((2, 2), wrong, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=f"{wrong:g}"):
        probe_image(tmp_path / "float.tif")


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
def test_a_palette_with_a_transparent_entry_keeps_its_colors(tmp_path, extension):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / f"palette.{extension}", transparency=1)
    loaded = load_image(tmp_path / f"palette.{extension}")
    assert loaded.pixels.tolist() == [[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 1, 0]]]
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
    np.testing.assert_allclose(loaded.pixels[0, 0] * 255, [200, 100, 50], rtol=1e-6)


def test_gray_with_alpha_keeps_both(tmp_path):
    content = png(np.array([[[102, 51], [204, 255]]], np.uint8), GRAY_ALPHA)
    loaded = load_image(write(tmp_path / "gray.png", content))
    np.testing.assert_allclose(loaded.alpha, [[0.2, 1]])
    np.testing.assert_allclose(loaded.pixels, [[[0.4] * 3, [0.8] * 3]])


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
    np.testing.assert_allclose(loaded.pixels[0, 0] * 255, [120, 255, 0], atol=1.1)
    np.testing.assert_allclose(loaded.alpha, 0.2, rtol=1e-6)
    assert "8 bits" in loaded.notices[0]


def test_a_profile_does_not_change_alpha(tmp_path):
    image = Image.new("RGBA", (2, 2), (255, 120, 0, 51))
    image.save(tmp_path / "a.png", icc_profile=swapped_profile())
    loaded = load_image(tmp_path / "a.png")
    np.testing.assert_allclose(loaded.pixels[0, 0] * 255, [120, 255, 0], atol=1.1)
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


# Orientation

SIDES = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "lt", 6: "rt", 7: "rb", 8: "lb"}
"""Where EXIF puts the first row and the first column of the file (Exif 2.32, tag 0x0112)."""


def lay_down(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a file of this orientation stores an upright image."""
    rows, columns = SIDES[orientation]
    if rows in "lr":
        upright, rows, columns = upright.swapaxes(0, 1), *("tb"["lr".index(rows)], columns)
        columns = "lr"["tb".index(columns)]
    if rows == "b":
        upright = upright[::-1]
    return upright[:, ::-1] if columns == "r" else upright


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("extension", ["png", "tif", "webp", "jpg"])
def test_orientation_turns_pixels_and_alpha_upright(tmp_path, orientation, extension):
    upright = np.random.default_rng(4).integers(0, 200, (3, 2, 4), dtype=np.uint8)
    upright = upright.repeat(16, axis=0).repeat(16, axis=1)
    stored = Image.fromarray(np.ascontiguousarray(lay_down(upright, orientation)))
    stored = stored.convert("RGB") if extension == "jpg" else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if extension == "webp" else {}
    path = tmp_path / f"turned.{extension}"
    stored.save(path, exif=exif, **options)
    loaded = load_image(path)
    difference = np.abs(loaded.pixels * 255 - upright[..., :3])
    assert np.median(difference) < 1.5
    if extension != "jpg":
        assert difference.max() < 1e-4
        np.testing.assert_allclose(loaded.alpha * 255, upright[..., 3], atol=1e-4)
    assert loaded.pixels.flags.c_contiguous


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_orientation_applies_to_sixteen_bits(tmp_path, extension):
    upright = np.arange(6, dtype=np.uint16).reshape(3, 2) * 257 + 3
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.ascontiguousarray(lay_down(upright, 6)))
    stored.save(tmp_path / f"turned.{extension}", exif=exif)
    loaded = load_image(tmp_path / f"turned.{extension}")
    assert (np.rint(loaded.pixels[..., 0] * 65535) == upright).all()


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"])
def test_broken_exif_is_only_a_notice(tmp_path, noise, exif):
    Image.fromarray(noise).save(tmp_path / "a.jpg", exif=exif)
    loaded = load_image(tmp_path / "a.jpg")
    assert loaded.pixels.shape == noise.shape
    assert all("\n" not in notice for notice in loaded.notices)


# What is refused


def bad_files(folder: Path, noise: np.ndarray) -> dict[Path, str]:
    """Files that are not complete images, with a word of the reason."""
    Image.fromarray(noise.repeat(20, axis=0)).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, RGB, 0, 0, 0)
    (folder / "folder.png").mkdir()
    (folder / "broken.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.png")
    return {
        folder / "missing.png": "no such file",
        folder / "folder.png": "a folder",
        folder / "pipe.png": "a named pipe",
        folder / "broken.png": "a broken link",
        Path("/dev/null"): "a device",
        write(folder / "empty.jpg", b""): r"0 bytes",
        write(folder / "text.jpg", b"dear reader,\nthis is no image"): "looks like text",
        write(folder / "phone.jpg", b"\0\0\0\x18ftypheic" + bytes(50)): "HEIC",
        write(folder / "zip.jpg", b"PK\x03\x04" + bytes(50)): "zip",
        write(folder / "bytes.jpg", bytes(range(128, 200))): "begins with the bytes 80 81",
        write(folder / "cut.jpg", whole[: len(whole) // 2]): "damaged",
        write(folder / "head.jpg", whole[:30]): "damaged",
        write(
            folder / "bomb.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
        ): "claims 100000 × 100000 pixels",
    }


def test_files_that_are_not_complete_images_are_refused_in_one_line(tmp_path, noise):
    for path, reason in bad_files(tmp_path, noise).items():
        for refuse in (load_image, probe_image):
            with pytest.raises(ImageError, match=reason) as caught:
                refuse(path)
            assert str(caught.value).startswith(f"{path}: ")
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif", "bmp", "gif"])
def test_the_first_half_of_an_image_is_refused(tmp_path, noise, extension):
    path = tmp_path / f"half.{extension}"
    Image.fromarray(noise.repeat(9, axis=0).repeat(9, axis=1)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="damaged"):
        probe_image(path)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif", "bmp", "gif"])
@settings(max_examples=40, derandomize=True)
@given(data=st.data())
def test_damaged_files_load_or_are_refused_but_nothing_else(tmp_path_factory, extension, data):
    buffer = io.BytesIO()
    image = Image.fromarray(np.arange(12 * 11 * 3, dtype=np.uint8).reshape(12, 11, 3))
    image.save(buffer, Image.registered_extensions()[f".{extension}"])
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = write(tmp_path_factory.getbasetemp() / "file", bytes(content))
    with contextlib.suppress(ImageError):
        assert np.isfinite(load_image(path, max_pixels=10_000).pixels).all()


def test_the_pixel_limit_is_checked_before_decoding_and_can_be_raised(tmp_path, noise):
    path = write(tmp_path / "a.png", png(noise, RGB))
    limit = Image.MAX_IMAGE_PIXELS
    assert load_image(path, max_pixels=9 * 14).pixels.shape == (9, 14, 3)
    with pytest.raises(ImageError, match=r"14 × 9 .* 125"):
        load_image(path, max_pixels=125)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("extension", ["png", "tif", "gif"])
def test_the_limit_replaces_that_of_pillow(tmp_path, extension, monkeypatch):
    Image.new("RGB", (60, 60)).save(tmp_path / f"a.{extension}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr("nstk.images.decoding._LARGE", 1000)
    assert load_image(tmp_path / f"a.{extension}").pixels.shape == (60, 60, 3)


def test_an_image_below_the_minimum_side_is_refused(tmp_path):
    for size in ((1, 1), (3, 2000), (2000, 3)):
        Image.new("RGB", size).save(tmp_path / "thin.png")
        assert load_image(tmp_path / "thin.png").pixels.shape == (*reversed(size), 3)
        with pytest.raises(ImageError, match="at least 16"):
            load_image(tmp_path / "thin.png", minimum_side=16)


@pytest.mark.parametrize(
    ("extension", "name"),
    [
        ("png", "PNG"),
        ("jpg", "JPEG"),
        ("webp", "WEBP"),
        ("tif", "TIFF"),
        ("bmp", "BMP"),
        ("gif", "GIF"),
    ],
)
def test_the_content_determines_the_format_not_the_extension(tmp_path, noise, extension, name):
    Image.fromarray(noise).save(tmp_path / f"a.{extension}")
    liar = (tmp_path / f"a.{extension}").rename(tmp_path / "liar.txt")
    assert probe_image(liar) == name
    assert load_image(liar).pixels.shape == noise.shape


def test_a_camera_photo_with_previews_is_a_jpeg(tmp_path):
    first, second = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    first.save(tmp_path / "photo.mpo", save_all=True, append_images=[second])
    assert probe_image(tmp_path / "photo.mpo") == "JPEG"
    assert load_image(tmp_path / "photo.mpo").notices == ()


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


# Sizes


@given(height=st.integers(1, 5000), width=st.integers(1, 5000), longer_side=st.integers(1, 5000))
def test_a_fitted_size_has_the_longer_side_and_the_aspect_ratio(height, width, longer_side):
    rows, columns = fit_size(height, width, longer_side)
    assert max(rows, columns) == longer_side
    assert min(rows, columns) >= 1
    factor = longer_side / max(height, width)
    assert abs(rows - height * factor) <= max(0.5, 1 - height * factor)
    assert abs(columns - width * factor) <= max(0.5, 1 - width * factor)
    assert fit_size(width, height, longer_side) == (columns, rows)


@settings(max_examples=30)
@given(
    pixels=arrays(np.float32, (6, 7, 3), elements=st.floats(0, 1, width=32)),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
)
def test_a_resized_image_is_an_image(pixels, height, width):
    resized = resize_image(pixels, height, width)
    assert resized.shape == (height, width, 3)
    assert resized.dtype == np.float32
    assert resized.min() >= 0
    assert resized.max() <= 1


def test_the_same_size_changes_nothing_and_gives_a_new_array(scene):
    resized = resize_image(scene, 48, 64)
    np.testing.assert_array_equal(resized, scene)
    assert not np.shares_memory(resized, scene)


def test_a_flat_image_stays_flat_at_any_size():
    flat = np.full((5, 9, 3), [0.2, 0.5, 0.8], np.float32)
    for size in ((1, 1), (3, 20), (40, 2)):
        np.testing.assert_allclose(
            resize_image(flat, *size), np.broadcast_to(flat[0, 0], (*size, 3)), atol=1e-6
        )


def test_reducing_averages_pixels():
    checks = np.indices((64, 64)).sum(axis=0) % 2
    small = resize_plane(checks.astype(np.float32), 8, 8)
    np.testing.assert_allclose(small, 0.5, atol=0.05)


def test_an_image_too_large_for_the_memory_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("RGB", (4, 3)).save(path)

    def refuse(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ImageError, match="memory"):
        load_image(path)
