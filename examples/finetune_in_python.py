"""Make a classifier from a folder of images, and use it without nstk.

python examples/finetune_in_python.py DATA IMAGE OUTPUT.keras
"""

import json
import sys
import zipfile

import keras
import numpy as np
from PIL import Image

import nstk


def main(data: str, image: str, output: str) -> str:
    """Finetune, save, and label one image twice: with nstk and with plain Keras.

    Args:
        data: A folder with one folder of images per class.
        image: An image to label.
        output: Where to write the classifier.

    Returns:
        The label.
    """
    made = nstk.finetune(data)
    low, high = made.accuracy_interval
    print(f"{made.accuracy:.1%} ({low:.1%} to {high:.1%}) on {made.evaluation.images} images")
    for score in made.evaluation.per_class:
        print(f"  {score.name}: {score.support} images, recall {score.recall or 0:.1%}")
    made.classifier.save(output)

    with_nstk = nstk.predict(nstk.load_classifier(output), image).predictions[0]
    print(f"{image} shows {with_nstk.label}, says nstk ({with_nstk.probability:.1%})")

    # From here on nothing is needed but Keras: the file is a plain model of uint8 images.
    model = keras.models.load_model(output)
    classes = json.loads(zipfile.ZipFile(output).read("nstk.json"))["classes"]
    pixels = np.asarray(Image.open(image).convert("RGB"))
    probabilities = model(pixels[np.newaxis]).numpy()[0]
    label: str = classes[probabilities.argmax()]
    print(f"{image} shows {label}, says Keras ({probabilities.max():.1%})")
    return label


if __name__ == "__main__":
    main(*sys.argv[1:])
