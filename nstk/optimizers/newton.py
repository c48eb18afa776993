"""Newton's method without a matrix: conjugate gradients on Hessian–vector products.

In one dimension this is the textbook rule x := x − f′(x) / f″(x): go to the minimum of the
parabola that touches f at x. In n dimensions the parabola is

    m(p) = f(x) + ⟨g, p⟩ + ½·⟨p, H·p⟩,    g = ∇f(x),  H = ∇²f(x),

and its minimum is p = −H⁻¹·g. The Hessian of an image would have 10¹¹ entries and more, but H·p
is just the derivative of the gradient along p. It costs a few gradients, and conjugate gradients
need nothing else (Nocedal and Wright 2006, sections 7.1 and 4.3).

The parabola fits only near x, and with negative curvature it has no minimum. Therefore

- (H + λ·I)·p = −g is solved; λ falls while the parabola predicts well and rises when it does not
  (Levenberg 1944, Marquardt 1963);
- the solver stops at the first direction of negative curvature (Steihaug 1983); what it has found
  so far still leads downhill;
- it stops early in any case: a few products achieve most of the gain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from nstk.optimizers.protocol import (
    Bounds,
    Evaluate,
    Evaluation,
    fit_parabola,
    free_variables,
    inner,
    is_lower,
    project,
)
from nstk.types import Tensor


class NewtonState(NamedTuple):
    """The parabola at the last accepted point, and the length to the trial point."""

    count: Tensor
    x: Tensor
    loss: Tensor
    gradient: Tensor
    direction: Tensor
    hessian_p: Tensor
    length: Tensor
    damping: Tensor


def multiply_hessian(evaluate: Evaluate, x: Tensor, direction: Tensor) -> Tensor:
    """Return H·v, the derivative of the gradient along v (Pearlmutter 1994).

    Forward-over-reverse differentiation is as exact as the gradient itself and costs two to three
    evaluations.

    Args:
        evaluate: The function, whose gradient must itself be differentiable.
        x: The point, a tensor.
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

    A step is one evaluation and, if the point is accepted, up to ``products`` Hessian–vector
    products of two to three evaluations each.

    Attributes:
        products: Most Hessian–vector products of a step.
        tolerance: The equation counts as solved when its residual is this fraction of ‖g‖.
        damping: Initial λ, relative to the curvature along the gradient, ⟨g, Hg⟩ / ⟨g, g⟩.
        first_step: Largest change of a coordinate, in units of x, if the curvature along the
            gradient itself is negative and thus gives no step length.
        sufficient_decrease: c₁ of the Armijo condition.
        bounds: Lower and upper bound of every coordinate, or None. Trial points are projected
            onto the bounds, and the equation leaves out coordinates that a bound blocks.
    """

    products: int = 5
    tolerance: float = 0.01
    damping: float = 0.1
    first_step: float = 0.05
    sufficient_decrease: float = 1e-4
    bounds: Bounds | None = None

    def init(self, x: Tensor) -> NewtonState:
        zero, scalar = tf.zeros_like(x), tf.zeros([], x.dtype)
        damping = tf.constant(self.damping, x.dtype)
        return NewtonState(tf.constant(0), x, scalar, zero, zero, zero, scalar, damping)

    def step(
        self, evaluate: Evaluate, x: Tensor, state: NewtonState
    ) -> tuple[Tensor, NewtonState, Evaluation]:
        evaluation = evaluate(x)
        directional_derivative = inner(state.gradient, x - state.x)
        lower = is_lower(
            evaluation.loss, state.loss, directional_derivative, self.sufficient_decrease
        )
        state = tf.cond(
            (state.count == 0) | lower,
            lambda: self._accept(evaluate, x, evaluation, state),
            lambda: self._reject(evaluation, directional_derivative, state),
        )
        return project(state.x + state.length * state.direction, self.bounds), state, evaluation

    def result(self, x: Tensor, state: NewtonState) -> Tensor:
        """See `Optimizer.result`: the last accepted point, which is the best so far."""
        return state.x

    def rescale(
        self, x: Tensor, state: NewtonState, resize: Callable[[Tensor], Tensor]
    ) -> NewtonState:
        """See `Optimizer.rescale`; only the damping, which has no unit, carries over."""
        return self.init(x)._replace(damping=state.damping)

    def _accept(
        self, evaluate: Evaluate, x: Tensor, evaluation: Evaluation, state: NewtonState
    ) -> NewtonState:
        gradient = evaluation.gradient
        damping = self._adapt_damping(x, evaluation, state)
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

    def _reject(
        self, evaluation: Evaluation, directional_derivative: Tensor, state: NewtonState
    ) -> NewtonState:
        factor = fit_parabola(evaluation.loss, state.loss, directional_derivative, 0.1, 0.5)
        return state._replace(length=state.length * factor, damping=_increase(state.damping))

    def _adapt_damping(self, x: Tensor, evaluation: Evaluation, state: NewtonState) -> Tensor:
        """λ by the ratio of the actual to the predicted decrease."""
        shift = x - state.x
        predicted = -inner(state.gradient + 0.5 * state.length * state.hessian_p, shift)
        ratio = tf.math.divide_no_nan(state.loss - evaluation.loss, predicted)
        trusted = (ratio > 0.75) & (state.length == 1)
        doubted = ratio < 0.25
        damping = tf.where(trusted, state.damping / 4, state.damping)
        damping = tf.where(doubted, _increase(state.damping), damping)
        return tf.where(state.count == 0, state.damping, damping)

    def _solve(
        self, evaluate: Evaluate, x: Tensor, gradient: Tensor, free: Tensor, damping: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Truncated conjugate gradients: p with (H + λI)·p ≈ −g, and H·p."""
        zero = tf.zeros_like(x)
        enough = self.tolerance**2 * inner(gradient, gradient)
        longest = tf.reduce_max(tf.abs(gradient))
        downhill = tf.math.divide_no_nan(tf.cast(self.first_step, x.dtype), longest)

        def advance(
            i: Tensor, p: Tensor, hessian_p: Tensor, r: Tensor, d: Tensor, shift: Tensor, _: Tensor
        ) -> Tensor:
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


def _increase(damping: Tensor) -> Tensor:
    """Four times the damping, and at least 1e-6: from 0 it would never grow."""
    return tf.maximum(4 * damping, tf.cast(1e-6, damping.dtype))
