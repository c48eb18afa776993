from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.images.image import resize_image
from nstk.optimizers import Adam
from nstk.optimizers.smooth_colors import smooth_chroma
from nstk.stylization.losses import (
    STYLE_LOSSES,
    content_loss,
    moments_loss,
    total_variation,
    wasserstein_squared,
)
from nstk.stylization.objective import LossWeights, ObjectiveWeights, StyleObjective
from nstk.stylization.regions import make_region
from nstk.stylization.statistics import feature_sums, to_moments
from nstk.stylization.styles import StyleImage

WEIGHTS = ObjectiveWeights(
    content=0.7,
    style=1.3,
    tv=2.0,
    content_layers={"block3_conv1": 1.0},
    style_layers={"block1_conv1": 0.5, "block2_conv1": 0.3, "block3_conv1": 0.2},
)


@pytest.fixture(scope="module")
def objective(tiny_backbone, scene, strokes):
    return StyleObjective.from_images(tiny_backbone, scene, [strokes], WEIGHTS)


def make_weights(**changes):
    return ObjectiveWeights(**{**vars(WEIGHTS), **changes})


def test_the_loss_is_the_weighted_sum_of_its_terms(objective, strokes, scene):
    image = tf.constant(resize_image(strokes, *scene.shape[:2]))
    loss, terms = objective.compute_loss(image)
    layers = sum(weight * terms[name] for name, weight in WEIGHTS.style_layers.items())
    np.testing.assert_allclose(terms["style"], layers, rtol=1e-5)
    total = 0.7 * terms["content"] + 1.3 * terms["style"] + 2.0 * terms["tv"]
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_other_weights_need_no_other_targets_and_no_other_compiled_step(objective, strokes, scene):
    start = tf.constant(resize_image(strokes, *scene.shape[:2]))
    optimizer, compiled_before = Adam(), len(objective.backbone.compiled)
    for loss_weights in (LossWeights(0.1, 2.0, 0.5), LossWeights(4.0, 0.25, 0.0)):
        step = objective.compile(optimizer)
        tensors = LossWeights(*map(tf.constant, loss_weights))
        _, _, compiled = step(start, optimizer.init(start), tensors)
        eager = replace(objective, weights=make_weights(**loss_weights._asdict())).evaluate(start)
        np.testing.assert_allclose(compiled.loss, eager.loss, rtol=1e-5)
        error = tf.norm(compiled.gradient - eager.gradient) / tf.norm(eager.gradient)
        assert float(error) < 1e-3
    assert len(objective.backbone.compiled) <= compiled_before + 1


def test_the_content_image_has_no_content_loss(objective, scene):
    _, terms = objective.compute_loss(tf.constant(scene))
    assert float(terms["content"]) == 0.0
    assert float(terms["style"]) > 0.0


def test_the_content_loss_is_relative_to_a_black_feature_map(
    tiny_backbone, objective, strokes, scene
):
    image = resize_image(strokes, *scene.shape[:2])
    _, terms = objective.compute_loss(tf.constant(image))
    tap = tiny_backbone.tap(["block3_conv1"])
    found, wanted = (tap(each[np.newaxis])["block3_conv1"].numpy() for each in (image, scene))
    expected = np.sum((found - wanted) ** 2) / np.sum(wanted**2)
    assert float(terms["content"]) == pytest.approx(expected, rel=1e-4)


def test_styles_have_equal_weights_by_default(tiny_backbone, scene, strokes):
    image, turned = tf.constant(scene), strokes[::-1].copy()
    plain = StyleObjective.from_images(tiny_backbone, scene, [strokes, turned], WEIGHTS)
    equal = StyleObjective.from_images(tiny_backbone, scene, [strokes, turned], WEIGHTS, [1.0, 1.0])
    assert float(plain.compute_loss(image)[0]) == float(equal.compute_loss(image)[0])


def test_the_style_image_has_no_style_loss(tiny_backbone, scene, strokes):
    objective = StyleObjective.from_images(tiny_backbone, strokes, [strokes], WEIGHTS)
    _, terms = objective.compute_loss(smooth_chroma(tf.constant(strokes)))
    assert float(terms["style"]) < 1e-9


@pytest.mark.parametrize("loss", STYLE_LOSSES)
def test_every_style_loss_is_zero_at_the_style_and_grows_away_from_it(
    tiny_backbone, scene, strokes, loss
):
    objective = StyleObjective.from_images(
        tiny_backbone, strokes, [strokes], make_weights(style_loss=loss)
    )
    styles = [
        float(objective.compute_loss(smooth_chroma(strokes) + shift)[1]["style"])
        for shift in (0.0, 0.05, 0.2)
    ]
    assert styles[0] == pytest.approx(0.0, abs=2e-3)
    assert styles == sorted(styles)
    assert styles[2] > 2 * styles[1] > 0


def test_a_style_blended_with_itself_is_the_style(tiny_backbone, scene, strokes):
    one = StyleObjective.from_images(tiny_backbone, scene, [strokes], WEIGHTS)
    two = StyleObjective.from_images(tiny_backbone, scene, [strokes, strokes], WEIGHTS, [0.2, 0.6])
    np.testing.assert_allclose(
        one.compute_loss(tf.constant(scene))[0], two.compute_loss(tf.constant(scene))[0], rtol=1e-5
    )


@pytest.fixture(scope="module")
def precise_backbone(tiny_backbone):
    """The tiny network in float64: finite differences in float32 only measure its rounding."""

    def widen(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": "float64"})

    model = keras.models.clone_model(
        tiny_backbone.model, keras.Input((None, None, 3), dtype="float64"), widen
    )
    model.set_weights(tiny_backbone.model.get_weights())
    return Backbone(name="precise", model=model, input_size=32, source="seeded")


def make_half_objective(backbone, scene, strokes, weights):
    """The objective of an image with one style in its left half and another in its right half."""
    left = np.zeros(scene.shape[:2], np.float32)
    left[:, : scene.shape[1] // 2] = 1.0
    styles = [StyleImage("strokes", strokes), StyleImage("turned", strokes[::-1].copy())]
    layers = tuple(weights.style_layers)
    regions = [
        make_region(style.compute_statistics(backbone, layers, 64), mask, backbone=backbone)
        for style, mask in zip(styles, (left, 1 - left), strict=True)
    ]
    return StyleObjective.from_regions(backbone, scene, regions, weights)


@pytest.mark.parametrize(
    ("term", "loss", "masked"),
    [
        ("content", "moments", False),
        ("tv", "moments", False),
        *[("style", loss, masked) for loss in STYLE_LOSSES for masked in (False, True)],
    ],
)
def test_the_gradient_of_every_term_is_that_of_finite_differences(
    precise_backbone, scene, strokes, term, loss, masked
):
    only = {"content": 0.0, "style": 0.0, "tv": 0.0, "style_loss": loss, term: 1.0}
    objective = (
        make_half_objective(precise_backbone, scene, strokes, make_weights(**only))
        if masked
        else StyleObjective.from_images(precise_backbone, scene, [strokes], make_weights(**only))
    )
    generator = np.random.default_rng(0)
    image = generator.random(scene.shape)
    gradient = objective.evaluate(tf.constant(image)).gradient.numpy()
    for _ in range(3):
        direction = generator.normal(size=scene.shape)
        h = 1e-7
        ahead, _ = objective.compute_loss(tf.constant(image + h * direction))
        behind, _ = objective.compute_loss(tf.constant(image - h * direction))
        numeric = (float(ahead) - float(behind)) / (2 * h)
        assert numeric == pytest.approx(np.sum(gradient * direction), rel=1e-5)


def test_losses_do_not_depend_on_the_scale_of_the_features():
    features = np.random.default_rng(1).random((2, 1, 6, 5, 4)).astype(np.float32)
    for factor in (1e-3, 1.0, 1e3):
        a, b = map(tf.constant, features * np.float32(factor))
        style = moments_loss(to_moments(feature_sums(a)), to_moments(feature_sums(b)))
        content = content_loss(a, b)
        if factor == 1e-3:
            expected = style, content
        np.testing.assert_allclose((style, content), expected, rtol=1e-3)


def test_black_features_have_a_content_loss_of_1():
    target = np.random.default_rng(2).random((1, 4, 4, 3)).astype(np.float32)
    assert float(content_loss(tf.zeros_like(target), tf.constant(target))) == pytest.approx(1.0)


def test_total_variation_has_no_preferred_direction():
    image = np.random.default_rng(3).random((9, 7, 3)).astype(np.float32)
    turned = [np.rot90(image, k).copy() for k in range(4)] + [image[::-1].copy()]
    values = [float(total_variation(tf.constant(each))) for each in turned]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)
    assert float(total_variation(tf.fill([5, 6, 3], 0.3))) == 0.0


@pytest.mark.parametrize("loss", STYLE_LOSSES)
def test_a_channel_that_never_varies_has_a_finite_gradient(loss):
    features = tf.constant(np.ones((1, 4, 4, 3), np.float32))
    varied = np.random.default_rng(4).random((1, 4, 4, 3)).astype(np.float32)
    target = to_moments(feature_sums(tf.constant(varied)))
    with tf.GradientTape() as tape:
        tape.watch(features)
        value = STYLE_LOSSES[loss](to_moments(feature_sums(features)), target)
    assert np.isfinite(tape.gradient(value, features).numpy()).all()


def test_the_wasserstein_distance_of_shifted_features_is_the_shift():
    features = np.random.default_rng(5).random((1, 9, 8, 4))
    shift = np.array([0.3, -0.2, 0.1, 0.4])
    a, b = (to_moments(feature_sums(tf.constant(each))) for each in (features, features + shift))
    assert float(wasserstein_squared(a, b)) == pytest.approx(np.sum(shift**2), rel=1e-6)


def test_the_wasserstein_distance_of_stretched_features_is_that_of_their_standard_deviations():
    features = np.random.default_rng(6).normal(size=(1, 40, 40, 3))
    features -= features.mean((0, 1, 2))
    stretched = features * np.array([1.0, 2.0, 0.5])
    a, b = (to_moments(feature_sums(tf.constant(each))) for each in (features, stretched))
    flat = features.reshape(-1, 3)
    # Independent channels, nearly: W₂² = Σ(σ − σ*)².
    expected = np.sum((flat.std(0) * np.array([0.0, 1.0, 0.5])) ** 2)
    assert float(wasserstein_squared(a, b)) == pytest.approx(expected, rel=0.02)


def test_masked_pixels_have_no_gradient(tiny_backbone, scene, strokes):
    free = np.ones((*scene.shape[:2], 1), np.float32)
    free[:20] = 0.0
    whole = StyleObjective.from_images(tiny_backbone, scene, [strokes], WEIGHTS)
    objective = replace(whole, gradient_mask=tf.constant(free))
    gradient = objective.evaluate(tf.constant(scene[::-1].copy())).gradient.numpy()
    assert np.abs(gradient[:20]).max() == 0.0
    assert np.abs(gradient[20:]).max() > 0.0
