"""Limited-memory BFGS (Liu and Nocedal 1989), one evaluation a step.

The line search is spread over the steps: a step evaluates its trial point and either accepts it
and proposes the next one along a new direction, or rejects it and proposes a nearer one along the
old direction. A step thus costs as much as that of any other optimizer, and the compiled graph
contains the network once instead of twice.
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

LEVEL_WEIGHT = 0.25
"""Weight of a pyramid level relative to the next finer one, which has four times as many cells: a
uniform change then gains equally from each level."""


class LBFGSState(NamedTuple):
    """The state of L-BFGS; k counts the accepted points."""

    count: Tensor
    x: Tensor
    loss: Tensor
    gradient: Tensor
    direction: Tensor
    length: Tensor
    s_history: Tensor
    y_history: Tensor
    curvatures: Tensor


def precondition(gradient: Tensor, levels: int) -> Tensor:
    """P·g, a metric for images in which neighboring pixels move together.

    P = I + w·U·P′·Uᵀ: U enlarges an image twice, P′ has one level less, and w is `LEVEL_WEIGHT`.
    A change common to many pixels affects a loss of feature maps little for each of them, so
    plain gradient descent makes it last. In P it counts once for every level; the finest detail
    counts once. P is symmetric and positive definite, as a metric has to be: U is bilinear and Uᵀ
    its exact transpose.
    """
    if levels == 1 or gradient.shape.rank != 3:
        return gradient
    height, width, channels = tf.unstack(tf.shape(gradient))
    half = tf.raw_ops.ResizeBilinearGrad(
        grads=tf.cast(gradient[tf.newaxis], tf.float32),
        original_image=tf.zeros([1, (height + 1) // 2, (width + 1) // 2, channels]),
        half_pixel_centers=True,
    )
    coarse = precondition(half[0], levels - 1)
    enlarged = tf.image.resize(coarse, [height, width], method="bilinear")
    return gradient + LEVEL_WEIGHT * tf.cast(enlarged, gradient.dtype)


def apply_inverse_hessian(
    gradient: Tensor, s_history: Tensor, y_history: Tensor, curvatures: Tensor, levels: int = 1
) -> Tensor:
    """Return H_k·g by the two-loop recursion (Nocedal and Wright 2006, alg. 7.4).

    It starts from H_k^0 = γ_k·P, with γ_k chosen so that H_k^0 fits the newest pair. If P is the
    identity, this is the usual γ_k·I.
    """
    inverses = tf.unstack(tf.math.divide_no_nan(tf.ones_like(curvatures), curvatures))  # ρ_i
    pairs = list(zip(tf.unstack(s_history), tf.unstack(y_history), inverses, strict=True))
    q, alphas = gradient, []
    for s, y, inverse in reversed(pairs):
        alphas.append(inverse * inner(s, q))
        q -= alphas[-1] * y
    newest = tf.math.divide_no_nan(
        curvatures[-1], inner(y_history[-1], precondition(y_history[-1], levels))
    )
    r = tf.where(newest > 0, newest, tf.ones_like(newest)) * precondition(q, levels)
    for (s, y, inverse), alpha in zip(pairs, reversed(alphas), strict=True):
        r += s * (alpha - inverse * inner(y, r))
    return r


@dataclass(frozen=True)
class LBFGS:
    """A quasi-Newton method that estimates curvature from its last few steps.

    Attributes:
        memory: m, the number of pairs; 8·m bytes for every float32 coordinate.
        first_step: Largest change of a coordinate in the first step, in units of x.
        sufficient_decrease: c₁ of the Armijo condition.
        bounds: Lower and upper bound of every coordinate, or None. Trial points are projected
            onto the bounds, and the direction leaves out coordinates that a bound blocks.
        levels: Levels of the initial metric for images, see `precondition`; 1 suits x of any
            shape.
    """

    memory: int = 10
    first_step: float = 0.05
    sufficient_decrease: float = 1e-4
    bounds: Bounds | None = None
    levels: int = 1

    def init(self, x: Tensor) -> LBFGSState:
        zero, pairs = tf.zeros_like(x), tf.zeros([self.memory, *x.shape], x.dtype)
        scalar = tf.zeros([], x.dtype)
        return LBFGSState(
            tf.constant(0),
            x,
            scalar,
            zero,
            zero,
            scalar,
            pairs,
            pairs,
            tf.zeros([self.memory], x.dtype),
        )

    def step(
        self, evaluate: Evaluate, x: Tensor, state: LBFGSState
    ) -> tuple[Tensor, LBFGSState, Evaluation]:
        evaluation = evaluate(x)
        directional_derivative = inner(state.gradient, x - state.x)
        lower = is_lower(
            evaluation.loss, state.loss, directional_derivative, self.sufficient_decrease
        )
        state = tf.cond(
            (state.count == 0) | lower,
            lambda: self._accept(x, evaluation, state),
            lambda: self._reject(evaluation, directional_derivative, state),
        )
        return project(state.x + state.length * state.direction, self.bounds), state, evaluation

    def result(self, x: Tensor, state: LBFGSState) -> Tensor:
        """See `Optimizer.result`: the last accepted point, which is the best so far."""
        return state.x

    def rescale(
        self, x: Tensor, state: LBFGSState, resize: Callable[[Tensor], Tensor]
    ) -> LBFGSState:
        """See `Optimizer.rescale`; curvature does not carry over to another grid."""
        return self.init(x)

    def _accept(self, x: Tensor, evaluation: Evaluation, state: LBFGSState) -> LBFGSState:
        gradient = evaluation.gradient
        s, y = x - state.x, gradient - state.gradient
        curvature = inner(s, y)
        # A pair without positive curvature would make the next direction point uphill. The
        # threshold is on the cosine, which does not depend on the units of x and of the loss.
        keep = (state.count > 0) & (curvature > 1e-10 * tf.norm(s) * tf.norm(y))
        s_history, y_history, curvatures = (
            tf.where(keep, tf.concat([old[1:], new[tf.newaxis]], axis=0), old)
            for old, new in (
                (state.s_history, s),
                (state.y_history, y),
                (state.curvatures, curvature),
            )
        )
        free = free_variables(x, gradient, self.bounds)
        pairs = (s_history, y_history, curvatures)
        newton = -free * apply_inverse_hessian(free * gradient, *pairs, self.levels)
        downhill = inner(newton, gradient) < 0
        direction = tf.where(downhill, newton, -free * gradient)
        known = (curvatures[-1] > 0) & downhill
        largest = tf.reduce_max(tf.abs(direction))
        return LBFGSState(
            state.count + 1,
            x,
            evaluation.loss,
            gradient,
            direction,
            tf.where(
                known,
                tf.ones_like(largest),
                tf.math.divide_no_nan(tf.cast(self.first_step, x.dtype), largest),
            ),
            *pairs,
        )

    def _reject(
        self, evaluation: Evaluation, directional_derivative: Tensor, state: LBFGSState
    ) -> LBFGSState:
        factor = fit_parabola(evaluation.loss, state.loss, directional_derivative, 0.1, 0.5)
        return state._replace(length=state.length * factor)
