"""A loss term of one's own, in a loop of one's own: the style, and as much red as it bears.

python examples/custom_loss.py CONTENT STYLE OUTPUT [SIZE] [STEPS]
"""

import sys

import numpy as np
import tensorflow as tf

import nstk
from nstk.images.image import fit_size, resize_picture
from nstk.optimizers import LBFGS, Evaluation
from nstk.stylization.layers import choose_content_layer, choose_style_layers
from nstk.stylization.objective import ObjectiveWeights, StyleObjective


def read(path: str, size: int) -> nstk.Picture:
    """A picture whose longer side is ``size``."""
    pixels = nstk.load_picture(path).pixels
    return resize_picture(pixels, *fit_size(*pixels.shape[:2], size))


def main(content: str, style: str, output: str, size: str = "256", steps: str = "100") -> None:
    """Paint ``content`` like ``style``, and redder."""
    backbone = nstk.load_backbone("compact").prepared(edge="replicate")
    start, painting = read(content, int(size)), read(style, int(size))
    layers = {choose_content_layer(backbone): 1.0}, choose_style_layers(backbone)
    weights = ObjectiveWeights(0.3, 1.0, 0.1, *layers)
    objective = StyleObjective.toward(backbone, start, [painting], weights)

    def evaluate(picture: tf.Tensor) -> Evaluation:
        with tf.GradientTape() as tape:
            tape.watch(picture)
            red = 0.2 * tf.reduce_mean(tf.square(1 - picture[..., 0]))
        loss, gradient, terms = objective.evaluate(picture)
        return Evaluation(loss + red, gradient + tape.gradient(red, picture), {**terms, "red": red})

    minimizer = LBFGS(bounds=(0.0, 1.0))
    step = tf.function(lambda x, state: minimizer.step(evaluate, x, state))
    x = tf.constant(start)
    state = minimizer.init(x)
    for _ in range(int(steps)):
        x, state, evaluation = step(x, state)
    print({name: round(float(term), 4) for name, term in evaluation.terms.items()})
    nstk.save_picture(output, np.asarray(minimizer.result(x, state)))


if __name__ == "__main__":
    main(*sys.argv[1:])
