"""Style transfer as in the TensorFlow tutorial: one compiled step on a variable."""

from collections.abc import Callable

import keras
import tensorflow as tf

from benchmarks.networks import load_network

CONTENT_LAYER = "block4_conv2"
STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))


def gram_matrix(maps: tf.Tensor) -> tf.Tensor:
    """Return the Gram matrix of a feature map, divided by the number of positions."""
    products = tf.linalg.einsum("bijc,bijd->bcd", maps, maps)
    return products / tf.cast(tf.shape(maps)[1] * tf.shape(maps)[2], tf.float32)


def make_step(size: int, network: str) -> Callable[[], float]:
    """Return a function that takes one step at one image size and returns the loss."""
    extract = load_network(network).tap([CONTENT_LAYER, *STYLE_LAYERS])
    content = tf.random.stateless_uniform([1, size, size, 3], [0, 1])
    style_maps = extract(tf.random.stateless_uniform([1, size, size, 3], [0, 2]))
    styles = {name: gram_matrix(style_maps[name]) for name in STYLE_LAYERS}
    target = extract(content)[CONTENT_LAYER]
    image = tf.Variable(content)
    optimizer = keras.optimizers.Adam(0.02, beta_1=0.99, epsilon=0.1)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            maps = extract(image)
            loss = tf.reduce_mean((maps[CONTENT_LAYER] - target) ** 2) + 0.01 * tf.add_n(
                [
                    tf.reduce_mean((gram_matrix(maps[name]) - styles[name]) ** 2)
                    for name in STYLE_LAYERS
                ]
            )
            loss += 1e-6 * tf.reduce_sum(tf.image.total_variation(image))
        optimizer.apply_gradients([(tape.gradient(loss, image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))
        return loss

    return lambda: float(step())
