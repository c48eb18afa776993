"""Style transfer as the TensorFlow tutorial has it: one compiled step on a variable."""

from collections.abc import Callable

import keras
import tensorflow as tf

from benchmarks.networks import load_network

CONTENT = "block4_conv2"
STYLE = tuple(f"block{block}_conv1" for block in range(1, 6))


def measure_gram(maps: tf.Tensor) -> tf.Tensor:
    """Give the Gram matrix of a feature map, per position."""
    products = tf.linalg.einsum("bijc,bijd->bcd", maps, maps)
    return products / tf.cast(tf.shape(maps)[1] * tf.shape(maps)[2], tf.float32)


def make_step(size: int, network: str) -> Callable[[], float]:
    """Build the loop at one size; what it returns takes one step and gives the loss."""
    extract = load_network(network).tap([CONTENT, *STYLE])
    content = tf.random.stateless_uniform([1, size, size, 3], [0, 1])
    seen = extract(tf.random.stateless_uniform([1, size, size, 3], [0, 2]))
    styles = {name: measure_gram(seen[name]) for name in STYLE}
    target = extract(content)[CONTENT]
    image = tf.Variable(content)
    optimizer = keras.optimizers.Adam(0.02, beta_1=0.99, epsilon=0.1)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            maps = extract(image)
            loss = tf.reduce_mean((maps[CONTENT] - target) ** 2) + 0.01 * tf.add_n(
                [tf.reduce_mean((measure_gram(maps[name]) - styles[name]) ** 2) for name in STYLE]
            )
            loss += 1e-6 * tf.reduce_sum(tf.image.total_variation(image))
        optimizer.apply_gradients([(tape.gradient(loss, image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))
        return loss

    return lambda: float(step())
