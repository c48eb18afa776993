"""Draw the picture of the README: a photograph, and the same photograph in five styles.

    python docs/write_gallery.py FOLDER

The photograph comes with scikit-learn (the extra `demo`); the paintings lie in
`data/pictures/style` of the folder that NSTK_SHARED names. FOLDER keeps every result and the state
of the last one, so an interrupted run goes on where it stopped.
"""

import os
import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_image

import nstk

SHARED = Path(os.environ.get("NSTK_SHARED", "../shared"))
STYLES = ("starry_night", "scream", "wheat_field", "composition_vii", "shipwreck")
SIZE = 384
COLUMNS, WIDTH, GAP = 3, 330, 5


def paint_all(folder: Path) -> list[Path]:
    """Paint the photograph in every style, unless FOLDER has the result already."""
    photograph = folder / "photograph.png"
    Image.fromarray(load_sample_image("china.jpg")).save(photograph)
    results = [photograph]
    for style in STYLES:
        result = folder / f"{style}-{SIZE}.png"
        if not result.exists():
            painting = SHARED / "data" / "pictures" / "style" / f"{style}.jpg"
            states = nstk.CheckpointSettings(
                checkpoint=folder / style, checkpoint_every="10s", resume=True
            )
            nstk.stylize(photograph, painting, size=SIZE, checkpoints=states).save(result)
            print(result, flush=True)
        results.append(result)
    return results


def lay_out(files: list[Path]) -> Image.Image:
    """Lay images of one shape out in rows."""
    images = [Image.open(file).convert("RGB") for file in files]
    height = round(WIDTH * images[0].height / images[0].width)
    rows = -(-len(images) // COLUMNS)
    size = (COLUMNS * (WIDTH + GAP) - GAP, rows * (height + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for place, image in enumerate(images):
        row, column = divmod(place, COLUMNS)
        cell = image.resize((WIDTH, height), Image.Resampling.LANCZOS)
        sheet.paste(cell, (column * (WIDTH + GAP), row * (height + GAP)))
    return sheet


def main(folder: Path) -> None:
    """Paint what is missing, and write the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet = lay_out(paint_all(folder))
    sheet.save(Path(__file__).parent / "images" / "gallery.jpg", quality=87, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
