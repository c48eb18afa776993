from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from nstk.optimizers import Adam, choose_optimizer
from nstk.stylization.losses import TemporalTarget
from nstk.stylization.objective import LossWeights, ObjectiveWeights, StyleObjective
from nstk.stylization.tiled.network import TiledNetwork
from nstk.stylization.tiled.objective import TiledObjective

WEIGHTS = ObjectiveWeights(
    content=0.5,
    style=1.0,
    tv=0.1,
    content_layers={"block3_conv1": 1.0},
    style_layers={"block1_conv1": 0.6, "block2_conv1": 0.4},
)


def make_target(shape, weight=20.0, seed=5):
    generator = np.random.default_rng(seed)
    image, reliability = (generator.random((*shape, n), np.float32) for n in (3, 1))
    return TemporalTarget(tf.constant(image), tf.constant(reliability), tf.constant(weight))


@pytest.fixture(scope="module")
def objective(tiny_backbone, scene, strokes):
    return StyleObjective.from_images(tiny_backbone, scene, [strokes], WEIGHTS)


@pytest.fixture(scope="module")
def target(scene):
    return make_target(scene.shape[:2])


def test_the_temporal_term_is_the_weighted_mean_of_squared_differences(objective, target, scene):
    image = tf.constant(scene)
    before, _ = objective.compute_loss(image)
    loss, terms = replace(objective, temporal=target).compute_loss(image)
    expected = np.mean(target.reliability * (scene - target.image) ** 2)
    assert float(terms["temporal"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(loss - before) == pytest.approx(20.0 * float(expected), rel=1e-4)


def test_unreliable_pixels_are_free(objective, target, scene):
    blind = target._replace(reliability=tf.zeros_like(target.reliability))
    plain = objective.evaluate(tf.constant(scene))
    free = replace(objective, temporal=blind).evaluate(tf.constant(scene))
    np.testing.assert_allclose(plain.gradient, free.gradient, atol=1e-7)


def test_one_compiled_step_serves_all_targets_of_a_clip(objective, target, scene):
    image, optimizer, weights = tf.constant(scene), Adam(), LossWeights(0.5, 1.0, 0.1)
    compiled_before = len(objective.backbone.compiled)
    for each in (target, make_target(scene.shape[:2], weight=3.0, seed=6)):
        clip = replace(objective, temporal=each)
        _, _, compiled = clip.compile(optimizer)(
            image, optimizer.init(image), LossWeights(*map(tf.constant, weights))
        )
        eager = clip.evaluate(image)
        assert float(compiled.loss) == pytest.approx(float(eager.loss), rel=1e-5)
        error = tf.norm(compiled.gradient - eager.gradient) / tf.norm(eager.gradient)
        assert float(error) < 1e-3
    assert len(objective.backbone.compiled) <= compiled_before + 1


def test_tiles_have_the_temporal_term_of_the_whole(tiny_backbone, objective, target, scene):
    layers = tuple(WEIGHTS.style_layers), tuple(WEIGHTS.content_layers)
    network = TiledNetwork(tiny_backbone, *layers, 12_000)
    free = tf.constant(make_target(scene.shape[:2], seed=8).reliability)
    given = scene, objective.regions, WEIGHTS, free, target
    whole = StyleObjective.from_regions(tiny_backbone, *given)
    tiled = TiledObjective.from_regions(network, *given)
    image = make_target(scene.shape[:2], seed=9).image
    expected, got = whole.evaluate(image), tiled.evaluate(image)
    assert set(got.terms) == set(expected.terms)
    assert float(got.loss) == pytest.approx(float(expected.loss), rel=1e-5)
    error = tf.norm(got.gradient - expected.gradient) / tf.norm(expected.gradient)
    assert float(error) < 1e-3


def test_without_other_terms_an_optimizer_lowers_the_temporal_one(objective, target, scene):
    alone = replace(objective, weights=replace(WEIGHTS, content=0.0, style=0.0, tv=0.0))
    clip = replace(alone, temporal=target)
    optimizer, x = choose_optimizer("gradient-descent", bounds=(0.0, 1.0)), tf.constant(scene)
    step, state, losses = clip.compile(optimizer), optimizer.init(tf.constant(scene)), []
    for _ in range(4):
        x, state, evaluation = step(x, state, LossWeights(*map(tf.constant, (0.0, 0.0, 0.0))))
        losses.append(float(evaluation.loss))
    assert losses[-1] < 0.9 * losses[0]
