"""Use the frozen network inside your own Keras and TensorFlow code.

    python examples/tap_in_your_model.py DATA EPOCHS

`embed` (one vector per image) and `tap` (feature maps by name) are plain Keras models that take
images in [0, 1] and do the network's preprocessing themselves.
"""

import sys

import keras
import tensorflow as tf

import nstk


def build_classifier(backbone: nstk.Backbone, classes: int) -> keras.Model:
    """Build a functional model with the frozen embedding as one of its layers."""
    images = keras.Input((None, None, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(images)
    vectors = backbone.embed(scaled, training=False)
    hidden = keras.layers.Dense(32, activation="relu")(vectors)
    model = keras.Model(images, keras.layers.Dense(classes, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def perceptual_distance(backbone: nstk.Backbone, ours: tf.Tensor, theirs: tf.Tensor) -> tf.Tensor:
    """Compute Σ mean |F_l(a) − F_l(b)|² over three taps: a loss for a generator of your own.

    Args:
        backbone: Frozen network.
        ours: Images ``(N, H, W, 3)`` in [0, 1]; differentiable.
        theirs: Images of the same shape.
    """
    tap = backbone.tap(["block1_conv2", "block2_conv2", "block3_conv3"])
    maps, targets = tap(ours), tap(theirs)
    return tf.add_n([tf.reduce_mean((maps[name] - targets[name]) ** 2) for name in maps])


def main(data: str, epochs: str = "3") -> None:
    """Train the model on a folder, then compute a gradient of the distance."""
    images = keras.utils.image_dataset_from_directory(data, image_size=(64, 64), batch_size=16)
    backbone = nstk.load_backbone("compact")
    model = build_classifier(backbone, len(images.class_names))
    model.fit(images.map(lambda x, y: (tf.cast(x, tf.uint8), y)), epochs=int(epochs), verbose=2)

    batch = next(iter(images))[0] / 255
    noisy = tf.Variable(tf.clip_by_value(batch + tf.random.normal(batch.shape, 0, 0.1), 0, 1))
    with tf.GradientTape() as tape:
        distance = perceptual_distance(backbone, noisy, batch)
    print(f"distance {distance:.4f}, gradient {tf.norm(tape.gradient(distance, noisy)):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
