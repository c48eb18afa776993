"""Every control of a painting, on a tiny network."""

import numpy as np
import pytest

from nstk.errors import BackboneError, DivergenceError, MaskError, SettingsError
from nstk.images.image import save_image
from nstk.settings import StylizeSettings
from nstk.stylization.inputs import read_inputs
from nstk.stylization.job import stylize
from nstk.stylization.styles import StyleImage


def paint(backbone, content, styles, *, content_masks=(), style_masks=(), keep=None, **chosen):
    chosen = StylizeSettings(**{"size": 64, "steps": 8, "scales": 1, **chosen})
    return stylize(
        content,
        styles,
        backbone=backbone,
        settings=chosen,
        content_masks=content_masks,
        style_masks=style_masks,
        keep_mask=keep,
    )


@pytest.fixture(scope="module")
def left(scene):
    mask = np.zeros(scene.shape[:2], np.float32)
    mask[:, :32] = 1.0
    return mask


@pytest.fixture(scope="module")
def plain(tiny_backbone, scene, strokes):
    return paint(tiny_backbone, scene, strokes).image


def test_masks_of_ones_are_no_masks(tiny_backbone, scene, strokes, plain):
    masked = paint(
        tiny_backbone,
        scene,
        strokes,
        content_masks=[np.ones(scene.shape[:2], np.float32)],
        style_masks=[np.ones(strokes.shape[:2], np.float32)],
    )
    np.testing.assert_allclose(masked.image, plain, atol=2e-3)


def test_two_halves_in_one_style_are_no_masks(tiny_backbone, scene, strokes, plain, left):
    halves = paint(tiny_backbone, scene, [strokes, strokes.copy()], content_masks=[left, 1 - left])
    np.testing.assert_allclose(halves.image, plain, atol=2e-3)


def test_each_half_takes_its_own_style(tiny_backbone, scene, left):
    red, blue = np.zeros((2, 48, 48, 3), np.float32)
    noise = np.random.default_rng(0).random((48, 48)).astype(np.float32)
    red[..., 0], blue[..., 2] = 0.5 + noise / 2, 0.5 + noise / 2
    masks = [left, 1 - left]
    there, back = (
        paint(tiny_backbone, scene, styles, content_masks=masks, steps=40, strength=1.0).image
        for styles in ([red, blue], [blue, red])
    )
    warmer = (there[..., 0] - there[..., 2]) - (back[..., 0] - back[..., 2])
    assert warmer[:, :24].mean() > 0.2
    assert warmer[:, 40:].mean() < -0.2


def first_image(backbone, content, styles, **chosen):
    """Where a descent starts that goes nowhere."""
    still = {"steps": 1, "learning_rate": 1e-6, "init": "style", **chosen}
    return paint(backbone, content, styles, **still).image


def color_halves(shape, left, right):
    image = np.empty((*shape, 3), np.float32)
    image[:, : shape[1] // 2], image[:, shape[1] // 2 :] = left, right
    return image


RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)


def test_a_start_in_the_colors_of_a_style_sees_the_part_that_counts(tiny_backbone, scene):
    style = color_halves((48, 64), RED, BLUE)
    mask = np.zeros((48, 64), np.float32)
    mask[:, :32] = 1.0
    start = first_image(tiny_backbone, scene, style, style_masks=[mask])
    np.testing.assert_allclose(start.mean(axis=(0, 1)), RED, atol=0.03)


def test_a_start_in_the_colors_of_styles_weighs_them_by_their_blend(tiny_backbone, scene):
    large, small = color_halves((96, 96), RED, RED), color_halves((40, 40), BLUE, BLUE)
    for blend, color in (((0.0, 1.0), BLUE), ((1.0, 0.0), RED), ((1.0, 1.0), (0.5, 0.1, 0.5))):
        start = first_image(tiny_backbone, scene, [large, small], style_blend=blend)
        np.testing.assert_allclose(start.mean(axis=(0, 1)), color, atol=0.04)


def test_a_start_in_the_colors_of_styles_has_each_where_its_mask_is(tiny_backbone, scene, left):
    styles = [color_halves((64, 64), color, color) for color in (RED, BLUE)]
    start = first_image(tiny_backbone, scene, styles, content_masks=[left, 1 - left])
    np.testing.assert_allclose(start[:, :28].mean(axis=(0, 1)), RED, atol=0.03)
    np.testing.assert_allclose(start[:, 36:].mean(axis=(0, 1)), BLUE, atol=0.03)


def test_a_part_of_a_style_image_can_be_the_style(tiny_backbone, scene, strokes):
    halves = np.concatenate([strokes, 1 - strokes[::-1]], axis=1)
    mask = np.zeros(halves.shape[:2], np.float32)
    mask[:, : strokes.shape[1]] = 1.0
    whole = paint(tiny_backbone, scene, halves, steps=30, size=112)
    part = paint(tiny_backbone, scene, halves, style_masks=[mask], steps=30, size=112)
    alone = paint(tiny_backbone, scene, strokes, steps=30, size=112)
    near = np.abs(part.image.mean((0, 1)) - alone.image.mean((0, 1))).sum()
    far = np.abs(part.image.mean((0, 1)) - whole.image.mean((0, 1))).sum()
    assert near < far


def test_what_is_to_stay_stays_to_the_last_bit(tiny_backbone, scene, strokes, left):
    image = paint(tiny_backbone, scene, strokes, keep=left, scales=2).image
    np.testing.assert_array_equal(image[:, :31], scene[:, :31])
    assert np.abs(image[:, 33:] - scene[:, 33:]).max() > 0.05


@pytest.mark.parametrize("masks", [1, 3])
def test_there_is_one_mask_for_every_style_or_none(tiny_backbone, scene, strokes, left, masks):
    with pytest.raises(MaskError, match="2 style"):
        paint(tiny_backbone, scene, [strokes, scene], content_masks=[left] * masks)


def test_a_mask_of_another_shape_is_refused(tiny_backbone, scene, strokes):
    with pytest.raises(MaskError, match="--content-mask 1"):
        paint(tiny_backbone, scene, strokes, content_masks=[np.ones((48, 20), np.float32)])


def test_a_mask_too_small_for_the_deepest_layer_is_refused_before_any_step(
    tiny_backbone, scene, strokes
):
    dot = np.zeros(scene.shape[:2], np.float32)
    dot[20, 30] = 1.0
    with pytest.raises(MaskError, match="block"):
        paint(tiny_backbone, scene, strokes, content_masks=[dot])


def test_a_blend_of_another_length_is_refused(tiny_backbone, scene, strokes):
    with pytest.raises(SettingsError, match=r"3 weight\(s\) for 1 style"):
        paint(tiny_backbone, scene, strokes, style_blend=(1.0, 2.0, 3.0))


def test_a_blend_and_masks_exclude_each_other(tiny_backbone, scene, strokes, left):
    with pytest.raises(SettingsError, match="leave one of them out"):
        paint(
            tiny_backbone,
            scene,
            [strokes, scene],
            content_masks=[left, 1 - left],
            style_blend=(0.7, 0.3),
        )


def test_a_blend_of_one_and_nothing_is_the_one(tiny_backbone, scene, strokes, plain):
    blended = paint(tiny_backbone, scene, [strokes, scene], style_blend=(2.0, 0.0)).image
    np.testing.assert_allclose(blended, plain, atol=2e-3)


def test_layers_are_chosen_by_name_and_weight(tiny_backbone, scene, strokes):
    made = paint(
        tiny_backbone,
        scene,
        strokes,
        style_layers={"block1_conv1": 3.0, "block2_conv1": 1.0},
        content_layers={"block2_conv1": 1.0},
    )
    assert set(made.terms) == {"content", "style", "tv", "block1_conv1", "block2_conv1"}
    shares = 0.75 * made.terms["block1_conv1"] + 0.25 * made.terms["block2_conv1"]
    assert made.terms["style"] == pytest.approx(shares, rel=1e-4)


def test_an_unknown_layer_is_refused_with_those_there_are(tiny_backbone, scene, strokes):
    with pytest.raises(BackboneError, match=r"no layer 'relu9'.*block1_conv1"):
        paint(tiny_backbone, scene, strokes, style_layers={"relu9": 1.0})


@pytest.mark.parametrize("optimizer", ["gradient-descent", "adam", "lbfgs", "newton"])
def test_every_optimizer_paints(tiny_backbone, scene, strokes, optimizer):
    losses = []
    settings = StylizeSettings(size=64, steps=20, scales=2, optimizer=optimizer)
    stylize(
        scene,
        strokes,
        backbone=tiny_backbone,
        settings=settings,
        on_progress=lambda progress: losses.append(progress.loss),
    )
    seen = [loss for loss in losses if loss is not None]
    assert seen[-1] < 0.8 * seen[0]


@pytest.mark.parametrize("loss", ["gram", "moments", "wasserstein"])
def test_every_style_loss_paints(tiny_backbone, scene, strokes, loss):
    made = paint(tiny_backbone, scene, strokes, style_loss=loss, content_weight=0.01)
    assert np.isfinite(made.loss)
    assert np.abs(made.image - scene).max() > 0.05


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_every_pooling_paints(tiny_backbone, scene, strokes, pooling):
    assert np.isfinite(paint(tiny_backbone, scene, strokes, pooling=pooling).loss)


@pytest.mark.parametrize("color", ["luminance", "match-luminance", "lab"])
def test_the_contents_colors_can_be_kept(tiny_backbone, scene, strokes, plain, color):
    def chroma(image):
        return image - image.mean(axis=-1, keepdims=True)

    def distance(image):
        return np.abs(chroma(image) - chroma(scene)).mean()

    kept = paint(tiny_backbone, scene, strokes, color=color).image
    assert distance(kept) < 0.5 * distance(plain)


def test_strokes_are_scaled_without_stretching(tiny_backbone, scene, strokes, plain):
    finer = paint(tiny_backbone, scene, strokes, style_scale=0.5).image
    assert np.abs(finer - plain).max() > 0.02


def test_a_descent_that_has_settled_leaves_its_scale_early(tiny_backbone, scene, strokes):
    made = paint(tiny_backbone, scene, strokes, steps=400, tolerance=0.05)
    assert 20 < made.steps < 400


def test_the_strength_searched_for_keeps_the_similarity(tiny_backbone, scene, strokes):
    weak = paint(tiny_backbone, scene, strokes, strength="auto=0.95")
    strong = paint(tiny_backbone, scene, strokes, strength="auto=0.5")
    assert 0 <= weak.strength < strong.strength <= 1


def test_divergence_keeps_the_last_good_image(tiny_backbone, scene, strokes, monkeypatch):
    monkeypatch.setattr(
        "nstk.stylization.objective.sum_variation",
        lambda image: tf_nan_when_painted(image, scene),
    )
    with pytest.raises(DivergenceError, match="in variation") as caught:
        paint(tiny_backbone, scene, strokes)
    assert np.isfinite(caught.value.made.image).all()
    assert caught.value.made.steps > 0


def tf_nan_when_painted(image, scene):
    import tensorflow as tf

    moved = tf.reduce_max(tf.abs(image - scene)) > 0.06
    return tf.where(moved, float("nan"), 0.0) * tf.ones(4)


def test_a_mask_belongs_to_a_style_already_at_hand_too(scene, strokes):
    mask = np.zeros(strokes.shape[:2], np.float32)
    mask[:20] = 1.0
    style = StyleImage("strokes", strokes)
    [masked] = read_inputs(scene, style, StylizeSettings(), style_masks=[mask]).styles
    np.testing.assert_array_equal(masked.mask, mask)


@pytest.mark.parametrize("color", ["match", "histogram", "match-luminance"])
def test_the_part_of_a_style_that_counts_gets_the_colors_of_the_content(scene, strokes, color):
    """A white margin that a mask leaves out has no say in the colors."""
    framed, mask = np.ones((80, 80, 3), np.float32), np.zeros((80, 80), np.float32)
    framed[20:60, 12:68], mask[20:60, 12:68] = strokes, 1.0
    chosen = StylizeSettings(color=color)
    [alone] = read_inputs(scene, strokes, chosen).styles
    [part] = read_inputs(scene, framed, chosen, style_masks=[mask]).styles
    np.testing.assert_allclose(part.pixels[20:60, 12:68], alone.pixels, atol=1e-6)


def test_a_mask_alone_is_one_mask(scene, strokes, left, tmp_path):
    path = tmp_path / "left.png"
    save_image(path, np.repeat(left[..., np.newaxis], 3, axis=-1))
    for given in (left, str(path), path, [left], left[np.newaxis]):
        [mask] = read_inputs(scene, strokes, StylizeSettings(), content_masks=given).masks
        np.testing.assert_array_equal(mask, left)
