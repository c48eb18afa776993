"""Stylize a drawn landscape once for each color mode.

python examples/keep_colors.py FOLDER [SIZE] [STEPS]
"""

import sys
from pathlib import Path

import numpy as np

import nstk
from landscape import draw_landscape
from painting import draw_painting

MODES = ("style", "luminance", "match-luminance", "match", "histogram", "lab")


def main(folder: str, size: str = "256", steps: str = "40") -> Path:
    """Write one image per color mode, and all of them side by side.

    Args:
        folder: Folder to write ``<mode>.png`` for every mode and ``colors.png`` to.
        size: Longer side of each image in pixels.
        steps: Steps at full size.

    Returns:
        The path of the strip.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    content, style = np.asarray(draw_landscape()), np.asarray(draw_painting())  # uint8
    images = []
    for mode in MODES:
        painted = nstk.stylize(content, style, size=int(size), steps=int(steps), color=mode)
        painted.save(Path(folder) / f"{mode}.png")
        images.append(painted.image)
        red, green, blue = painted.image.mean(axis=(0, 1))
        print(f"{mode}.png: mean color {red:.2f} {green:.2f} {blue:.2f}")
    strip = nstk.save_image(Path(folder) / "colors.png", np.concatenate(images, axis=1))
    print(f"{strip}: {', '.join(MODES)}")
    return strip


if __name__ == "__main__":
    main(*sys.argv[1:])
