"""Both jobs on images drawn here, with the packaged network and no network connection.

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


def plan(folder: Path, size: str, steps: str) -> list[tuple[str, list[str | Path], Path]]:
    """What the demo does: what it is, its command, and where its result is."""
    content, style = folder / "image.png", folder / "painting.png"
    image, model = folder / "stylized.png", folder / "digits.keras"
    labels = folder / "labels.csv"
    return [
        (
            "draw the samples",
            [sys.executable, EXAMPLES / "draw_samples.py", folder],
            folder,
        ),
        (
            "paint the image like the painting",
            [
                *(NSTK, "stylize", content, style, "-o", image),
                *("--size", size, "--steps", steps),
            ],
            image,
        ),
        (
            "learn handwritten digits",
            [NSTK, "finetune", folder / "digits", "-o", model],
            model,
        ),
        (
            "read digits it has never seen",
            [NSTK, "predict", model, folder / "new-digits", "--top", "2", "--csv", labels],
            labels,
        ),
    ]


def main() -> int:
    """Run every step; stop at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="384", help="longer side of the stylized image")
    parser.add_argument("--steps", default="80", help="steps at its full size")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    summary = []
    for title, command, result in plan(folder, arguments.size, arguments.steps):
        shown = [Path(command[0]).name, *map(str, command[1:])]
        print(f"\n$ {shlex.join(shown)}", flush=True)
        began = time.monotonic()
        status = subprocess.run(command, check=False).returncode
        if status:
            print(f"demo: '{title}' ended with status {status}.", file=sys.stderr)
            return status
        summary.append((title, time.monotonic() - began, result))
    overview = join_images(
        [folder / name for name in ("image.png", "painting.png", "stylized.png")],
        folder / "overview.jpg",
    )
    print("\nDone:")
    for title, seconds, result in summary:
        print(f"  {seconds:6.1f} s  {title:<36} {result}")
    print(f"Look at {overview}: the image, the painting, and the one painted like the other.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
