"""Images are loaded upright by content, and other files are refused."""

import contextlib
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from raw_images import (
    RGB,
    chunk,
    on_white,
    png,
    tiff,
    write,
)

from nstk.errors import ImageError
from nstk.images.decoding import decode, identify
from nstk.images.loading import load_image

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
    alpha = np.ones((48, 32)) if extension == "jpg" else upright[..., 3] / 255
    difference = np.abs(loaded.pixels - on_white(upright[..., :3] / 255, alpha)) * 255
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
        write(folder / "new.jpg", b"\xff\x0a" + bytes(50)): "JPEG XL",
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
        for refuse in (load_image, decode):
            with pytest.raises(ImageError, match=reason) as caught:
                refuse(path)
            assert str(caught.value).startswith(f"{path}: ")
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif", "bmp", "gif", "avif", "jp2"])
def test_the_first_half_of_an_image_is_refused(tmp_path, noise, extension):
    path = tmp_path / f"half.{extension}"
    Image.fromarray(noise.repeat(9, axis=0).repeat(9, axis=1)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="damaged"):
        decode(path)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif", "bmp", "gif", "avif", "jp2"])
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


UNIT = np.random.default_rng(0).random((6, 8, 4))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tiff(UNIT[..., :3].astype(np.float32)), "3 channels of 32-bit floats"),
        (tiff(UNIT[..., :1]), "one channel of 64-bit floats"),
        (tiff((UNIT * 255).astype(np.uint8), t338=0), "4 channels of 8-bit integers"),
        (tiff((UNIT * 65535).astype(np.uint16), ">"), "4 channels of 16-bit integers"),
        (tiff((UNIT[..., :2] * 65535).astype(np.uint16)), "2 channels of 16-bit integers"),
        (tiff((UNIT[..., :1] * 2**32).astype(np.uint32)), "one channel of 32-bit integers"),
        (tiff(UNIT[..., :1], compression=34887), "compression 34887"),
    ],
)
def test_a_whole_tiff_that_cannot_be_read_is_named_and_not_called_damaged(tmp_path, content, kind):
    path = write(tmp_path / "a.tif", content)
    with pytest.raises(ImageError, match=f"a TIFF with .*{kind}.*save it as"):
        load_image(path)
    write(path, content[: len(content) // 2])
    with pytest.raises(ImageError, match="damaged"):
        load_image(path)


PREVIEW = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.dng", tiff(PREVIEW, t254=1, t330=8, t50706=0x401)),
        ("a.tif", tiff(PREVIEW, t254=1, t330=8)),
        ("a.tif", tiff(PREVIEW, t50706=0x401)),
        ("a.tif", tiff(PREVIEW[..., :1], photometric=32803)),
        ("a.NEF", tiff(PREVIEW, ">")),
        ("a.raf", b"FUJIFILMCCD-RAW 0201" + bytes(50)),
        ("a.orf", b"IIRO\x08\0\0\0" + bytes(50)),
        ("a.rw2", b"IIU\0\x18\0\0\0" + bytes(50)),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50)),
    ],
)
def test_a_raw_photograph_is_refused_by_name(tmp_path, name, content):
    path = write(tmp_path / name, content)
    for refuse in (load_image, identify):
        with pytest.raises(ImageError, match=r"a raw photograph .*develop it"):
            refuse(path)


def test_a_tiff_of_several_resolutions_is_not_a_raw_photograph(tmp_path):
    path = write(tmp_path / "pyramid.tif", tiff(PREVIEW + 9, t254=0, t330=8))
    assert load_image(path).pixels.shape == (4, 6, 3)


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
        ("avif", "AVIF"),
        ("jp2", "JPEG2000"),
        ("j2k", "JPEG2000"),
    ],
)
def test_the_content_determines_the_format_not_the_extension(tmp_path, noise, extension, name):
    Image.fromarray(noise).save(tmp_path / f"a.{extension}")
    liar = (tmp_path / f"a.{extension}").rename(tmp_path / "liar.txt")
    assert decode(liar).format == name
    assert load_image(liar).pixels.shape == noise.shape


def test_a_camera_photo_with_previews_is_a_jpeg(tmp_path):
    first, second = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    first.save(tmp_path / "photo.mpo", save_all=True, append_images=[second])
    assert decode(tmp_path / "photo.mpo").format == "JPEG"
    assert load_image(tmp_path / "photo.mpo").notices == ()


def test_an_image_too_large_for_the_memory_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("RGB", (4, 3)).save(path)

    def refuse(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ImageError, match="memory"):
        load_image(path)
