"""Limited-memory BFGS (Liu and Nocedal 1989), one evaluation a step.

The line search is spread over the steps: a step evaluates the trial point it is given, either
takes it and proposes the next one along a new direction, or refuses it and proposes a nearer one
along the old direction. So a step costs what a step of any other optimizer costs, and the network
stands once, not twice, in the compiled graph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from nstk.optimizers.bounds import Bounds, free_variables, project
from nstk.optimizers.line_search import fit_parabola, inner, is_lower
from nstk.optimizers.protocol import Evaluate, Evaluation
from nstk.optimizers.pyramid import spread


class LBFGSState(NamedTuple):
    """The state of L-BFGS; k counts the points that were taken.

    Attributes:
        count: k, int32; 0 before the first evaluation.
        x: x_k, the last point taken.
        loss: f(x_k).
        gradient: ∇f(x_k).
        direction: p_k, where the trial points lie: x_k + length·p_k.
        length: How far along it the present trial point is.
        shifts: s_i = x_{i+1} − x_i, newest last, shape ``(memory, *x.shape)``.
        turns: y_i = ∇f(x_{i+1}) − ∇f(x_i), likewise.
        curvatures: ⟨s_i, y_i⟩, shape ``(memory,)``; 0 where there is no pair yet.
    """

    count: Any
    x: Any
    loss: Any
    gradient: Any
    direction: Any
    length: Any
    s_history: Any
    y_history: Any
    curvatures: Any


def apply_inverse_hessian(
    gradient: Any, s_history: Any, y_history: Any, curvatures: Any, levels: int = 1
) -> Any:
    """The two-loop recursion: H_k·g from the remembered pairs (Nocedal and Wright, alg. 7.4).

    It begins with H_k^0 = γ_k·P, where γ_k is such that H_k^0 has the size of the newest pair: the
    usual γ_k·I where P is the identity.

    Args:
        gradient: g, of the shape of x.
        shifts: s_i, newest last.
        turns: y_i, newest last.
        curvatures: ⟨s_i, y_i⟩; a pair with 0 is not there.
        levels: Of the pyramid that P sums over, see `spread`; 1 is the identity.
    """
    inverses = tf.unstack(tf.math.divide_no_nan(tf.ones_like(curvatures), curvatures))  # ρ_i
    pairs = list(zip(tf.unstack(s_history), tf.unstack(y_history), inverses, strict=True))
    q, alphas = gradient, []
    for shift, turn, inverse in reversed(pairs):
        alphas.append(inverse * inner(shift, q))
        q -= alphas[-1] * turn
    newest = tf.math.divide_no_nan(
        curvatures[-1], inner(y_history[-1], spread(y_history[-1], levels))
    )
    r = tf.where(newest > 0, newest, tf.ones_like(newest)) * spread(q, levels)
    for (shift, turn, inverse), alpha in zip(pairs, reversed(alphas), strict=True):
        r += shift * (alpha - inverse * inner(turn, r))
    return r


@dataclass(frozen=True)
class LBFGS:
    """Quasi-Newton descent that learns the curvature from its last few steps.

    Attributes:
        memory: m, how many pairs are remembered; 8·m bytes for every float32 coordinate.
        first_step: Largest change of a coordinate in the first step, in units of x.
        sufficient_decrease: c₁ of the Armijo condition.
        bounds: The box that x stays in, or None. Trial points are projected into it, and
            coordinates that the descent pushes against a wall are left out of the direction.
        levels: Of the pyramid by which neighbors of an image move together before any pair is
            known and in whatever the pairs do not say, see `spread`; 1 is for x of any shape.
    """

    memory: int = 10
    first_step: float = 0.05
    sufficient_decrease: float = 1e-4
    bounds: Bounds | None = None
    levels: int = 1

    def init(self, x: Any) -> LBFGSState:
        """See `Optimizer.init`."""
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
        self, evaluate: Evaluate, x: Any, state: LBFGSState
    ) -> tuple[Any, LBFGSState, Evaluation]:
        """See `Optimizer.step`."""
        evaluation = evaluate(x)
        promised = inner(state.gradient, x - state.x)
        lower = is_lower(evaluation.loss, state.loss, promised, self.sufficient_decrease)
        state = tf.cond(
            (state.count == 0) | lower,
            lambda: self._take(x, evaluation, state),
            lambda: self._refuse(evaluation, promised, state),
        )
        return project(state.x + state.length * state.direction, self.bounds), state, evaluation

    def result(self, x: Any, state: LBFGSState) -> Any:
        """See `Optimizer.result`: the last point taken, which is the best one so far."""
        return state.x

    def rescale(self, x: Any, state: LBFGSState, resize: Callable[[Any], Any]) -> LBFGSState:
        """See `Optimizer.rescale`; curvature does not carry over to another grid."""
        return self.init(x)

    def _take(self, x: Any, evaluation: Evaluation, state: LBFGSState) -> LBFGSState:
        """Remember the step to ``x``, then look along a new direction."""
        gradient = evaluation.gradient
        shift, turn = x - state.x, gradient - state.gradient
        curvature = inner(shift, turn)
        # A pair without positive curvature would make the next direction point uphill. The
        # threshold is on their cosine, which is the same in all units of x and of the loss.
        keep = (state.count > 0) & (curvature > 1e-10 * tf.norm(shift) * tf.norm(turn))
        s_history, y_history, curvatures = (
            tf.where(keep, tf.concat([old[1:], new[tf.newaxis]], axis=0), old)
            for old, new in (
                (state.s_history, shift),
                (state.y_history, turn),
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

    def _refuse(self, evaluation: Evaluation, promised: Any, state: LBFGSState) -> LBFGSState:
        """Come nearer: to the minimum of the parabola through what is known of this line."""
        factor = fit_parabola(evaluation.loss, state.loss, promised, 0.1, 0.5)
        return state._replace(length=state.length * factor)
