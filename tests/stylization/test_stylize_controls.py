"""Every control of style transfer, on a tiny network."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from unit_images import unit_image

from nstk.errors import BackboneError, DivergenceError, MaskError, SettingsError
from nstk.images.encoding import save_image
from nstk.settings import StylizeSettings
from nstk.stylization.inputs import read_inputs
from nstk.stylization.job import stylize
from nstk.stylization.regions import NO_MASKS, Masks
from nstk.stylization.statistics import to_moments
from nstk.stylization.styles import StyleImage
from nstk.stylization.task import read_task


def run(backbone, content, styles, masks=NO_MASKS, **options):
    options = {"size": 64, "steps": 6, "scales": 1, **options}
    return stylize(content, styles, backbone=backbone, masks=masks, **options)


def assert_similar(image, expected):
    """Equal up to rounding, which single pixels may amplify."""
    assert np.abs(image - expected).mean() < 1e-3


@pytest.fixture(scope="module")
def left(scene):
    mask = np.zeros(scene.shape[:2], np.float32)
    mask[:, :32] = 1.0
    return mask


@pytest.fixture(scope="module")
def plain(tiny_backbone, scene, strokes):
    return run(tiny_backbone, scene, strokes).image


def test_masks_of_ones_have_no_effect(tiny_backbone, scene, strokes, plain):
    ones = [np.ones(image.shape[:2], np.float32) for image in (scene, strokes)]
    masks = Masks(content_masks=ones[:1], style_masks=ones[1:])
    assert_similar(run(tiny_backbone, scene, strokes, masks).image, plain)


def test_two_halves_in_one_style_have_no_effect(tiny_backbone, scene, strokes, plain, left):
    masks = Masks(content_masks=[left, 1 - left])
    halves = run(tiny_backbone, scene, [strokes, strokes.copy()], masks)
    assert_similar(halves.image, plain)


def test_each_half_gets_its_own_style(tiny_backbone, scene, left):
    red, blue = np.zeros((2, 48, 48, 3), np.float32)
    rows, columns = np.mgrid[0:48, 0:48].astype(np.float32)
    red[..., 0] = blue[..., 2] = 0.75 + 0.25 * np.sin((rows + 0.7 * columns) / 3)
    styles = [unit_image(red), unit_image(blue)]
    masks = Masks(content_masks=[left, 1 - left])
    image = run(tiny_backbone, scene, styles, masks, steps=60, strength=1.0).image
    warmth = (image[..., 0] - image[..., 2]) - (scene[..., 0] - scene[..., 2])
    assert warmth[:, :24].mean() > warmth[:, 40:].mean() + 0.2


def start(backbone, content, styles, masks=NO_MASKS, **options):
    """The initial image in the colors of the styles."""
    settings = StylizeSettings(size=64, scales=1, init="style", **options)
    return read_task(content, styles, masks, backbone, settings).start().image()


def color_halves(shape, left, right):
    image = np.random.default_rng(1).normal(0, 0.02, (*shape, 3)).astype(np.float32)
    image[:, : shape[1] // 2] += left
    image[:, shape[1] // 2 :] += right
    return unit_image(np.clip(image, 0, 1))


RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)


def test_an_initial_image_in_the_colors_of_a_style_uses_the_part_that_counts(tiny_backbone, scene):
    style = color_halves((48, 64), RED, BLUE)
    mask = np.zeros((48, 64), np.float32)
    mask[:, :32] = 1.0
    image = start(tiny_backbone, scene, style, Masks(style_masks=[mask]))
    np.testing.assert_allclose(image.mean(axis=(0, 1)), RED, atol=0.03)


def test_an_initial_image_in_the_colors_of_styles_weights_them_by_the_blend(tiny_backbone, scene):
    large, small = color_halves((96, 96), RED, RED), color_halves((40, 40), BLUE, BLUE)
    for blend, color in (((0.0, 1.0), BLUE), ((1.0, 0.0), RED), ((1.0, 1.0), (0.5, 0.1, 0.5))):
        image = start(tiny_backbone, scene, [large, small], style_blend=blend)
        np.testing.assert_allclose(image.mean(axis=(0, 1)), color, atol=0.04)


def test_an_initial_image_in_the_colors_of_styles_has_each_inside_its_mask(
    tiny_backbone, scene, left
):
    styles = [color_halves((64, 64), color, color) for color in (RED, BLUE)]
    image = start(tiny_backbone, scene, styles, Masks(content_masks=[left, 1 - left]))
    np.testing.assert_allclose(image[:, :28].mean(axis=(0, 1)), RED, atol=0.03)
    np.testing.assert_allclose(image[:, 36:].mean(axis=(0, 1)), BLUE, atol=0.03)


def test_the_statistics_of_a_masked_style_are_those_of_its_part(tiny_backbone, strokes):
    layers = ("block1_conv1", "block2_conv1")
    halves = np.concatenate([strokes, np.ones_like(strokes)], axis=1)
    mask = np.zeros(halves.shape[:2], np.float32)
    mask[:, : strokes.shape[1]] = 1.0
    alone, part, whole = (
        to_moments(style.compute_statistics(tiny_backbone, layers, 112)["block2_conv1"]).mean
        for style in (
            StyleImage("alone", strokes),
            StyleImage("part", halves, mask),
            StyleImage("whole", halves),
        )
    )
    assert np.linalg.norm(part - alone) < 0.5 * np.linalg.norm(whole - alone)


def test_kept_pixels_are_bit_identical(tiny_backbone, scene, strokes, left):
    image = run(tiny_backbone, scene, strokes, Masks(keep_mask=left), scales=2).image
    np.testing.assert_array_equal(image[:, :31], scene[:, :31])
    assert np.abs(image[:, 33:] - scene[:, 33:]).max() > 0.05


@pytest.mark.parametrize("count", [1, 3])
def test_there_must_be_one_mask_for_each_style_or_none(scene, strokes, left, count):
    for name in ("content_masks", "style_masks"):
        with pytest.raises(MaskError, match=f"{name}.* {count} .* 2 "):
            read_inputs(scene, [strokes, scene], Masks(**{name: [left] * count}), StylizeSettings())


def test_a_mask_of_another_shape_is_refused(scene, strokes):
    masks = Masks(content_masks=[np.ones((48, 20), np.float32)])
    with pytest.raises(MaskError, match="content_masks` 1"):
        read_inputs(scene, strokes, masks, StylizeSettings())


def test_a_mask_that_is_empty_in_a_layer_is_refused(tiny_backbone, scene, strokes):
    dot = np.zeros(scene.shape[:2], np.float32)
    dot[20, 30] = 1.0
    settings = StylizeSettings(size=64)
    with pytest.raises(MaskError, match="content_masks` 1"):
        read_task(scene, strokes, Masks(content_masks=[dot]), tiny_backbone, settings)


def test_a_blend_must_have_one_weight_for_each_style(scene, strokes):
    with pytest.raises(SettingsError, match=r"style_blend.* 3 .* 1 "):
        read_inputs(scene, strokes, NO_MASKS, StylizeSettings(style_blend=(1.0, 2.0, 3.0)))


def test_masks_and_a_blend_exclude_each_other(scene, strokes, left):
    masks = Masks(content_masks=[left, 1 - left])
    with pytest.raises(SettingsError, match=r"style_blend.*content_masks"):
        read_inputs(scene, [strokes, scene], masks, StylizeSettings(style_blend=(0.7, 0.3)))


def test_a_style_with_weight_0_has_no_effect(tiny_backbone, scene, strokes, plain):
    blended = run(tiny_backbone, scene, [strokes, scene], style_blend=(2.0, 0.0)).image
    assert_similar(blended, plain)


def test_layers_have_names_and_weights(tiny_backbone, scene, strokes):
    made = run(
        tiny_backbone,
        scene,
        strokes,
        steps=1,
        style_layers={"block1_conv1": 3.0, "block2_conv1": 1.0},
        content_layers={"block2_conv1": 1.0},
    )
    assert set(made.terms) == {"content", "style", "tv", "block1_conv1", "block2_conv1"}
    shares = 0.75 * made.terms["block1_conv1"] + 0.25 * made.terms["block2_conv1"]
    assert made.terms["style"] == pytest.approx(shares, rel=1e-4)


def test_an_unknown_layer_is_refused_with_the_known_ones(tiny_backbone, scene, strokes):
    with pytest.raises(BackboneError, match=r"relu9.*block1_conv1"):
        run(tiny_backbone, scene, strokes, style_layers={"relu9": 1.0})


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        ("gradient-descent", 12),
        ("adam", 12),
        ("lbfgs", 10),
        pytest.param("newton", 6, marks=pytest.mark.slow),
    ],
)
def test_every_optimizer_lowers_the_loss(tiny_backbone, scene, strokes, optimizer, steps):
    losses = []
    shallow = {"style_layers": {"block1_conv1": 1.0}, "content_layers": {"block2_conv1": 1.0}}
    run(
        tiny_backbone,
        scene,
        strokes,
        **(shallow if optimizer == "newton" else {}),  # whose Hessian takes long to compile
        size=40,
        steps=steps,
        optimizer=optimizer,
        on_progress=lambda progress: losses.append(progress.loss),
    )
    known = [loss for loss in losses if loss is not None]
    assert known[-1] < 0.95 * known[0]


@pytest.mark.parametrize("loss", ["gram", "wasserstein"])
def test_every_style_loss_changes_the_image(tiny_backbone, scene, strokes, loss):
    made = run(tiny_backbone, scene, strokes, style_loss=loss, content_weight=0.01)
    assert np.isfinite(made.loss)
    assert np.abs(made.image - scene).max() > 0.05


@pytest.mark.parametrize("pooling", ["average", "l2"])
def test_every_pooling_has_a_finite_loss(tiny_backbone, scene, strokes, pooling):
    assert np.isfinite(run(tiny_backbone, scene, strokes, steps=1, pooling=pooling).loss)


@pytest.mark.parametrize("color", ["luminance", "lab"])
def test_the_content_can_keep_its_colors(tiny_backbone, scene, strokes, plain, color):
    def distance(image):
        chroma, wanted = (each - each.mean(axis=-1, keepdims=True) for each in (image, scene))
        return np.abs(chroma - wanted).mean()

    kept = run(tiny_backbone, scene, strokes, color=color).image
    assert distance(kept) < 0.5 * distance(plain)


def test_strokes_are_scaled_without_stretching(strokes):
    style = StyleImage("strokes", strokes, scale=0.5)
    assert style.resized(56).shape == (20, 28, 3)
    assert style.resized(1000).shape == strokes.shape  # never enlarged


def test_scales_at_which_a_style_is_too_narrow_for_the_network_are_left_out(tiny_backbone, scene):
    scroll = np.random.default_rng(0).random((12, 160, 3), np.float32)
    settings = StylizeSettings(size=64, scales=4)
    task = read_task(scene, unit_image(scroll), NO_MASKS, tiny_backbone, settings)
    assert [scale.longer_side for scale in task.scales] == [64]
    task = read_task(scene, scene, NO_MASKS, tiny_backbone, settings)
    assert [scale.longer_side for scale in task.scales] == [23, 32, 45, 64]


def test_a_converged_scale_stops_early(tiny_backbone, scene, strokes):
    made = run(tiny_backbone, scene, strokes, steps=400, tolerance=0.05)
    assert 20 < made.steps < 400


def test_a_lower_target_similarity_gives_a_larger_strength(
    tiny_backbone, scene, strokes, monkeypatch
):
    monkeypatch.setattr("nstk.stylization.job.TRIAL_STEPS", 20)
    weak = run(tiny_backbone, scene, strokes, strength="auto=0.95")
    strong = run(tiny_backbone, scene, strokes, strength="auto=0.5")
    assert 0 <= weak.strength < strong.strength <= 1


def test_divergence_returns_the_last_good_image(tiny_backbone, scene, strokes, monkeypatch):
    def tv_sums(image):
        luma = (image - scene) @ tf.constant([[0.299], [0.587], [0.114]])  # chroma is smoothed
        moved = tf.reduce_max(tf.abs(luma)) > 0.06
        return tf.where(moved, float("nan"), 0.0) * tf.ones(4)

    monkeypatch.setattr("nstk.stylization.objective.tv_sums", tv_sums)
    with pytest.raises(DivergenceError, match="in tv") as caught:
        run(replace(tiny_backbone), scene, strokes)
    assert np.isfinite(caught.value.made.image).all()
    assert caught.value.made.steps > 0


def test_a_loaded_style_can_have_a_mask(scene, strokes):
    mask = np.zeros(strokes.shape[:2], np.float32)
    mask[:20] = 1.0
    style = StyleImage("strokes", strokes)
    [masked] = read_inputs(scene, style, Masks(style_masks=[mask]), StylizeSettings()).styles
    np.testing.assert_array_equal(masked.mask, mask)


@pytest.mark.parametrize("color", ["match", "histogram", "match-luminance"])
def test_colors_are_matched_to_the_part_of_a_style_that_counts(scene, strokes, color):
    """A white margin outside the mask does not affect the colors."""
    framed, mask = np.ones((80, 80, 3), np.float32), np.zeros((80, 80), np.float32)
    framed[20:60, 12:68], mask[20:60, 12:68] = strokes, 1.0
    chosen = StylizeSettings(color=color)
    [alone] = read_inputs(scene, strokes, NO_MASKS, chosen).styles
    [part] = read_inputs(scene, unit_image(framed), Masks(style_masks=[mask]), chosen).styles
    np.testing.assert_allclose(part.pixels[20:60, 12:68], alone.pixels, atol=1e-6)


def test_a_single_mask_is_a_list_of_one(scene, strokes, left, tmp_path):
    path = tmp_path / "left.png"
    save_image(path, np.repeat(left[..., np.newaxis], 3, axis=-1))
    for given in (left, str(path), path, [left], left[np.newaxis]):
        masks = Masks(content_masks=given)
        [mask] = read_inputs(scene, strokes, masks, StylizeSettings()).content_masks
        np.testing.assert_array_equal(mask, left)
