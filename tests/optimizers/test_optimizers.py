"""Every optimizer on every test function, and the properties of each."""

from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
from landscapes import BOWL, BOX, LANDSCAPES, RAVINE, RIDGE, VALLEY, Landscape

from nstk.errors import SettingsError
from nstk.optimizers import (
    LBFGS,
    OPTIMIZERS,
    Adam,
    Averaged,
    Evaluation,
    GradientDescent,
    Newton,
    choose_optimizer,
    minimize,
    multiply_hessian,
)
from nstk.settings import OptimizerName

CASES = {
    "gradient descent": (GradientDescent(learning_rate=0.03), 1200),
    "backtracking": (GradientDescent(learning_rate=1.0, backtracking=True), 600),
    "adam": (Adam(learning_rate=0.02), 2000),
    "averaged adam": (Averaged(Adam(learning_rate=0.02), decay=0.9), 2000),
    "l-bfgs": (LBFGS(memory=5), 120),
    "newton": (Newton(), 80),
}
SEARCHING = ("backtracking", "l-bfgs", "newton")


def with_bounds(optimizer, bounds):
    """The same optimizer with bounds."""
    if isinstance(optimizer, Averaged):
        return replace(optimizer, optimizer=with_bounds(optimizer.optimizer, bounds))
    return replace(optimizer, bounds=bounds)


def optimize(optimizer, landscape, steps, start=None):
    """Run an optimizer inside a graph and return its result."""
    x = tf.constant(landscape.start if start is None else start, tf.float64)

    @partial(tf.function, autograph=False)
    def run(x):
        x, state = tf.while_loop(
            lambda *_: True,
            lambda x, state: optimizer.step(landscape.evaluate, x, state)[:2],
            (x, optimizer.init(x)),
            maximum_iterations=steps,
        )
        return optimizer.result(x, state)

    return run(x).numpy()


def follow(optimizer, evaluate, x, steps):
    """Drive an optimizer as an image's loop does; yield the point, the state, the evaluation."""
    compiled_step = tf.function(partial(optimizer.step, evaluate), autograph=False)
    state = optimizer.init(x)
    for _ in range(steps):
        x, state, evaluation = compiled_step(x, state)
        yield x, state, evaluation
    assert compiled_step.experimental_get_tracing_count() == 1


@pytest.fixture(scope="module")
def textures(tiny_backbone, scene, strokes):
    """A small style loss in float32, through convolutions, ReLU and pooling; and its start."""
    taps = tiny_backbone.tap(tiny_backbone.taps)

    def gram_matrices(image):
        maps = taps(image[tf.newaxis], training=False)
        return [
            tf.einsum("bijk,bijl->kl", a, a) / a[..., 0].shape.num_elements() for a in maps.values()
        ]

    targets = gram_matrices(tf.constant(strokes))

    def evaluate(image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            pairs = zip(gram_matrices(image), targets, strict=True)
            loss = tf.add_n([tf.nn.l2_loss(a - b) / tf.nn.l2_loss(b) for a, b in pairs])
        return Evaluation(loss, tape.gradient(loss, image), {})

    return evaluate, tf.constant(scene[:16, :24])


@pytest.mark.parametrize("landscape", LANDSCAPES, ids=lambda landscape: landscape.name)
@pytest.mark.parametrize("name", CASES)
def test_every_optimizer_finds_every_known_minimum(name, landscape):
    optimizer, steps = CASES[name]
    np.testing.assert_allclose(optimize(optimizer, landscape, steps), landscape.minimum, atol=2e-3)


@pytest.mark.parametrize("landscape", LANDSCAPES, ids=lambda landscape: landscape.name)
@pytest.mark.parametrize("name", CASES)
def test_every_optimizer_finds_the_minimum_within_bounds(name, landscape):
    optimizer, steps = CASES[name]
    start = np.clip(landscape.start, *BOX)
    found = optimize(with_bounds(optimizer, BOX), landscape, steps // 2, start)
    np.testing.assert_allclose(found, landscape.bounded, atol=2e-3)


@pytest.mark.parametrize("name", CASES)
def test_a_state_is_a_nest_of_tensors_that_keeps_its_shapes(name):
    optimizer, _ = CASES[name]
    x = tf.constant(BOWL.start, tf.float64)
    state = optimizer.init(x)
    _, following, _ = optimizer.step(BOWL.evaluate, x, state)
    tf.nest.assert_same_structure(state, following)
    for before, after in zip(tf.nest.flatten(state), tf.nest.flatten(following), strict=True):
        assert tf.is_tensor(before)
        assert before.shape == after.shape
        assert before.dtype == after.dtype


@pytest.mark.parametrize("name", CASES)
def test_a_step_evaluates_the_point_given_and_no_other(name):
    optimizer, _ = CASES[name]
    seen = []

    def evaluate(x):
        seen.append(x.numpy())
        return RAVINE.evaluate(x)

    x = tf.constant(RAVINE.start, tf.float64)
    state = optimizer.init(x)
    for _ in range(5):
        seen.clear()
        given = x.numpy()
        x, state, _ = optimizer.step(evaluate, x, state)
        assert len(seen) == 1 or name == "newton"
        assert len(seen) <= 1 + Newton.products
        np.testing.assert_array_equal(seen, [given] * len(seen))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_image_improves_within_its_range_by_a_step_compiled_once(name, textures):
    evaluate, x = textures
    optimizer = choose_optimizer(name, bounds=(0.0, 1.0))
    moments = list(follow(optimizer, evaluate, x, 12))
    for part in tf.nest.flatten([state for _, state, _ in moments]):
        assert np.isfinite(part.numpy()).all()
    point, state, evaluation = moments[-1]
    assert evaluation.loss.dtype == tf.float32
    result = optimizer.result(point, state).numpy()
    assert result.min() >= 0
    assert result.max() <= 1
    assert evaluate(tf.constant(result)).loss < 0.9 * evaluate(x).loss


@pytest.mark.parametrize("name", CASES)
def test_an_optimization_continues_after_a_change_of_grid(name):
    def evaluate(x):
        return Evaluation(tf.reduce_mean(tf.square(x - 0.75)), 2 * (x - 0.75) / x.shape[0] ** 2, {})

    def resize(tensor):
        return tf.image.resize(tensor, [8, 8], method="bicubic")

    cases = {"gradient descent": GradientDescent(4.0), "adam": Adam(0.05)}
    optimizer = with_bounds(cases.get(name, CASES[name][0]), (0.0, 1.0))
    x = tf.random.stateless_uniform([4, 4, 1], seed=[0, 1])
    for point, state, _ in follow(optimizer, evaluate, x, 4):
        kept = optimizer.result(point, state)
    x = resize(kept)
    state, fresh = optimizer.rescale(x, state, resize), optimizer.init(x)
    tf.nest.assert_same_structure(state, fresh)
    for part, new in zip(tf.nest.flatten(state), tf.nest.flatten(fresh), strict=True):
        assert part.shape == new.shape
        assert np.isfinite(part.numpy()).all()
    np.testing.assert_allclose(optimizer.result(x, state), x)
    compiled_step = tf.function(partial(optimizer.step, evaluate), autograph=False)
    for _ in range(150):
        x, state, _ = compiled_step(x, state)
    np.testing.assert_allclose(optimizer.result(x, state), tf.fill([8, 8, 1], 0.75), atol=0.02)


@pytest.mark.parametrize("name", SEARCHING)
def test_a_line_search_never_accepts_a_point_that_is_not_lower(name):
    optimizer = with_bounds(CASES[name][0], (-2.0, 0.8))
    x = tf.constant(VALLEY.start, tf.float64)
    losses = [float(state.loss) for _, state, _ in follow(optimizer, VALLEY.evaluate, x, 60)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.041  # 0.04 at (0.8, 0.64)


@pytest.mark.parametrize("name", SEARCHING)
def test_a_line_search_returns_from_where_the_function_is_not_finite(name):
    well = Landscape(
        "well",
        lambda x: tf.reduce_sum(x - tf.math.log(x)),
        np.full(2, 3.0),
        np.ones(2),
        np.full(2, 0.5),
    )
    optimizer = replace(CASES[name][0], **({"learning_rate": 50.0} if name == SEARCHING[0] else {}))
    visited = [
        evaluation.loss
        for *_, evaluation in follow(optimizer, well.evaluate, tf.constant(well.start), 40)
    ]
    if name != "l-bfgs":  # its first step is short
        assert not np.isfinite(visited).all()
    np.testing.assert_allclose(optimize(optimizer, well, 80), well.minimum, atol=1e-3)


def test_gradient_descent_takes_the_step_of_its_formula():
    x = tf.constant(BOWL.start, tf.float64)
    for optimizer in (GradientDescent(0.25), GradientDescent(0.25, backtracking=True)):
        following, _, evaluation = optimizer.step(BOWL.evaluate, x, optimizer.init(x))
        np.testing.assert_allclose(following, x - 0.25 * evaluation.gradient)


def test_backtracking_finds_a_rate_where_a_fixed_one_diverges():
    assert not np.isfinite(optimize(GradientDescent(1.0), RAVINE, 300)).all()
    found = optimize(GradientDescent(1.0, backtracking=True), RAVINE, 300)
    np.testing.assert_allclose(found, RAVINE.minimum, atol=1e-6)


def test_the_first_step_of_adam_moves_every_coordinate_by_the_learning_rate():
    x = tf.constant(RAVINE.start, tf.float64)
    optimizer = Adam(learning_rate=0.125)
    following, _, _ = optimizer.step(RAVINE.evaluate, x, optimizer.init(x))
    np.testing.assert_allclose(following - x, np.full(3, 0.125))


def test_adam_keeps_its_second_moment_positive_on_a_new_grid():
    optimizer = Adam()
    state = optimizer.init(tf.zeros([4, 4, 3]))
    rescaled = optimizer.rescale(tf.zeros([8, 8, 3]), state, lambda t: tf.zeros([8, 8, 3]) - 1.0)
    assert rescaled.first.shape == (8, 8, 3)
    assert float(tf.reduce_min(rescaled.second)) == 0.0


@pytest.fixture(scope="module")
def quadratic():
    """Thirty coordinates, no two alike, the steepest a thousand times steeper than the flattest."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    hessian = tf.constant(basis @ np.diag(np.geomspace(1, 1000, 30)) @ basis.T)
    return Landscape(
        "quadratic",
        lambda x: 0.5 * tf.reduce_sum(x * tf.linalg.matvec(hessian, x)),
        np.ones(30),
        np.zeros(30),
        np.zeros(30),
    )


def test_lbfgs_solves_a_quadratic_in_far_fewer_steps_than_adam(quadratic):
    lbfgs = quadratic.function(optimize(LBFGS(), quadratic, 100))
    adam = quadratic.function(optimize(Adam(learning_rate=0.02), quadratic, 100))
    assert lbfgs < 1e-3 * adam


def test_newton_solves_a_quadratic_in_one_step(quadratic):
    optimizer = Newton(products=60, tolerance=1e-12, damping=0.0)
    x = tf.constant(quadratic.start)
    [(following, *_)] = follow(optimizer, quadratic.evaluate, x, 1)
    np.testing.assert_allclose(following, quadratic.minimum, atol=1e-9)


def test_newton_in_one_dimension_is_the_textbook_rule():
    def evaluate(x):
        return Evaluation(tf.reduce_sum(tf.exp(x) - 2 * x), tf.exp(x) - 2, {})

    x = tf.constant([0.3], tf.float64)
    optimizer = Newton(damping=0.0)
    following, _, _ = optimizer.step(evaluate, x, optimizer.init(x))
    gradient, curvature = np.exp(0.3) - 2, np.exp(0.3)
    np.testing.assert_allclose(following, [0.3 - gradient / curvature])


def test_newton_leads_downhill_along_negative_curvature():
    for start in ([0.1, 0.25], [0.1, 0.0], [0.01, 5.0]):
        x = tf.constant(start, tf.float64)
        optimizer = Newton()
        evaluation = RIDGE.evaluate(x)
        following, _, _ = optimizer.step(RIDGE.evaluate, x, optimizer.init(x))
        assert tf.reduce_sum((following - x) * evaluation.gradient) < 0


def test_newton_needs_no_product_after_a_rejected_point():
    evaluated = []

    def evaluate(x):
        evaluated.append(x)
        return RIDGE.evaluate(x)

    optimizer = Newton(damping=0.0, first_step=10.0)
    x = tf.constant([0.1, 0.25], tf.float64)
    x, state, _ = optimizer.step(evaluate, x, optimizer.init(x))
    evaluated.clear()
    _, rejected, _ = optimizer.step(evaluate, x, state)
    assert len(evaluated) == 1
    assert int(rejected.count) == int(state.count)
    assert float(rejected.damping) > float(state.damping)


def test_a_hessian_vector_product_is_the_derivative_of_the_gradient():
    x, v = tf.constant([-0.5, 0.7], tf.float64), tf.constant([0.3, -1.1], tf.float64)
    ahead, behind = (VALLEY.evaluate(x + h * v).gradient for h in (1e-5, -1e-5))
    np.testing.assert_allclose(
        multiply_hessian(VALLEY.evaluate, x, v), (ahead - behind) / 2e-5, rtol=1e-8
    )


def test_the_average_of_points_that_do_not_move_is_the_point():
    x = tf.constant([1.0, 2.0])
    optimizer = Averaged(GradientDescent(learning_rate=0.0))
    state = optimizer.init(x)
    np.testing.assert_array_equal(optimizer.result(x, state), x)
    for _ in range(5):
        x, state, _ = optimizer.step(BOWL.evaluate, x, state)
    np.testing.assert_allclose(optimizer.result(x, state), x, rtol=1e-6)


def test_an_average_leaves_out_rejected_points():
    optimizer = Averaged(GradientDescent(1.0, backtracking=True), decay=0.5)
    x = tf.constant(RAVINE.start, tf.float64)
    for _, state, _ in follow(optimizer, RAVINE.evaluate, x, 3):
        np.testing.assert_allclose(optimizer.result(x, state), state.inner.x)


def test_minimize_returns_the_best_point_it_has_evaluated():
    start = tf.constant(BOWL.start, tf.float64)
    x, evaluation = minimize(BOWL.evaluate, start, LBFGS(), steps=50, tolerance=1e-9)
    np.testing.assert_allclose(x, BOWL.minimum, atol=1e-9)
    assert float(evaluation.loss) == float(BOWL.function(x))


def test_every_name_is_an_optimizer_with_the_given_bounds():
    assert OPTIMIZERS == ("adam", "gradient-descent", "lbfgs", "newton") == get_args(OptimizerName)
    made = [choose_optimizer(name, bounds=(0.0, 1.0)) for name in OPTIMIZERS]
    assert [type(optimizer) for optimizer in made] == [Adam, GradientDescent, LBFGS, Newton]
    assert all(optimizer.bounds == (0.0, 1.0) for optimizer in made)


def test_a_learning_rate_is_passed_on():
    assert choose_optimizer("adam").learning_rate == 0.05
    assert choose_optimizer("adam", 0.02).learning_rate == 0.02
    assert choose_optimizer("gradient-descent", 7.0).learning_rate == 7.0
    assert choose_optimizer("lbfgs", 0.1).first_step == 0.1
    assert choose_optimizer("newton", 0.1).first_step == 0.1


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"sgd.*adam.*newton"):
        choose_optimizer("sgd")


@pytest.mark.parametrize("name", ["l-bfgs", "newton"])
@pytest.mark.parametrize("unit", [2.0**-48, 2.0**48])
def test_the_units_of_the_loss_do_not_affect_the_path(name, unit):
    scaled = replace(VALLEY, function=lambda x: unit * VALLEY.function(x))
    optimizer, _ = CASES[name]
    for steps in (12,):
        expected = optimize(optimizer, VALLEY, steps)
        np.testing.assert_allclose(optimize(optimizer, scaled, steps), expected, rtol=1e-9)
