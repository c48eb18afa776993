"""Add a loss term of your own in an optimization loop of your own: style transfer, but redder.

python examples/custom_loss.py CONTENT STYLE OUTPUT [SIZE] [STEPS]
"""

import sys

import numpy as np
import tensorflow as tf

import nstk
from nstk.images import fit_size, resize_image
from nstk.losses import ObjectiveWeights, StyleObjective
from nstk.optimizers import LBFGS, Evaluation


def read(path: str, size: int) -> nstk.Image:
    """Load an image and resize its longer side to ``size``."""
    pixels = nstk.load_image(path).pixels
    return resize_image(pixels, *fit_size(*pixels.shape[:2], size))


def main(content: str, style: str, output: str, size: str = "256", steps: str = "100") -> None:
    """Paint ``content`` in the style of ``style``, with more red."""
    backbone = nstk.load_backbone("compact").prepared(edge="replicate")
    start, painting = read(content, int(size)), read(style, int(size))
    style_layers = [name for name in backbone.taps if name.endswith("_conv1")]
    weights = ObjectiveWeights(
        content=0.3,
        style=1.0,
        tv=0.1,
        content_layers={"block4_conv1": 1.0},
        style_layers=dict.fromkeys(style_layers, 1 / len(style_layers)),
    )
    objective = StyleObjective.from_images(backbone, start, [painting], weights)

    def evaluate(image: tf.Tensor) -> Evaluation:
        with tf.GradientTape() as tape:
            tape.watch(image)
            red = 0.2 * tf.reduce_mean(tf.square(1 - image[..., 0]))
        loss, gradient, terms = objective.evaluate(image)
        return Evaluation(loss + red, gradient + tape.gradient(red, image), {**terms, "red": red})

    optimizer = LBFGS(bounds=(0.0, 1.0))
    step = tf.function(lambda x, state: optimizer.step(evaluate, x, state))
    x = tf.constant(start)
    state = optimizer.init(x)
    for _ in range(int(steps)):
        x, state, evaluation = step(x, state)
    print({name: round(float(term), 4) for name, term in evaluation.terms.items()})
    nstk.save_image(output, np.asarray(optimizer.result(x, state)))


if __name__ == "__main__":
    main(*sys.argv[1:])
