"""Do both jobs on sample images, offline, with the packaged network.

python examples/demo.py FOLDER
"""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from overview import join_images

EXAMPLES = Path(__file__).parent
NSTK = Path(sys.executable).parent / "nstk"


def plan(
    folder: Path, size: str, steps: str, per_class: str
) -> list[tuple[str, list[str | Path], Path]]:
    """List the steps of the demo: title, command, and path of the result."""
    content, style = folder / "image.png", folder / "painting.png"
    image, model = folder / "stylized.png", folder / "digits.keras"
    labels = folder / "labels.csv"
    return [
        (
            "draw the samples",
            [sys.executable, EXAMPLES / "draw_samples.py", folder, "--per-class", per_class],
            folder,
        ),
        (
            "stylize the image",
            [
                *(NSTK, "stylize", content, style, "-o", image),
                *("--size", size, "--steps", steps),
            ],
            image,
        ),
        (
            "train a classifier on handwritten digits",
            [NSTK, "finetune", folder / "digits", "-o", model],
            model,
        ),
        (
            "classify new digits",
            [NSTK, "predict", model, folder / "new-digits", "--top", "2", "--csv", labels],
            labels,
        ),
    ]


def main() -> int:
    """Run every step; stop at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="384", help="longer side of the stylized image in pixels")
    parser.add_argument("--steps", default="60", help="steps at every scale")
    parser.add_argument("--per-class", default="40", help="labeled images per digit")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    summary = []
    for title, command, result in plan(
        folder, arguments.size, arguments.steps, arguments.per_class
    ):
        shown = [Path(command[0]).name, *map(str, command[1:])]
        print(f"\n$ {shlex.join(shown)}", flush=True)
        began = time.monotonic()
        status = subprocess.run(command, check=False).returncode
        if status:
            print(f"demo: step '{title}' failed with exit status {status}.", file=sys.stderr)
            return status
        summary.append((title, time.monotonic() - began, result))
    overview = join_images(
        [folder / name for name in ("image.png", "painting.png", "stylized.png")],
        folder / "overview.jpg",
    )
    print("\nDone:")
    for title, seconds, result in summary:
        print(f"  {seconds:6.1f} s  {title:<40} {result}")
    print(f"{overview} shows the image, the painting and the result side by side.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
