"""A saved classifier as a layer of your own Keras model; nstk need not be installed.

    python examples/classifier_as_layer.py CLASSIFIER.keras DATA EPOCHS

DATA is a folder with one folder of images per class of your own; they need not be those of
the classifier.
"""

import json
import sys
import zipfile

import keras
import tensorflow as tf


def load_classes(path: str) -> list[str]:
    """Names of the classifier's classes, in the order of its outputs."""
    card = json.loads(zipfile.ZipFile(path).read("nstk.json"))
    return [str(name) for name in card["classes"]]


def build_model(classifier: keras.Model, classes: int) -> keras.Model:
    """Your own model: it sees what the classifier sees, and hears what the classifier says."""
    classifier.trainable = False
    seen = classifier.get_layer("head").input
    layer = keras.Model(classifier.inputs[0], [seen, classifier.outputs[0]], name="classifier")
    images = keras.Input((None, None, 3), dtype="uint8")
    features, opinion = layer(images, training=False)
    hidden = keras.layers.Dense(16, activation="relu")(features)
    together = keras.layers.Concatenate()([hidden, opinion])
    model = keras.Model(images, keras.layers.Dense(classes, activation="softmax")(together))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(path: str, data: str, epochs: str = "3") -> keras.Model:
    """Train the model above on a folder, and show that its layer has stayed what it was.

    Args:
        path: What `nstk finetune` saved.
        data: A folder with one folder of images per class.
        epochs: How often to go through it.
    """
    classifier = keras.models.load_model(path)
    images = keras.utils.image_dataset_from_directory(data, image_size=(96, 96), batch_size=16)
    batch = tf.cast(next(iter(images))[0], tf.uint8)
    before = classifier(batch)
    model = build_model(classifier, len(images.class_names))
    model.fit(images.map(lambda x, y: (tf.cast(x, tf.uint8), y)), epochs=int(epochs), verbose=2)
    moved = float(tf.reduce_max(tf.abs(classifier(batch) - before)))
    print(f"{load_classes(path)} and {images.class_names}: the layer moved by {moved}")
    return model


if __name__ == "__main__":
    main(*sys.argv[1:])
