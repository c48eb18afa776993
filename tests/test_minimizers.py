import numpy as np
import pytest
import tensorflow as tf
from landscapes import LANDSCAPES, Landscape

from nstk.minimizers import LBFGS, Adam, Averaged, GradientDescent, Minimizer, minimize

MINIMIZERS = {
    "gradient descent": (GradientDescent(learning_rate=0.01), 8000),
    "adam": (Adam(learning_rate=0.02), 3000),
    "averaged adam": (Averaged(Adam(learning_rate=0.02)), 3000),
    "l-bfgs": (LBFGS(), 120),
}
BOUNDED = {
    "gradient descent": (GradientDescent(learning_rate=0.01, bounds=(0.0, 0.5)), 2000),
    "adam": (Adam(learning_rate=0.02, bounds=(0.0, 0.5)), 1000),
    "l-bfgs": (LBFGS(bounds=(0.0, 0.5)), 60),
}


def descend(minimizer: Minimizer, landscape: Landscape, steps: int):
    """Drive a minimizer as a picture's loop does, and return its result."""
    x = tf.constant(landscape.start, tf.float64)
    state = minimizer.init(x)

    @tf.function
    def run(x, state):
        for _ in tf.range(steps):
            x, state, _ = minimizer.step(landscape.evaluate, x, state)
        return minimizer.result(x, state)

    return run(x, state).numpy()


@pytest.mark.parametrize("landscape", LANDSCAPES, ids=lambda landscape: landscape.name)
@pytest.mark.parametrize("name", MINIMIZERS)
def test_every_minimizer_finds_every_known_minimum(name, landscape):
    minimizer, steps = MINIMIZERS[name]
    np.testing.assert_allclose(descend(minimizer, landscape, steps), landscape.minimum, atol=2e-3)


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bounded_descent_ends_at_the_wall_nearest_to_the_minimum(name):
    minimizer, steps = BOUNDED[name]
    ravine = LANDSCAPES[1]
    np.testing.assert_allclose(descend(minimizer, ravine, steps), np.full(3, 0.5), atol=1e-6)


@pytest.mark.parametrize("name", MINIMIZERS)
def test_a_state_is_a_nest_of_tensors_that_keeps_its_shapes(name):
    minimizer, _ = MINIMIZERS[name]
    x = tf.constant(LANDSCAPES[0].start, tf.float64)
    state = minimizer.init(x)
    _, following, _ = minimizer.step(LANDSCAPES[0].evaluate, x, state)
    tf.nest.assert_same_structure(state, following)
    for before, after in zip(tf.nest.flatten(state), tf.nest.flatten(following), strict=True):
        assert tf.is_tensor(before)
        assert before.shape == after.shape
        assert before.dtype == after.dtype


@pytest.mark.parametrize("name", MINIMIZERS)
def test_a_step_evaluates_the_function_once_at_the_point_given(name):
    minimizer, _ = MINIMIZERS[name]
    seen = []

    def evaluate(x):
        seen.append(x.numpy())
        return LANDSCAPES[1].evaluate(x)

    x = tf.constant(LANDSCAPES[1].start, tf.float64)
    state = minimizer.init(x)
    for count in range(1, 6):
        given = x.numpy()
        x, state, _ = minimizer.step(evaluate, x, state)
        assert len(seen) == count
        np.testing.assert_array_equal(seen[-1], given)


def test_gradient_descent_takes_the_step_of_its_formula():
    bowl = LANDSCAPES[0]
    x = tf.constant(bowl.start, tf.float64)
    minimizer = GradientDescent(learning_rate=0.25)
    following, _, evaluation = minimizer.step(bowl.evaluate, x, minimizer.init(x))
    np.testing.assert_allclose(following, x - 0.25 * evaluation.gradient)


def test_adam_moves_every_coordinate_by_the_learning_rate_at_first():
    ravine = LANDSCAPES[1]
    x = tf.constant(ravine.start, tf.float64)
    minimizer = Adam(learning_rate=0.125)
    following, _, _ = minimizer.step(ravine.evaluate, x, minimizer.init(x))
    np.testing.assert_allclose(following - x, np.full(3, 0.125))


def test_lbfgs_never_takes_a_point_that_is_not_lower():
    valley = LANDSCAPES[3]
    x = tf.constant(valley.start, tf.float64)
    minimizer = LBFGS()
    state = minimizer.init(x)
    x, state, _ = minimizer.step(valley.evaluate, x, state)
    losses = []
    for _ in range(60):
        x, state, _ = minimizer.step(valley.evaluate, x, state)
        losses.append(float(state.loss))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-8


def test_lbfgs_solves_a_quadratic_in_far_fewer_steps_than_adam():
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(30, 30)))[0]
    hessian = tf.constant(basis @ np.diag(np.geomspace(1, 1000, 30)) @ basis.T)
    quadratic = Landscape(
        "quadratic",
        lambda x: 0.5 * tf.reduce_sum(x * tf.linalg.matvec(hessian, x)),
        np.ones(30),
        np.zeros(30),
    )
    lbfgs = quadratic.function(descend(LBFGS(), quadratic, 100))
    adam = quadratic.function(descend(Adam(learning_rate=0.02), quadratic, 100))
    assert lbfgs < 1e-3 * adam


def test_the_average_of_points_that_do_not_move_is_the_point():
    x = tf.constant([1.0, 2.0])
    minimizer = Averaged(GradientDescent(learning_rate=0.0))
    state = minimizer.init(x)
    np.testing.assert_array_equal(minimizer.result(x, state), x)
    for _ in range(5):
        x, state, _ = minimizer.step(LANDSCAPES[0].evaluate, x, state)
    np.testing.assert_allclose(minimizer.result(x, state), x, rtol=1e-6)


def test_adam_keeps_its_second_moment_positive_on_a_new_grid():
    minimizer = Adam()
    state = minimizer.init(tf.zeros([4, 4, 3]))
    rescaled = minimizer.rescale(tf.zeros([8, 8, 3]), state, lambda t: tf.zeros([8, 8, 3]) - 1.0)
    assert rescaled.first.shape == (8, 8, 3)
    assert float(tf.reduce_min(rescaled.second)) == 0.0


def test_minimize_returns_the_best_point_it_has_evaluated():
    bowl = LANDSCAPES[0]
    x, evaluation = minimize(
        bowl.evaluate, tf.constant(bowl.start, tf.float64), LBFGS(), steps=50, tolerance=1e-9
    )
    np.testing.assert_allclose(x, bowl.minimum, atol=1e-9)
    assert float(evaluation.loss) == float(bowl.function(x))
