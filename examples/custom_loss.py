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
from nstk.stylization.layers import choose_content_layer, choose_style_layers


def read(path: str, size: int) -> nstk.Image:
    """Load an image and resize its longer side to ``size``."""
    pixels = nstk.load_image(path).pixels
    return resize_image(pixels, *fit_size(*pixels.shape[:2], size))


def main(content: str, style: str, output: str, size: str = "256", steps: str = "100") -> None:
    """Paint ``content`` in the style of ``style``, with more red."""
    backbone = nstk.load_backbone("compact").prepared(edge="replicate")
    start, painting = read(content, int(size)), read(style, int(size))
    layers = {choose_content_layer(backbone): 1.0}, choose_style_layers(backbone)
    weights = ObjectiveWeights(0.3, 1.0, 0.1, *layers)
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
