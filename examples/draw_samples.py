"""Draw what the demo needs: an image, a painting to learn from, and labeled handwriting.

    python examples/draw_samples.py FOLDER

writes FOLDER/image.png and FOLDER/painting.png, drawn here stroke by stroke, and
FOLDER/digits/<digit>/*.png and FOLDER/new-digits/*.png, real handwriting from the set bundled
with scikit-learn. Everything is seeded and nothing is fetched.
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
    """Real handwritten digits: a labeled folder, and a few others to be recognized.

    Args:
        folder: Gets ``digits/<digit>/`` and ``new-digits/``.
        per_class: How many of each digit are labeled.
        new: How many others of each are left for prediction, their digit in their name.
        side: Side of an image in pixels; the scans have 8×8.
        seed: Of the choice of scans.
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
    """Draw everything into the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    draw_landscape().save(folder / "image.png")
    draw_painting().save(folder / "painting.png")
    write_digits(folder)


if __name__ == "__main__":
    main()
