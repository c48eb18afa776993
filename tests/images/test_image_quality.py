"""The quality figures: what they say of images whose quality is known."""

import math

import numpy as np
import pytest
import tensorflow as tf

from nstk.backbones.loading import load_backbone
from nstk.errors import ImageError
from nstk.images.image import fit_size, resize_image
from nstk.stylization.quality import content_similarity, measure_quality
from nstk.stylization.recipe import choose_style_layers

pytestmark = pytest.mark.usefixtures("small_compact")


def test_an_image_is_perfectly_similar_to_itself(scene):
    quality = measure_quality(scene, [scene], scene)
    assert quality.content_similarity == pytest.approx(1, abs=1e-6)
    assert quality.luma_ssim == pytest.approx(1, abs=1e-6)
    assert quality.style_error == pytest.approx(0, abs=1e-5)
    assert set(quality.style_errors) == set(choose_style_layers(load_backbone()))


def test_similarity_grows_with_the_share_of_the_content(scene):
    noise = np.random.default_rng(0).random(scene.shape, np.float32)
    mixed = [np.float32(share) * scene + np.float32(1 - share) * noise for share in (0, 0.4, 0.8)]
    similarities = [content_similarity(scene, image) for image in mixed]
    assert 0 < similarities[0] < similarities[1] < similarities[2] < 1


def test_metrics_follow_their_formulas(scene, strokes):
    """Written once more in NumPy, from the definitions alone."""
    result = (0.5 * scene + 0.5 * resize_image(strokes, 48, 64)).astype(np.float32)
    quality = measure_quality(scene, [strokes], result)
    network = load_backbone()
    style = resize_image(strokes, *fit_size(*strokes.shape[:2], 64))

    def maps(image):
        every = network.tap([*quality.style_errors, "block4_conv2"])(image[np.newaxis])
        return {name: found.numpy().reshape(-1, found.shape[-1]) for name, found in every.items()}

    of_content, of_style, of_result = map(maps, (scene, style, result))
    for name, error in quality.style_errors.items():
        g, target = (m[name].T @ m[name] / len(m[name]) for m in (of_result, of_style))
        assert error == pytest.approx(np.linalg.norm(g - target) / np.linalg.norm(target), rel=1e-3)
    a, b = of_content["block4_conv2"], of_result["block4_conv2"]
    cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    assert quality.content_similarity == pytest.approx(cosines.mean(), rel=1e-4)
    assert quality.style_error == pytest.approx(np.mean(list(quality.style_errors.values())))
    luma = [image @ np.float32([0.299, 0.587, 0.114]) for image in (scene, result)]
    ssim = tf.image.ssim(*(y[..., None] for y in luma), max_val=1.0)
    assert quality.luma_ssim == pytest.approx(float(ssim))


def test_the_fast_similarity_equals_the_full_one(scene, strokes):
    quality = measure_quality(scene, [], strokes)
    assert content_similarity(scene, strokes) == pytest.approx(quality.content_similarity, rel=1e-5)


def test_without_style_images_the_style_is_left_out(scene, strokes):
    quality = measure_quality(scene, [], strokes)
    assert quality.style_errors == {}
    assert math.isnan(quality.style_error)


def test_a_blend_of_styles_is_its_own_style(scene, strokes):
    alone = measure_quality(scene, [strokes], scene)
    blended = measure_quality(scene, [strokes, scene], scene, weights=[1.0, 0.0])
    twice = measure_quality(scene, [strokes, strokes], scene, weights=[0.3, 0.7])
    halves = measure_quality(scene, [strokes, scene], scene)
    assert blended.style_error == pytest.approx(alone.style_error, rel=1e-4)
    assert twice.style_error == pytest.approx(alone.style_error, rel=1e-4)
    assert halves.style_error < alone.style_error


def test_metrics_of_black_images_are_finite():
    black = np.zeros((32, 32, 3), np.float32)
    quality = measure_quality(black, [black], black)
    assert quality.content_similarity == pytest.approx(1)
    assert math.isfinite(quality.style_error)


def test_a_result_that_is_too_small_is_refused(scene):
    with pytest.raises(ImageError, match=r"15×40 pixels.*at least 16"):
        measure_quality(scene, [scene], scene[:40, :15])
    with pytest.raises(ImageError, match="at least 16"):
        content_similarity(scene, scene[:15])


def test_images_may_be_uint8(scene, strokes):
    levels = [np.rint(each * 255).astype(np.uint8) for each in (scene, strokes, scene[::-1])]
    content, style, result = (each / 255 for each in levels)
    expected = measure_quality(content, [style], result)
    assert measure_quality(levels[0], [levels[1]], levels[2]) == expected
    with pytest.raises(ImageError, match="the result: floats from"):
        measure_quality(content, [style], result * 255)
