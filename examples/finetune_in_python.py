"""Train a classifier on a folder of images, and use it without nstk.

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
    """Fine-tune, save, and classify one image twice: with nstk and with plain Keras.

    Args:
        data: Folder with one subfolder of images per class.
        image: Image to classify.
        output: File to write the classifier to.

    Returns:
        The predicted class.
    """
    result = nstk.finetune(data)
    low, high = result.accuracy_interval
    print(f"{result.accuracy:.1%} ({low:.1%} to {high:.1%}) on {result.evaluation.images} images")
    for score in result.evaluation.per_class:
        print(f"  {score.name}: {score.support} images, recall {score.recall or 0:.1%}")
    result.classifier.save(output)

    prediction = nstk.Classifier.load(output).predict(image).predictions[0]
    print(f"nstk: {image} shows {prediction.label} ({prediction.probability:.1%})")

    # From here on, only Keras is needed: the file is a plain model that takes uint8 images.
    model = keras.models.load_model(output)
    classes = json.loads(zipfile.ZipFile(output).read("nstk.json"))["classes"]
    pixels = np.asarray(Image.open(image).convert("RGB"))
    probabilities = model(pixels[np.newaxis]).numpy()[0]
    label: str = classes[probabilities.argmax()]
    print(f"Keras: {image} shows {label} ({probabilities.max():.1%})")
    return label


if __name__ == "__main__":
    main(*sys.argv[1:])
