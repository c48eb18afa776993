"""Newton's method without a matrix: conjugate gradients on Hessian–vector products.

In one dimension the rule is the one of every textbook, x := x − f′(x) / f″(x): go to where the
parabola that touches f at x has its minimum. In n dimensions the parabola is

    m(p) = f(x) + ⟨g, p⟩ + ½·⟨p, H·p⟩,    g = ∇f(x),  H = ∇²f(x),

and its minimum is p = −H⁻¹·g. The Hessian of an image would have 10¹¹ entries and more, but H·p
is just the derivative of the gradient along p, which costs a few times what the gradient costs;
and conjugate gradients ask for nothing else (Nocedal and Wright 2006, sections 7.1 and 4.3).

The parabola fits only near x, and where the ground bends down it has no minimum. So

- (H + λ·I)·p = −g is solved, and λ falls while the parabola predicts well and rises where it does
  not (Levenberg 1944, Marquardt 1963);
- the solution stops at the first direction along which the ground bends down (Steihaug 1983), which
  leaves a direction that leads downhill all the same;
- it stops early anyway: a few products find most of what there is to gain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from nstk.optimizers.bounds import Bounds, free_variables, project
from nstk.optimizers.line_search import fit_parabola, inner, is_lower
from nstk.optimizers.protocol import Evaluate, Evaluation


class NewtonState(NamedTuple):
    """The state of Newton's method: the parabola at the last point taken, and the trial on it.

    Attributes:
        count: k, points taken, int32; 0 before the first evaluation.
        x: x_k, the last point taken.
        loss: f(x_k).
        gradient: ∇f(x_k).
        direction: p_k ≈ −(H + λI)⁻¹·∇f(x_k).
        bend: H·p_k.
        length: The present trial point is x_k + length·p_k.
        damping: λ, as a share of the curvature along the gradient.
    """

    count: Any
    x: Any
    loss: Any
    gradient: Any
    direction: Any
    hessian_p: Any
    length: Any
    damping: Any


def multiply_hessian(evaluate: Evaluate, x: Any, direction: Any) -> Any:
    """H·v, the derivative of the gradient along v (Pearlmutter 1994).

    It is taken forward over reverse: no difference quotient is involved, so it is as exact as the
    gradient itself. It costs two to three evaluations.

    Args:
        evaluate: The function, whose gradient must itself be differentiable.
        x: Where, a tensor.
        direction: v, of the shape and dtype of x.

    Returns:
        A tensor of the shape of x.
    """
    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        gradient = evaluate(x).gradient
    return accumulator.jvp(gradient, unconnected_gradients="zero")


@dataclass(frozen=True)
class Newton:
    """x := x − (H + λI)⁻¹·g, approximately.

    A step is one evaluation and, whenever a point was taken, up to ``products`` Hessian–vector
    products of two to three evaluations each. After a point that was refused it is the evaluation
    alone.

    Attributes:
        products: Hessian–vector products a step at most.
        tolerance: The equation counts as solved when its residual is this share of ‖g‖.
        damping: λ at the start, as a share of the curvature along the gradient, ⟨g, Hg⟩ / ⟨g, g⟩.
        first_step: Largest change of a coordinate, in units of x, where the ground bends down
            along the gradient itself and so says nothing about how far to go.
        sufficient_decrease: c₁ of the Armijo condition.
        bounds: The box that x stays in, or None. Trial points are projected into it, and
            coordinates that the descent pushes against a wall are left out of the equation.
    """

    products: int = 5
    tolerance: float = 0.01
    damping: float = 0.1
    first_step: float = 0.05
    sufficient_decrease: float = 1e-4
    bounds: Bounds | None = None

    def init(self, x: Any) -> NewtonState:
        """See `Optimizer.init`."""
        zero, scalar = tf.zeros_like(x), tf.zeros([], x.dtype)
        damping = tf.constant(self.damping, x.dtype)
        return NewtonState(tf.constant(0), x, scalar, zero, zero, zero, scalar, damping)

    def step(
        self, evaluate: Evaluate, x: Any, state: NewtonState
    ) -> tuple[Any, NewtonState, Evaluation]:
        """See `Optimizer.step`."""
        evaluation = evaluate(x)
        promised = inner(state.gradient, x - state.x)
        lower = is_lower(evaluation.loss, state.loss, promised, self.sufficient_decrease)
        state = tf.cond(
            (state.count == 0) | lower,
            lambda: self._take(evaluate, x, evaluation, state),
            lambda: self._refuse(evaluation, promised, state),
        )
        return project(state.x + state.length * state.direction, self.bounds), state, evaluation

    def result(self, x: Any, state: NewtonState) -> Any:
        """See `Optimizer.result`: the last point taken, which is the best one so far."""
        return state.x

    def rescale(self, x: Any, state: NewtonState, resize: Callable[[Any], Any]) -> NewtonState:
        """See `Optimizer.rescale`; only the damping, which has no unit, carries over."""
        return self.init(x)._replace(damping=state.damping)

    def _take(
        self, evaluate: Evaluate, x: Any, evaluation: Evaluation, state: NewtonState
    ) -> NewtonState:
        """Fit a new parabola at ``x`` and look for its minimum."""
        gradient = evaluation.gradient
        damping = self._adapt(x, evaluation, state)
        free = free_variables(x, gradient, self.bounds)
        direction, hessian_p = self._solve(evaluate, x, free * gradient, free, damping)
        return NewtonState(
            state.count + 1,
            x,
            evaluation.loss,
            gradient,
            direction,
            hessian_p,
            tf.ones_like(evaluation.loss),
            damping,
        )

    def _refuse(self, evaluation: Evaluation, promised: Any, state: NewtonState) -> NewtonState:
        """Come nearer on the same line, and trust the next parabola less."""
        factor = fit_parabola(evaluation.loss, state.loss, promised, 0.1, 0.5)
        return state._replace(length=state.length * factor, damping=_raise(state.damping))

    def _adapt(self, x: Any, evaluation: Evaluation, state: NewtonState) -> Any:
        """λ by the ratio of the decrease that came to the one that was predicted."""
        shift = x - state.x
        predicted = -inner(state.gradient + 0.5 * state.length * state.hessian_p, shift)
        ratio = tf.math.divide_no_nan(state.loss - evaluation.loss, predicted)
        trusted = (ratio > 0.75) & (state.length == 1)
        doubted = ratio < 0.25
        damping = tf.where(trusted, state.damping / 4, state.damping)
        damping = tf.where(doubted, _raise(state.damping), damping)
        return tf.where(state.count == 0, state.damping, damping)

    def _solve(
        self, evaluate: Evaluate, x: Any, gradient: Any, free: Any, damping: Any
    ) -> tuple[Any, Any]:
        """Truncated conjugate gradients: p with (H + λI)·p ≈ −g, and H·p."""
        zero = tf.zeros_like(x)
        enough = self.tolerance**2 * inner(gradient, gradient)
        longest = tf.reduce_max(tf.abs(gradient))
        downhill = tf.math.divide_no_nan(tf.cast(self.first_step, x.dtype), longest)

        def advance(i: Any, p: Any, hessian_p: Any, r: Any, d: Any, shift: Any, _: Any) -> Any:
            product = free * multiply_hessian(evaluate, x, d)
            curvature, square, error = inner(d, product), inner(d, d), inner(r, r)
            shift = tf.where(i == 0, damping * tf.abs(curvature) / square, shift)
            damped = curvature + shift * square
            blind = tf.where(i == 0, downhill, tf.zeros_like(downhill))
            alpha = tf.where(damped > 0, tf.math.divide_no_nan(error, damped), blind)
            r = r + alpha * (product + shift * d)
            remaining = inner(r, r)
            following = -r + remaining / error * d
            more = (damped > 0) & (remaining > enough)
            return i + 1, p + alpha * d, hessian_p + alpha * product, r, following, shift, more

        start = (tf.constant(0), zero, zero, gradient, -gradient, tf.zeros([], x.dtype))
        _, p, hessian_p, *_ = tf.while_loop(
            lambda *state: state[-1],
            advance,
            (*start, longest > 0),
            maximum_iterations=self.products,
        )
        return p, hessian_p


def _raise(damping: Any) -> Any:
    """More damping; from none at all it would never grow."""
    return tf.maximum(4 * damping, tf.cast(1e-6, damping.dtype))
