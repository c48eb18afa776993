"""What lies under transparent pixels of a content or a style is never seen."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nstk
from nstk.errors import ImageError, MaskError
from nstk.images.image import to_image
from nstk.images.loading import LoadedImage, load_image
from nstk.settings import StylizeSettings
from nstk.stylization.inputs import read_inputs, read_style_images

SETTINGS = StylizeSettings(size=64, steps=2, scales=1)


def cut_out(strokes, under) -> np.ndarray:
    """A style whose middle is visible, with something else under the rest."""
    levels = np.rint(strokes * 255).astype(np.uint8)
    height, width = levels.shape[:2]
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y / height - 0.5, x / width - 0.5)
    alpha = np.uint8(255 * np.clip(10 * (0.45 - radius), 0, 1))
    levels[alpha == 0] = under
    return np.dstack([levels, alpha])


def test_styles_that_look_the_same_are_the_same_style(tiny_backbone, scene, strokes, tmp_path):
    black, green = cut_out(strokes, (0, 0, 0)), cut_out(strokes, (0, 255, 0))
    Image.fromarray(black).save(tmp_path / "black.png")
    sources = [tmp_path / "black.png", black, green, load_image(tmp_path / "black.png")]
    found = [read_inputs(scene, each, nstk.Masks(), SETTINGS).styles[0] for each in sources]
    assert len({style.digest for style in found}) == 1
    np.testing.assert_array_equal(found[0].mask, black[..., 3] / np.float32(255))


def test_a_style_is_what_is_opaque_in_it(tiny_backbone, scene, strokes):
    """Its statistics are those of the same image with its alpha as a mask, on any ground."""
    given = cut_out(strokes, (0, 255, 0))
    masked = nstk.Masks(style_masks=(given[..., 3] / np.float32(255),))
    opaque = LoadedImage(to_image(given, "opaque"), None, (), Path("opaque"))
    layers = ("block2_conv1",)
    [alone] = read_inputs(scene, given, nstk.Masks(), SETTINGS).styles
    [expected] = read_inputs(scene, opaque, masked, SETTINGS).styles
    [saved], _ = read_style_images(given, SETTINGS)
    target = expected.compute_statistics(tiny_backbone, layers, 64)["block2_conv1"]
    for style in (alone, saved):
        sums = style.compute_statistics(tiny_backbone, layers, 64)["block2_conv1"]
        np.testing.assert_allclose(sums.gram, target.gram, rtol=1e-6)
        assert float(sums.count) == pytest.approx(float(target.count))
        assert float(sums.count) < 0.7 * given.shape[0] * given.shape[1]


def test_a_mask_counts_only_where_the_style_is_opaque(scene, strokes):
    given = cut_out(strokes, (0, 255, 0))
    everything = nstk.Masks(style_masks=(np.ones(given.shape[:2], np.float32),))
    [style] = read_inputs(scene, given, everything, SETTINGS).styles
    np.testing.assert_array_equal(style.mask, given[..., 3] / np.float32(255))
    corner = np.zeros(given.shape[:2], np.float32)
    corner[0, 0] = 1
    with pytest.raises(MaskError, match="transparent"):
        read_inputs(scene, given, nstk.Masks(style_masks=(corner,)), SETTINGS)
    given[..., 3] = 0
    with pytest.raises(ImageError, match="every pixel is transparent"):
        read_inputs(scene, given, nstk.Masks(), SETTINGS)


def test_opaque_alpha_changes_nothing(scene, strokes):
    levels = np.rint(strokes * 255).astype(np.uint8)
    opaque = np.dstack([levels, np.full(levels.shape[:2], 255, np.uint8)])
    one, other = (read_inputs(scene, each, nstk.Masks(), SETTINGS) for each in (levels, opaque))
    assert one.styles[0].digest == other.styles[0].digest


def test_a_transparent_content_gives_a_transparent_result(tiny_backbone, scene, strokes, tmp_path):
    contents = [cut_out(scene, under) for under in ((0, 0, 0), (255, 0, 255))]
    first, second = (
        nstk.stylize(each, strokes, settings=SETTINGS, backbone=tiny_backbone) for each in contents
    )
    np.testing.assert_array_equal(first.image, second.image)
    saved = load_image(first.save(tmp_path / "out.png"))
    np.testing.assert_allclose(saved.alpha, first.alpha, atol=0.6 / 255)
    representable = first.image >= 1 - saved.alpha[..., np.newaxis]
    difference = np.abs(saved.pixels - first.image)
    assert difference[representable].max() < 1.1 / 255
