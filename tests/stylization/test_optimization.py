"""A descent survives one loss that is no number, and stands at a point that was reached always."""

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
    """(x − ½)², whose loss is no number in the calls it is told."""

    def __init__(self, *broken, value=float("nan")):
        self.broken, self.value, self.calls = broken, value, 0

    weights = ObjectiveWeights(1.0, 1.0, 1.0, {}, {})

    def evaluate(self, x, balance=None):
        loss = tf.reduce_sum((x - 0.5) ** 2)
        return Evaluation(loss, 2 * (x - 0.5), {"style": loss})

    def compile(self, optimizer):
        def poisoned(x, state, balance):
            self.calls += 1
            x, state, found = optimizer.step(self.evaluate, x, state)
            if self.calls in self.broken:
                bad = tf.constant(self.value)
                x, state = x * bad, tf.nest.map_structure(tf.identity, state)
                found = found._replace(loss=bad, terms={"style": bad})
            return x, state, found

        return poisoned


def begin(name="adam"):
    pair = [choose_optimizer(name, None, (0.0, 1.0), share) for share in (1.0, 0.25)]
    optimizer, cautious = map(Averaged, pair) if name == "adam" else pair
    return Optimization.start(optimizer, START, cautious)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_loss_that_is_no_number_is_survived_with_smaller_steps(name, value):
    descent = begin(name)
    descent.run(Bowl(4, value=value), 12, no_progress)
    assert descent.point.taken == (12,)
    assert descent.rule is descent.cautious
    assert descent.point.divergence_note.startswith("The loss is")
    assert (
        "at step 4 of 6×4, in style; went on from the last good image"
        in descent.point.divergence_note
    )
    assert np.isfinite([step.loss for step in descent.history]).all()
    assert abs(descent.image() - 0.5).max() < abs(START - 0.5).max()


def test_it_goes_back_to_the_last_good_image():
    descent, seen = begin(), []
    descent.run(Bowl(4), 4, no_progress, keep=lambda one: seen.append((one.point, one.image())))
    points = [point for point, _ in seen]
    # What was kept before step 3 was evaluated is good; what step 3 made nobody has looked at.
    np.testing.assert_array_equal(points[2].good, seen[1][1])
    assert float(descent.history[3].loss) == pytest.approx(
        float(tf.reduce_sum((points[2].good - 0.5) ** 2))
    )


def test_a_second_one_ends_it_at_the_last_good_image():
    descent = begin()
    with pytest.raises(DivergenceError, match=r"nan at step 7 of 6×4, in style, with smaller"):
        descent.run(Bowl(4, 8), 12, no_progress)
    assert descent.steps == 6
    assert np.isfinite(descent.image()).all()
    assert abs(descent.image() - 0.5).max() < abs(START - 0.5).max()


def test_a_image_that_is_never_good_ends_it_where_it_began():
    descent = begin()
    with pytest.raises(DivergenceError):
        descent.run(Bowl(1, 2), 5, no_progress)
    assert descent.steps == 0
    np.testing.assert_array_equal(descent.image(), START)


def test_a_number_poisoned_in_the_gradient_alone_is_noticed_a_step_later():
    class Gradient(Bowl):
        def compile(self, optimizer):
            def poisoned(x, state, balance):
                self.calls += 1
                x, state, found = optimizer.step(self.evaluate, x, state)
                return (x * float("nan") if self.calls == 4 else x), state, found

            return poisoned

    descent = begin()
    descent.run(Gradient(), 9, no_progress)
    assert descent.point.taken == (9,)
    assert "at step 5 of" in descent.point.divergence_note
    assert np.isfinite(descent.image()).all()


def test_wherever_it_is_interrupted_it_stands_at_a_point_that_was_reached():
    whole, points = begin(), {}
    whole.run(Bowl(), 6, no_progress, keep=lambda one: points.setdefault(one.steps, one.point))

    def interrupt(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    descent = begin()
    with pytest.raises(KeyboardInterrupt):
        descent.run(Bowl(), 6, interrupt)
    assert descent.steps == 3
    np.testing.assert_array_equal(descent.point.x, points[3].x)
    descent.run(Bowl(), 6, no_progress)
    np.testing.assert_array_equal(descent.image(), whole.image())
    assert descent.history == whole.history


def test_without_a_cautious_rule_the_same_one_goes_on():
    descent = Optimization.start(Adam(0.1), START)
    descent.run(Bowl(2), 3, no_progress)
    assert descent.rule == Adam(0.1)
    assert descent.steps == 3


class LateGradient(Bowl):
    """A bowl whose gradient is no number at the calls it is told; its loss always is one."""

    def compile(self, optimizer):
        def poisoned(x, state, balance):
            self.calls += 1
            bad = float("nan") if self.calls in self.broken else 1.0

            def evaluate(x):
                found = self.evaluate(x)
                return found._replace(gradient=found.gradient * bad)

            return optimizer.step(evaluate, x, state)

        return poisoned


def test_a_gradient_that_is_no_number_in_the_last_step_spoils_nothing():
    descent = begin()
    descent.run(LateGradient(6), 6, no_progress)
    assert "holds what is no number after step 6 of 6×4; went on" in descent.point.divergence_note
    assert np.isfinite(descent.image()).all()
    descent.move_to(8, 12)
    descent.run(Bowl(), 3, no_progress)
    assert np.isfinite(descent.image()).all()
    assert descent.point.taken == (6, 3)


def test_a_loss_whose_parts_are_numbers_is_told_without_them():
    class Overflow(Bowl):
        def compile(self, optimizer):
            def poisoned(x, state, balance):
                x, state, found = optimizer.step(self.evaluate, x, state)
                return x, state, found._replace(loss=tf.constant(float("inf")))

            return poisoned

    with pytest.raises(DivergenceError, match="The loss is inf at step 1 of 6×4, with smaller"):
        begin().run(Overflow(), 3, no_progress)
