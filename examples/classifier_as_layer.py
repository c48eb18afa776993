"""Use a saved classifier as a layer of your own Keras model; nstk is not needed.

    python examples/classifier_as_layer.py CLASSIFIER.keras DATA EPOCHS

DATA is a folder with one subfolder of images per class. Its classes may differ from those of the
classifier.
"""

import json
import sys
import zipfile

import keras
import tensorflow as tf


def load_classes(path: str) -> list[str]:
    """Return the class names of the classifier, in the order of its outputs."""
    card = json.loads(zipfile.ZipFile(path).read("nstk.json"))
    return [str(name) for name in card["classes"]]


def build_model(classifier: keras.Model, classes: int) -> keras.Model:
    """Build a model on the features and the probabilities of the frozen classifier."""
    classifier.trainable = False
    features = classifier.get_layer("head").input
    outputs = [features, classifier.outputs[0]]
    layer = keras.Model(classifier.inputs[0], outputs, name="classifier")
    images = keras.Input((None, None, 3), dtype="uint8")
    features, probabilities = layer(images, training=False)
    hidden = keras.layers.Dense(16, activation="relu")(features)
    merged = keras.layers.Concatenate()([hidden, probabilities])
    model = keras.Model(images, keras.layers.Dense(classes, activation="softmax")(merged))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(path: str, data: str, epochs: str = "3") -> keras.Model:
    """Train the model on a folder, and check that the classifier inside is unchanged.

    Args:
        path: File that `nstk finetune` saved.
        data: Folder with one subfolder of images per class.
        epochs: Number of passes over the data.
    """
    classifier = keras.models.load_model(path)
    images = keras.utils.image_dataset_from_directory(data, image_size=(96, 96), batch_size=16)
    batch = tf.cast(next(iter(images))[0], tf.uint8)
    before = classifier(batch)
    model = build_model(classifier, len(images.class_names))
    model.fit(images.map(lambda x, y: (tf.cast(x, tf.uint8), y)), epochs=int(epochs), verbose=2)
    change = float(tf.reduce_max(tf.abs(classifier(batch) - before)))
    print(f"{load_classes(path)} and {images.class_names}: the layer changed by {change}")
    return model


if __name__ == "__main__":
    main(*sys.argv[1:])
