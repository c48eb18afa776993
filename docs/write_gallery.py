"""Draw a sheet of photographs and what became of them in the styles of paintings.

    python docs/write_gallery.py FOLDER            images/gallery.jpg, of the README
    python docs/write_gallery.py FOLDER more       images/gallery-more.jpg

The photographs come with scikit-learn and scikit-image (the extra `demo`); the paintings lie in
`data/pictures/style` of the folder that NSTK_SHARED names. FOLDER keeps every result and the state
of the last one, so an interrupted run resumes where it stopped.
"""

import os
import sys
from pathlib import Path

from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

import nstk

SHARED = Path(os.environ.get("NSTK_SHARED", "../shared"))
PHOTOGRAPHS = {
    "china": lambda: load_sample_image("china.jpg"),
    "cat": data.chelsea,
    "coffee": data.coffee,
}
STYLES = ("", "starry_night", "scream", "wheat_field", "composition_vii", "shipwreck")
SHEETS = {
    "gallery": (3, [("china", style) for style in STYLES]),
    "gallery-more": (
        2,
        [("cat", ""), ("cat", "water_lilies"), ("coffee", ""), ("coffee", "wheat_field")],
    ),
}
"""Columns of each sheet, and its photographs, each as it is or in the style of a painting."""

SIZE = 384
WIDTH, GAP = 1000, 5


def paint_all(cells: list[tuple[str, str]], folder: Path) -> list[Path]:
    """Paint what is on a sheet, unless FOLDER has the result already."""
    results = []
    for photograph, style in cells:
        content = folder / f"{photograph}.png"
        Image.fromarray(PHOTOGRAPHS[photograph]()).save(content)
        result = folder / f"{photograph}-{style}-{SIZE}.png" if style else content
        if not result.exists():
            painting = SHARED / "data" / "pictures" / "style" / f"{style}.jpg"
            states = nstk.CheckpointSettings(
                checkpoint=folder / f"{photograph}-{style}", checkpoint_every="10s", resume=True
            )
            nstk.stylize(content, painting, size=SIZE, checkpoints=states).save(result)
            print(result, flush=True)
        results.append(result)
    return results


def lay_out(files: list[Path], columns: int) -> Image.Image:
    """Lay images of about one shape out in rows."""
    images = [Image.open(file).convert("RGB") for file in files]
    width = WIDTH // columns
    height = round(width * images[0].height / images[0].width)
    rows = -(-len(images) // columns)
    size = (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        cell = image.resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(cell, (column * (width + GAP), row * (height + GAP)))
    return sheet


def main(folder: Path, name: str) -> None:
    """Paint what is missing, and write the sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    columns, cells = SHEETS[name]
    sheet = lay_out(paint_all(cells, folder), columns)
    sheet.save(Path(__file__).parent / "images" / f"{name}.jpg", quality=87, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "-".join(["gallery", *sys.argv[2:]]))
