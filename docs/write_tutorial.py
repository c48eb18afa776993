"""Take screenshots of the pages that the commands of tutorial.md write.

    python docs/write_tutorial.py FOLDER

FOLDER is where the commands of the tutorial were run. Needs chromium on the path.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import nstk
from nstk.reports.sheets import Cell, Row, draw_sheet, fit_width

IMAGES = Path(__file__).parent / "images"
PAGES = {"page": "page/report.html", "audit": "audit/audit.html", "report": "report/report.html"}
WINDOW = (960, 1250)
WIDTH, QUALITY = 700, 70


def photograph(page: Path) -> nstk.Image:
    """Take a screenshot of the top of a page."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--hide-scrollbars"]
        size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
        command = ["chromium", *options, size, f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        return nstk.load_image(shot).pixels


def show_explanations(folder: Path) -> nstk.Image:
    """Lay out the first four explanations side by side."""
    files = sorted(folder.rglob("*.png"))[:4]
    cells = [
        Cell(fit_width(nstk.load_image(file).pixels, 150), file.name.removesuffix(".explained.png"))
        for file in files
    ]
    return draw_sheet("What supports the label", [Row(cells)])


def main(folder: Path) -> None:
    """Write all images."""
    made = {name: fit_width(photograph(folder / page), WIDTH) for name, page in PAGES.items()}
    made["explain"] = show_explanations(folder / "explanations")
    for name, image in made.items():
        nstk.save_image(IMAGES / f"tutorial-{name}.jpg", image, quality=QUALITY)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
