"""Images that look the same are the same image, whatever is stored under transparent pixels."""

import struct

import numpy as np
import pytest
from PIL import Image
from raw_images import GRAY_ALPHA, PALETTE, RGB, RGBA, on_white, png, write

from nstk.errors import ImageError
from nstk.images.encoding import save_image
from nstk.images.image import composite, to_image, to_levels, uncomposite
from nstk.images.loading import load_image, load_levels

RED = (255, 0, 0)


def draw(under=(0, 0, 0)) -> np.ndarray:
    """A black square with a half transparent edge; ``under`` lies where nothing is seen."""
    levels = np.zeros((8, 10, 4), np.uint8)
    levels[..., :3] = under
    levels[2:6, 3:7] = (0, 0, 0, 102)
    levels[3:5, 4:6] = (0, 0, 0, 255)
    return levels


LOOKS = on_white(np.zeros((8, 10, 3)), draw()[..., 3] / 255)
SHARP = np.where(LOOKS > 0.5, 1.0, 0.0)


def files(folder):
    """The same drawing in every format and mode that has transparency, and how it looks."""
    soft = draw()
    sharp = soft.copy()
    sharp[..., 3] = np.where(sharp[..., 3] > 127, 255, 0)
    sharp[..., :3] = np.where(sharp[..., 3:] > 0, 0, [0, 200, 0])
    indices = (sharp[..., 3:] > 0).astype(np.uint8)
    edge = np.where(soft[..., 3] == 102, 1, soft[..., 3] // 255 * 2).astype(np.uint8)[..., None]
    green = bytes([0, 200, 0, 0, 0, 0, 0, 0, 0])
    soft_rgba = Image.fromarray(soft)
    soft_rgba.save(folder / "rgba.tif")
    soft_rgba.save(folder / "rgba.webp", lossless=True, exact=True)
    soft_rgba.save(folder / "rgba.avif", quality=100)
    soft_rgba.save(folder / "rgba.jp2")
    soft_rgba.convert("LA").save(folder / "la.png")
    palette = Image.fromarray(indices[..., 0])
    palette.putpalette(green)
    palette.save(folder / "palette.gif", transparency=0)
    write(folder / "rgba.png", png(soft, RGBA))
    write(folder / "deep.png", png(soft.astype(np.uint16) * 257, RGBA))
    write(folder / "gray.png", png(soft[..., [0, 3]], GRAY_ALPHA))
    write(folder / "palette.png", png(indices, PALETTE, PLTE=green, tRNS=b"\0"))
    write(folder / "soft-palette.png", png(edge, PALETTE, PLTE=green, tRNS=bytes([0, 102, 255])))
    key = np.where(sharp[..., 3:] > 0, 0, [0, 200, 0]).astype(np.uint8)
    write(folder / "key.png", png(key, RGB, tRNS=b"\0\0\0\xc8\0\0"))
    return {path: SHARP if path.stem in ("palette", "key") else LOOKS for path in folder.iterdir()}


def test_transparent_pixels_are_white_in_every_format(tmp_path):
    found = files(tmp_path)
    assert len(found) == 12
    for path, looks in found.items():
        tolerance = 3 / 255 if path.suffix == ".avif" else 1e-6
        np.testing.assert_allclose(load_image(path).pixels, looks, atol=tolerance, err_msg=path)
        levels = np.rint(load_image(path).pixels * 255)
        np.testing.assert_array_equal(load_levels(path), levels, err_msg=path)


def test_what_lies_under_transparent_pixels_changes_nothing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 10, 3))
    for number, under in enumerate([(0, 0, 0), (0, 255, 0), noise]):
        write(tmp_path / f"{number}.png", png(draw(under), RGBA))
    first, *others = (load_levels(tmp_path / f"{number}.png") for number in range(3))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_another_ground_shows_where_the_image_is_transparent(tmp_path):
    path = write(tmp_path / "a.png", png(draw(), RGBA))
    loaded = load_image(path, background=RED)
    np.testing.assert_allclose(loaded.pixels[0, 0], [1, 0, 0])
    np.testing.assert_allclose(loaded.pixels[2, 3], [0.6, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(load_levels(path, background=RED)[2, 3], [153, 0, 0])


@pytest.mark.parametrize("value_range", [(0, 255), (0, 1), (-1, 1)])
def test_arrays_with_alpha_look_like_their_files(value_range):
    low, high = value_range
    levels = draw((0, 255, 0))
    floats = levels / 255 * (high - low) + low
    for array in (levels, floats):
        np.testing.assert_allclose(to_image(array, "a", value_range), LOOKS, atol=1e-6)
        np.testing.assert_array_equal(to_levels(array, "a", value_range), np.rint(LOOKS * 255))
    np.testing.assert_array_equal(to_levels(levels, "a", background=None), levels)
    assert (to_image(levels, "a", background=RED)[0, 0] == [1, 0, 0]).all()


def test_whole_levels_and_floats_are_laid_on_the_same_ground():
    levels = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 2), axis=-1)[..., [0, 0, 0, 1]]
    whole = composite(levels.astype(np.uint8), (10, 100, 200))
    floats = composite((levels / 255).astype(np.float32), (10, 100, 200))
    np.testing.assert_array_equal(whole, np.rint(floats * 255))


def test_a_saved_image_looks_the_same_when_it_is_loaded_and_saved_again(tmp_path):
    first = load_image(write(tmp_path / "a.png", png(draw((9, 99, 0)), RGBA)))
    again = load_image(save_image(tmp_path / "b.png", first.pixels, alpha=first.alpha))
    np.testing.assert_allclose(again.pixels, first.pixels, atol=1e-6)
    np.testing.assert_array_equal(again.alpha, first.alpha)
    np.testing.assert_allclose(uncomposite(first.pixels, first.alpha)[2:6, 3:7], 0, atol=1e-6)


def test_the_unused_fourth_byte_of_a_bmp_is_not_transparency(tmp_path):
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 56, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0) + masks
    for alpha, looks in ((0, [10, 20, 30]), (255, [10, 20, 30])):
        pixels = bytes([30, 20, 10, alpha] * 2)
        head = b"BM" + struct.pack("<IHHI", 14 + 56 + 8, 0, 0, 14 + 56)
        path = write(tmp_path / "a.bmp", head + header + pixels)
        with Image.open(path) as image:
            assert image.mode == "RGBA"
        assert load_levels(path).tolist() == [[looks, looks]]


def test_arrays_with_two_or_five_channels_are_refused():
    for channels in (2, 5):
        with pytest.raises(ImageError):
            to_levels(np.zeros((4, 4, channels), np.uint8), "a")
