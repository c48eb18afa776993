"""Draw the sample images of the demo: a content image, a style image and labeled digits.

    python examples/draw_samples.py FOLDER

writes FOLDER/image.png and FOLDER/painting.png, both drawn by code, and
FOLDER/digits/<digit>/*.png and FOLDER/new-digits/*.png, real handwriting from the data set bundled
with scikit-learn. Everything is seeded, and nothing is downloaded.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from landscape import draw_landscape
from painting import draw_painting


def write_digits(
    folder: Path, per_class: int = 40, new: int = 1, side: int = 64, seed: int = 0
) -> None:
    """Write real handwritten digits: a labeled folder, and a few others to classify.

    Args:
        folder: Folder to write ``digits/<digit>/`` and ``new-digits/`` to.
        per_class: Number of labeled images per digit.
        new: Number of other images per digit, with the digit in their file name.
        side: Side of an image in pixels; the original scans have 8×8.
        seed: Random seed for choosing the scans.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    counts = dict.fromkeys(range(10), 0)
    for place in np.random.default_rng(seed).permutation(len(digits.target)):
        digit = digits.target[place]
        ink = Image.fromarray((255 - digits.images[place] * 255 / 16).astype(np.uint8))
        image = ink.resize((side, side), Image.Resampling.BICUBIC)
        number = counts[digit] = counts[digit] + 1
        if number <= per_class:
            path = folder / "digits" / str(digit) / f"{number:02d}.png"
        elif number <= per_class + new:
            path = folder / "new-digits" / f"shows-{digit}-{number}.png"
        else:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def main() -> None:
    """Draw everything into the folder given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-class", type=int, default=40, help="labeled images per digit")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    draw_landscape().save(folder / "image.png")
    draw_painting().save(folder / "painting.png")
    write_digits(folder, arguments.per_class)


if __name__ == "__main__":
    main()
