"""An optimization survives one loss that is not finite, and its state is always one it reached."""

import numpy as np
import pytest
import tensorflow as tf

from nstk.errors import DivergenceError
from nstk.optimizers import OPTIMIZERS, Adam, Averaged, Evaluation, choose_optimizer
from nstk.progress import no_progress
from nstk.stylization.objective import ObjectiveWeights
from nstk.stylization.optimization import Optimization

START = np.full((4, 6, 3), 0.25, np.float32)


class Bowl:
    """(x − ½)², whose loss is not finite in the given calls."""

    def __init__(self, *broken, value=float("nan")):
        self.broken, self.value, self.calls = broken, value, 0

    weights = ObjectiveWeights(1.0, 1.0, 1.0, {}, {})

    def evaluate(self, x, loss_weights=None):
        loss = tf.reduce_sum((x - 0.5) ** 2)
        return Evaluation(loss, 2 * (x - 0.5), {"style": loss})

    def compile(self, optimizer):
        def poisoned(x, state, loss_weights):
            self.calls += 1
            x, state, found = optimizer.step(self.evaluate, x, state)
            if self.calls in self.broken:
                bad = tf.constant(self.value)
                x, state = x * bad, tf.nest.map_structure(tf.identity, state)
                found = found._replace(loss=bad, terms={"style": bad})
            return x, state, found

        return poisoned


def start(name="adam"):
    pair = [choose_optimizer(name, None, (0.0, 1.0), factor) for factor in (1.0, 0.25)]
    optimizer, fallback = map(Averaged, pair) if name == "adam" else pair
    return Optimization.start(optimizer, START, fallback)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_loss_that_is_not_finite_is_survived_with_smaller_steps(name, value):
    optimization = start(name)
    optimization.run(Bowl(4, value=value), 12, no_progress)
    assert optimization.state.steps == (12,)
    assert optimization.active_optimizer is optimization.fallback
    assert f"{value} at step 4 of 6×4, in style" in optimization.state.divergence_note
    assert np.isfinite([step.loss for step in optimization.history]).all()
    assert abs(optimization.image() - 0.5).max() < abs(START - 0.5).max()


def test_it_returns_to_the_last_good_image():
    optimization, states = start(), []
    optimization.run(Bowl(4), 4, no_progress, on_step=lambda: states.append(optimization.state))
    # The image before step 3 was evaluated and is good; that of step 3 was not evaluated.
    np.testing.assert_array_equal(states[2].last_finite, states[1].x)
    assert float(optimization.history[3].loss) == pytest.approx(
        float(tf.reduce_sum((states[2].last_finite - 0.5) ** 2))
    )


def test_a_second_divergence_ends_it_at_the_last_good_image():
    optimization = start()
    with pytest.raises(DivergenceError, match="nan at step 7 of 6×4, in style"):
        optimization.run(Bowl(4, 8), 12, no_progress)
    assert optimization.steps == 6
    assert np.isfinite(optimization.image()).all()
    assert abs(optimization.image() - 0.5).max() < abs(START - 0.5).max()


def test_an_image_that_is_never_good_ends_it_at_the_initial_image():
    optimization = start()
    with pytest.raises(DivergenceError):
        optimization.run(Bowl(1, 2), 5, no_progress)
    assert optimization.steps == 0
    np.testing.assert_array_equal(optimization.image(), START)


def test_a_gradient_that_is_not_finite_is_noticed_a_step_later():
    class Gradient(Bowl):
        def compile(self, optimizer):
            def poisoned(x, state, loss_weights):
                self.calls += 1
                x, state, found = optimizer.step(self.evaluate, x, state)
                return (x * float("nan") if self.calls == 4 else x), state, found

            return poisoned

    optimization = start()
    optimization.run(Gradient(), 9, no_progress)
    assert optimization.state.steps == (9,)
    assert "at step 5 of" in optimization.state.divergence_note
    assert np.isfinite(optimization.image()).all()


def test_an_interruption_leaves_a_state_that_was_reached():
    whole, states = start(), {}
    whole.run(Bowl(), 6, no_progress, on_step=lambda: states.setdefault(whole.steps, whole.state))

    def interrupt(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    optimization = start()
    with pytest.raises(KeyboardInterrupt):
        optimization.run(Bowl(), 6, interrupt)
    assert optimization.steps == 3
    np.testing.assert_array_equal(optimization.state.x, states[3].x)
    optimization.run(Bowl(), 6, no_progress)
    np.testing.assert_array_equal(optimization.image(), whole.image())
    assert optimization.history == whole.history


def test_without_a_fallback_the_same_optimizer_continues():
    optimization = Optimization.start(Adam(0.1), START)
    optimization.run(Bowl(2), 3, no_progress)
    assert optimization.active_optimizer == Adam(0.1)
    assert optimization.steps == 3


class LateGradient(Bowl):
    """A bowl whose gradient is not finite in the given calls; its loss always is."""

    def compile(self, optimizer):
        def poisoned(x, state, loss_weights):
            self.calls += 1
            bad = float("nan") if self.calls in self.broken else 1.0

            def evaluate(x):
                found = self.evaluate(x)
                return found._replace(gradient=found.gradient * bad)

            return optimizer.step(evaluate, x, state)

        return poisoned


def test_a_gradient_that_is_not_finite_in_the_last_step_is_discarded():
    optimization = start()
    optimization.run(LateGradient(6), 6, no_progress)
    assert "after step 6 of 6×4" in optimization.state.divergence_note
    assert np.isfinite(optimization.image()).all()
    optimization.resize(8, 12)
    optimization.run(Bowl(), 3, no_progress)
    assert np.isfinite(optimization.image()).all()
    assert optimization.state.steps == (6, 3)


def test_an_infinite_loss_with_finite_terms_is_reported_without_them():
    class Overflow(Bowl):
        def compile(self, optimizer):
            def poisoned(x, state, loss_weights):
                x, state, found = optimizer.step(self.evaluate, x, state)
                return x, state, found._replace(loss=tf.constant(float("inf")))

            return poisoned

    with pytest.raises(DivergenceError, match="inf at step 1 of 6×4"):
        start().run(Overflow(), 3, no_progress)
