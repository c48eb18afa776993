"""Paint four contents in six styles and lay them out on one sheet to look at.

    python benchmarks/gallery.py gallery.jpg --size 256

Contents are three photographs from the shared images and one landscape drawn by the examples;
styles are six paintings. The first row and the first column show what was given.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image, ImageDraw, ImageFont

import nstk
from benchmarks.style_judge import find_shared
from landscape import draw_landscape

CONTENTS = ("tubingen", "lion", "figures")
STYLES = (
    "starry_night",
    "great_wave",
    "scream",
    "composition_vii",
    "water_lilies",
    "wheat_field",
)
CELL, GAP, CAPTION = 240, 10, 26


def paint_all(size: int, folder: Path) -> dict[tuple[str, str], Path]:
    """Paint every content in every style.

    Args:
        size: Longer side of each result in pixels.
        folder: Gets the drawn landscape and one image for every pair; those already there
            are kept.

    Returns:
        The images by content and style; ``("", style)`` and ``(content, "")`` are the inputs.
    """
    images = find_shared() / "data" / "images"
    landscape = folder / "landscape.png"
    draw_landscape().save(landscape)
    given = {name: images / "content" / f"{name}.jpg" for name in CONTENTS}
    given["landscape"] = landscape
    styles = {name: images / "style" / f"{name}.jpg" for name in STYLES}
    cells = {(name, ""): path for name, path in given.items()}
    cells |= {("", name): path for name, path in styles.items()}
    settings = nstk.StylizeSettings(size=size)
    for content, content_path in given.items():
        for style, style_path in styles.items():
            path = folder / f"{content}-{style}-{size}.png"
            if not path.is_file():
                nstk.stylize(content_path, style_path, settings=settings).save(path)
                print(path.name, flush=True)
            cells[content, style] = path
    return cells


def lay_out(cells: dict[tuple[str, str], Path]) -> Image.Image:
    """Lay the images out: contents downwards, styles to the right."""
    rows, columns = ("", *CONTENTS, "landscape"), ("", *STYLES)
    width = len(columns) * (CELL + GAP) + GAP
    height = len(rows) * (CELL + CAPTION + GAP) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for r, content in enumerate(rows):
        for c, style in enumerate(columns):
            if (content, style) not in cells:
                continue
            left, top = GAP + c * (CELL + GAP), GAP + r * (CELL + CAPTION + GAP)
            image = Image.open(cells[content, style]).convert("RGB")
            image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
            place = (left + (CELL - image.width) // 2, top + (CELL - image.height) // 2)
            sheet.paste(image, place)
            if not content or not style:
                name = (content or style).replace("_", " ")
                middle = (left + CELL / 2, top + CELL + 4)
                pen.text(middle, name, fill="black", font=font, anchor="ma")
    return sheet


def main() -> None:
    """Paint, lay out, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="the sheet to write")
    parser.add_argument("--size", type=int, default=256, help="longer side in px [%(default)s]")
    parser.add_argument("--keep", type=Path, help="folder for the single images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        lay_out(paint_all(arguments.size, folder)).save(arguments.output, quality=90)
    print(arguments.output)


if __name__ == "__main__":
    main()
