"""Smooth colors: an optimizer whose images have no color noise at the scale of single pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from nstk.images.color_spaces import LUMA
from nstk.optimizers.protocol import Evaluate, Evaluation, Optimizer
from nstk.types import OptimizerState, Tensor


def smooth_chroma(image: Tensor) -> Tensor:
    """Blur the chroma of an image by the binomial filter ¼·[1 2 1] along both axes.

    Luma stays as it is (Rec. 601). At half the sampling rate, which no pixel pattern exceeds, the
    filter passes nothing; at a quarter of it, half of each axis.

    Args:
        image: ``(height, width, 3)``.
    """
    # Differences from green are exactly 0 in gray images, so these stay exactly as they are:
    # Adam would take even the gradient of a rounding error for a whole step.
    offset = image - image[..., 1:2]
    chroma = offset - tf.tensordot(offset, tf.constant(LUMA, image.dtype), 1)[..., tf.newaxis]
    return image + (_blur(_blur(chroma, 0), 1) - chroma)


def _blur(image: Tensor, axis: int) -> Tensor:
    """¼·[1 2 1] along an axis; the border is mirrored."""
    padded = tf.pad(image, [[int(axis == each)] * 2 for each in range(3)], "SYMMETRIC")
    begin = [2 * int(axis == each) for each in range(3)]
    before = tf.slice(padded, [0, 0, 0], tf.shape(image))
    after = tf.slice(padded, begin, tf.shape(image))
    return 0.5 * image + 0.25 * (before + after)


@dataclass(frozen=True)
class SmoothColors:
    """Run an optimizer on x ↦ f(P x), where P blurs the chroma; the result is P x.

    Feature statistics hardly depend on the chroma of single pixels, so gradients leave noise
    there: colored fringes that no painting has. P takes this freedom away. The gradient is
    Pᵀ ∇f(P x).

    Attributes:
        optimizer: The optimizer of x.
    """

    optimizer: Optimizer

    def init(self, x: Tensor) -> OptimizerState:
        return self.optimizer.init(x)

    def step(
        self, evaluate: Evaluate, x: Tensor, state: OptimizerState
    ) -> tuple[Tensor, OptimizerState, Evaluation]:
        def evaluate_smoothed(x: Tensor) -> Evaluation:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                smoothed = smooth_chroma(x)
            evaluation = evaluate(smoothed)
            gradient = tape.gradient(smoothed, x, output_gradients=evaluation.gradient)
            return evaluation._replace(gradient=gradient)

        return self.optimizer.step(evaluate_smoothed, x, state)

    def result(self, x: Tensor, state: OptimizerState) -> Tensor:
        return smooth_chroma(self.optimizer.result(x, state))

    def rescale(
        self, x: Tensor, state: OptimizerState, resize: Callable[[Tensor], Tensor]
    ) -> OptimizerState:
        return self.optimizer.rescale(x, state, resize)
