"""Paint a drawn landscape like a drawn painting, once for each way to treat color.

python examples/keep_colors.py FOLDER [SIZE] [STEPS]
"""

import sys
from pathlib import Path

import numpy as np

import nstk
from landscape import draw_landscape
from painting import draw_painting

MODES = ("style", "luminance", "match-luminance", "match", "histogram", "lab")


def to_image(image: object) -> nstk.Image:
    """What nstk takes: float32, sRGB, [0, 1]."""
    return np.asarray(image, np.float32) / 255


def main(folder: str, size: str = "256", steps: str = "40") -> Path:
    """Write one image per mode, and all of them side by side.

    Args:
        folder: Gets ``<mode>.png`` for every mode and ``colors.png``.
        size: Longer side of each image in pixels.
        steps: Steps at the full scale.

    Returns:
        The path of the strip.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    content, style = to_image(draw_landscape()), to_image(draw_painting())
    made = []
    for mode in MODES:
        settings = nstk.StylizeSettings(size=int(size), steps=int(steps), color=mode)
        painted = nstk.stylize(content, style, settings=settings)
        painted.save(Path(folder) / f"{mode}.png")
        made.append(painted.image)
        red, green, blue = painted.image.mean(axis=(0, 1))
        print(f"{mode}.png: mean color {red:.2f} {green:.2f} {blue:.2f}")
    strip = nstk.save_image(Path(folder) / "colors.png", np.concatenate(made, axis=1))
    print(f"{strip}: {', '.join(MODES)}")
    return strip


if __name__ == "__main__":
    main(*sys.argv[1:])
