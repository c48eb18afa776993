"""Stylize four content images in six styles and arrange them on one contact sheet.

    python benchmarks/gallery.py gallery.jpg --size 256

Contents are three photographs from the shared images and one landscape drawn by the examples;
styles are six paintings. The first row and the first column show the input images.
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
from benchmarks.style_metrics import find_shared
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


def stylize_all(size: int, folder: Path) -> dict[tuple[str, str], Path]:
    """Stylize every content in every style.

    Args:
        size: Longer side of each result in pixels.
        folder: Where the drawn landscape and one image per pair are written; existing
            images are reused.

    Returns:
        The files by content and style; ``("", style)`` and ``(content, "")`` are the inputs.
    """
    images = find_shared() / "data" / "pictures"
    landscape = folder / "landscape.png"
    draw_landscape().save(landscape)
    contents = {name: images / "content" / f"{name}.jpg" for name in CONTENTS}
    contents["landscape"] = landscape
    styles = {name: images / "style" / f"{name}.jpg" for name in STYLES}
    cells = {(name, ""): path for name, path in contents.items()}
    cells |= {("", name): path for name, path in styles.items()}
    settings = nstk.StylizeSettings(size=size)
    for content, content_path in contents.items():
        for style, style_path in styles.items():
            path = folder / f"{content}-{style}-{size}.png"
            if not path.is_file():
                nstk.stylize(content_path, style_path, settings=settings).save(path)
                print(path.name, flush=True)
            cells[content, style] = path
    return cells


def draw_sheet(cells: dict[tuple[str, str], Path]) -> Image.Image:
    """Draw the contact sheet: one row per content, one column per style."""
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
            position = (left + (CELL - image.width) // 2, top + (CELL - image.height) // 2)
            sheet.paste(image, position)
            if not content or not style:
                name = (content or style).replace("_", " ")
                middle = (left + CELL / 2, top + CELL + 4)
                pen.text(middle, name, fill="black", font=font, anchor="ma")
    return sheet


def main() -> None:
    """Stylize all pairs and save the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="contact sheet to write")
    parser.add_argument("--size", type=int, default=256, help="longer side in pixels [%(default)s]")
    parser.add_argument("--keep", type=Path, help="store the single images here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        draw_sheet(stylize_all(arguments.size, folder)).save(arguments.output, quality=90)
    print(arguments.output)


if __name__ == "__main__":
    main()
