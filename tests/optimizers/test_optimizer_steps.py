"""Every optimizer takes the steps of its formula, recomputed with NumPy."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
from landscapes import RAVINE, RIDGE, VALLEY

from nstk.optimizers import (
    LBFGS,
    OPTIMIZERS,
    Adam,
    Averaged,
    Evaluation,
    GradientDescent,
    Newton,
    choose_optimizer,
)
from nstk.optimizers.lbfgs import apply_inverse_hessian
from nstk.optimizers.protocol import fit_parabola, free_variables, inner, is_lower, project


def steps_of(optimizer, evaluate, start, steps):
    """Point, state and evaluation after each step."""
    x = tf.constant(start, tf.float64)
    state = optimizer.init(x)
    for _ in range(steps):
        x, state, evaluation = optimizer.step(evaluate, x, state)
        yield x.numpy(), state, evaluation


def scalars(*values):
    return [tf.constant(value, tf.float64) for value in values]


def test_defaults_are_as_documented():
    def defaults(kind):
        given = inspect.signature(kind).parameters.values()
        return [each.default for each in given if each.default is not inspect.Parameter.empty]

    assert defaults(Adam) == [0.02, 0.9, 0.99, 1e-12, None]
    assert defaults(LBFGS) == [10, 0.05, 1e-4, None, 1]
    assert defaults(Newton) == [5, 0.01, 0.1, 0.05, 1e-4, None]
    assert defaults(GradientDescent) == [False, 1e-4, None]
    assert defaults(Averaged) == [0.99]


def test_a_name_has_a_default_rate_times_a_factor():
    rates = {"adam": 0.05, "gradient-descent": 30.0, "lbfgs": 0.05, "newton": 0.05}
    for name in OPTIMIZERS:
        for lr_factor in (1.0, 0.25):
            made = choose_optimizer(name, lr_factor=lr_factor)
            rate = getattr(made, "learning_rate", None) or made.first_step
            assert rate == lr_factor * rates[name]
        assert choose_optimizer(name) == choose_optimizer(name, lr_factor=1.0)
    assert choose_optimizer("gradient-descent").backtracking


def test_adam_follows_algorithm_1_of_its_paper():
    optimizer = Adam(0.1, beta1=0.8, beta2=0.95, epsilon=1e-3)
    x, m, v = np.array(RAVINE.start, float), 0.0, 0.0
    for t, (found, state, _) in enumerate(steps_of(optimizer, RAVINE.evaluate, x, 8), 1):
        g = RAVINE.evaluate(tf.constant(x)).gradient.numpy()
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
        x = x - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
        np.testing.assert_allclose(found, x)
        np.testing.assert_allclose(state.first, m)
        np.testing.assert_allclose(state.second, v)
        assert float(state.count) == t


def test_an_average_is_weighted_by_age():
    optimizer = Averaged(GradientDescent(0.01), decay=0.7)
    points = []
    for x, state, _ in steps_of(optimizer, RAVINE.evaluate, RAVINE.start, 6):
        points.append(x)
        ages = 0.7 ** np.arange(len(points))[::-1]
        expected = np.average(points, axis=0, weights=ages)
        np.testing.assert_allclose(optimizer.result(tf.constant(x), state), expected)
        assert float(state.weight) == pytest.approx(1 - 0.7 ** len(points))


def test_an_average_restarts_on_another_grid():
    optimizer = Averaged(GradientDescent(0.01), decay=0.7)
    *_, (x, state, _) = steps_of(optimizer, RAVINE.evaluate, RAVINE.start, 3)
    after = optimizer.rescale(tf.constant(x), state, lambda each: each)
    assert float(after.weight) == 0
    assert not np.any(after.total)


@pytest.mark.parametrize(
    ("loss", "derivative", "lower"),
    [
        (0.9, -1.0, True),
        (0.9 + 1e-9, -1.0, False),
        (1.0, 0.0, True),
        (1.0 + 1e-9, 5.0, False),
        (1.0, 5.0, True),
        (float("nan"), -1.0, False),
    ],
)
def test_lower_is_the_condition_of_armijo(loss, derivative, lower):
    assert bool(is_lower(*scalars(loss, 1.0, derivative), 0.1)) == lower


@pytest.mark.parametrize(
    ("loss", "derivative", "factor"),
    [
        (2.0, -1.0, 0.25),  # 1 / (2·(2 − 1 + 1))
        (1.0, -1.0, 0.5),
        (100.0, -1.0, 0.1),
        (0.2, -1.0, 2.0),  # 1 / (2·0.2) = 2.5
        (-1.0, -1.0, 2.0),  # negative curvature
        (0.0, -1.0, 2.0),  # no curvature
        (float("inf"), -1.0, 0.1),
        (float("nan"), -1.0, 0.1),
    ],
)
def test_the_parabola_has_its_minimum_where_the_formula_says(loss, derivative, factor):
    found = fit_parabola(*scalars(loss, 1.0, derivative), 0.1, 2.0)
    assert float(found) == pytest.approx(factor)


def test_an_inner_product_is_that_of_numpy():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4))
    assert float(inner(tf.constant(a), tf.constant(b))) == pytest.approx(np.sum(a * b))


def test_a_coordinate_is_blocked_only_at_a_bound_in_its_way():
    x = tf.constant([-1.0, -1.0, 0.0, 0.0, 1.0, 1.0, -1.0, 1.0])
    gradient = tf.constant([2.0, -2.0, 2.0, -2.0, -2.0, 2.0, 0.0, 0.0])
    free = free_variables(x, gradient, (-1.0, 1.0))
    np.testing.assert_array_equal(free, [0, 1, 1, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(free_variables(x, gradient, None), np.ones(8))
    np.testing.assert_array_equal(project(3 * x, (-1.0, 1.0)), x)
    np.testing.assert_array_equal(project(3 * x, None), 3 * x)


def test_backtracking_moves_its_rate_to_the_minimum_of_the_parabola():
    def evaluate(x):
        return Evaluation(2 * tf.reduce_sum(x * x), 4 * x, {})  # the best rate is 1/4

    def rates(first, count=4):
        optimizer = GradientDescent(first, backtracking=True)
        return [
            float(state.rate) for _, state, _ in steps_of(optimizer, evaluate, [1.0, -2.0], count)
        ]

    assert rates(0.05) == pytest.approx([0.05, 0.1, 0.2, 0.25])  # at most doubled
    assert rates(0.2, 3) == pytest.approx([0.2, 0.25, 0.25])
    assert rates(1.0, 3) == pytest.approx([1.0, 0.25, 0.25])  # rejected, then accepted
    assert rates(8.0, 3) == pytest.approx([8.0, 0.8, 0.25])  # at most a tenth
    optimizer = GradientDescent(1.0, backtracking=True)
    accepted = [int(state.count) for _, state, _ in steps_of(optimizer, evaluate, [1.0, -2.0], 3)]
    assert accepted == [1, 1, 2]
    fixed = GradientDescent(0.05)
    assert [int(state.count) for _, state, _ in steps_of(fixed, evaluate, [1.0], 3)] == [1, 2, 3]


def test_a_rate_carries_over_to_another_grid():
    optimizer = GradientDescent(1.0, backtracking=True)
    *_, (x, state, _) = steps_of(optimizer, VALLEY.evaluate, VALLEY.start, 5)
    after = optimizer.rescale(tf.constant(x), state, lambda each: each)
    assert float(after.rate) == float(state.rate) != 1.0
    assert int(after.count) == 0


def test_the_two_loop_recursion_is_the_matrix_of_bfgs():
    draw = np.random.default_rng(2)
    hessian = np.diag([1.0, 2.0, 5.0, 9.0])
    s_history = draw.normal(size=(3, 4))
    y_history = s_history @ hessian + 0.05 * draw.normal(size=(3, 4))
    curvatures = np.sum(s_history * y_history, axis=1)
    gradient = draw.normal(size=4)
    matrix = curvatures[-1] / np.sum(y_history[-1] ** 2) * np.eye(4)
    for s, y, curvature in zip(s_history, y_history, curvatures, strict=True):
        left = np.eye(4) - np.outer(s, y) / curvature
        matrix = left @ matrix @ left.T + np.outer(s, s) / curvature
    found = apply_inverse_hessian(*map(tf.constant, (gradient, s_history, y_history, curvatures)))
    np.testing.assert_allclose(found, matrix @ gradient)
    empty = [
        np.concatenate([np.zeros_like(each), each]) for each in (s_history, y_history, curvatures)
    ]
    found = apply_inverse_hessian(*map(tf.constant, (gradient, *empty)))
    np.testing.assert_allclose(found, matrix @ gradient)
    nothing = [np.zeros_like(each) for each in (s_history, y_history, curvatures)]
    found = apply_inverse_hessian(*map(tf.constant, (gradient, *nothing)))
    np.testing.assert_allclose(found, gradient)


def test_lbfgs_starts_with_its_first_step_and_stores_its_newest_pairs():
    optimizer = LBFGS(memory=3, first_step=0.2)
    accepted, points = [], [np.array(VALLEY.start, float)]
    for x, state, _ in steps_of(optimizer, VALLEY.evaluate, VALLEY.start, 12):
        points.append(x)
        if int(state.count) > len(accepted):
            accepted.append(state)
    assert np.abs(points[1] - points[0]).max() == pytest.approx(0.2)
    assert [int(state.count) for state in accepted] == [*range(1, len(accepted) + 1)]
    s_history = np.diff([state.x.numpy() for state in accepted], axis=0)
    y_history = np.diff([state.gradient.numpy() for state in accepted], axis=0)
    curvatures = np.sum(s_history * y_history, axis=1)
    known = curvatures > 0
    assert known.sum() > 3
    last = accepted[-1]
    np.testing.assert_allclose(last.s_history, s_history[known][-3:])
    np.testing.assert_allclose(last.y_history, y_history[known][-3:])
    np.testing.assert_allclose(last.curvatures, curvatures[known][-3:])
    pairs = last.s_history, last.y_history, last.curvatures
    np.testing.assert_allclose(last.direction, -apply_inverse_hessian(last.gradient, *pairs))
    assert float(last.length) == 1


def test_lbfgs_stores_no_pair_of_negative_curvature():
    def evaluate(x):
        return Evaluation(-tf.reduce_sum(x * x), -2 * x, {})

    optimizer = LBFGS(first_step=0.1)
    *_, (_, state, _) = steps_of(optimizer, evaluate, [1.0, 0.5], 4)
    assert int(state.count) == 4
    assert not np.any(state.curvatures)
    np.testing.assert_allclose(state.direction, -state.gradient)


@pytest.mark.parametrize(
    "optimizer", [LBFGS(first_step=10.0), Newton(damping=0.0, first_step=10.0)]
)
def test_after_a_rejected_point_the_next_is_nearer_on_the_same_line(optimizer):
    states = [state for _, state, _ in steps_of(optimizer, RIDGE.evaluate, [0.1, 0.25], 2)]
    first, second = states
    assert int(second.count) == int(first.count) == 1
    np.testing.assert_array_equal(second.direction, first.direction)
    assert 0.1 <= float(second.length / first.length) <= 0.5
    np.testing.assert_array_equal(optimizer.result(None, second), [0.1, 0.25])


CURVED = np.array([1.0, 4.0, 9.0])


def bowl(x):
    """½·Σ c_i·x_i² with curvatures 1, 4 and 9."""
    return Evaluation(0.5 * tf.reduce_sum(CURVED * x * x), CURVED * x, {})


def test_one_product_of_newton_is_the_damped_step_of_cauchy():
    start = np.array([1.0, 1.0, -1.0])
    g = CURVED * start
    along = np.sum(g * CURVED * g) / np.sum(g * g)
    optimizer = Newton(products=1, damping=0.5)
    [(x, state, _)] = steps_of(optimizer, bowl, start, 1)
    np.testing.assert_allclose(x, start - g / (1.5 * along))
    np.testing.assert_allclose(state.hessian_p, CURVED * state.direction.numpy())
    np.testing.assert_allclose(state.direction, -g / (1.5 * along))


def test_more_products_of_newton_solve_the_damped_equation():
    start = np.array([1.0, 1.0, -1.0])
    g = CURVED * start
    shift = 0.5 * np.sum(g * CURVED * g) / np.sum(g * g)
    [(x, _, _)] = steps_of(Newton(products=9, tolerance=1e-9, damping=0.5), bowl, start, 1)
    np.testing.assert_allclose(x, start - g / (CURVED + shift))


def test_newton_stops_when_the_residual_is_small_enough():
    def count(tolerance):
        calls = []

        def evaluate(x):
            calls.append(1)
            return bowl(x)

        [_] = steps_of(
            Newton(products=9, tolerance=tolerance, damping=0.0), evaluate, np.ones(3), 1
        )
        return len(calls) - 1

    assert count(1e-9) == 3  # as many as there are different curvatures
    # After one product the residual is 0.24 of the gradient, after two 0.07.
    assert count(0.5) == 1
    assert count(0.2) == 2


def test_newton_takes_its_first_step_along_negative_curvature():
    def evaluate(x):
        return Evaluation(-tf.reduce_sum(x * x), -2 * x, {})

    [(x, state, _)] = steps_of(Newton(first_step=0.125), evaluate, [1.0, 0.5], 1)
    np.testing.assert_allclose(x, [1.125, 0.5625])
    np.testing.assert_allclose(state.hessian_p, [-0.25, -0.125])


def test_damping_follows_how_well_the_parabola_predicted():
    def evaluate(loss):
        return lambda x: Evaluation(tf.constant(loss, tf.float64), CURVED * x, {})

    optimizer = Newton(products=9, tolerance=1e-9, damping=0.0)
    start = tf.constant([1.0, 1.0, -1.0], tf.float64)
    x, state, _ = optimizer.step(bowl, start, optimizer.init(start))  # predicts 7 → 0
    state = state._replace(damping=tf.constant(0.4, tf.float64))
    for loss, damping in (
        (0.0, 0.1),  # all of it
        (1.6, 0.1),  # 0.77 of it
        (1.9, 0.4),  # 0.73
        (5.2, 0.4),  # 0.26
        (5.3, 1.6),  # 0.24
    ):
        after = optimizer._adapt_damping(x, evaluate(loss)(x), state)
        assert float(after) == pytest.approx(damping), loss
    shorter = state._replace(length=tf.constant(0.5, tf.float64))
    assert float(optimizer._adapt_damping(x, evaluate(-3.0)(x), shorter)) == pytest.approx(0.4)
    fresh = state._replace(count=tf.constant(0))
    assert float(optimizer._adapt_damping(x, evaluate(5.3)(x), fresh)) == pytest.approx(0.4)


def test_a_rejected_point_increases_the_damping_even_from_0():
    for damping, raised in ((0.0, 1e-6), (1e-9, 1e-6), (0.3, 1.2)):
        optimizer = Newton(damping=damping, first_step=10.0)
        states = [state for _, state, _ in steps_of(optimizer, RIDGE.evaluate, [0.1, 0.25], 2)]
        assert int(states[1].count) == 1
        assert float(states[1].damping) == pytest.approx(raised)


def test_only_the_damping_carries_over_to_another_grid():
    optimizer = Newton(damping=0.3)
    *_, (x, state, _) = steps_of(optimizer, VALLEY.evaluate, VALLEY.start, 5)
    after = optimizer.rescale(tf.constant(x), state, lambda each: each)
    assert float(after.damping) == float(state.damping)
    assert int(after.count) == 0
    assert not np.any(after.direction)
