"""Measure the start-up time of nstk.

    python -m benchmarks.startup --repeats 5

Every figure is the median of --repeats processes, run in turn and timed from their start: Python
alone, `import tensorflow`, `import nstk`, `nstk --help`, `nstk.stylize` on image files until the
end of its first step at 256 px with the packaged network, and all of `nstk.finetune` on 100 images
of 160 px.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.history import Figure, record

FIRST_STEP = """
import os, sys, nstk
def stop_after_first_step(progress):
    if progress.step:
        os._exit(0)
nstk.stylize(*sys.argv[1:], settings=nstk.StylizeSettings(size=256, scales=1),
    on_progress=stop_after_first_step)
"""

FINETUNE = """
import sys, numpy as np, nstk
images = np.random.default_rng(0).integers(0, 256, (100, 160, 160, 3), np.uint8)
nstk.finetune((images, np.arange(100) % 2), cache=None)
"""


def list_commands(folder: Path) -> dict[str, list[str]]:
    """Return the commands to time, by name."""
    import numpy as np

    import nstk

    for name, seed in (("content.png", 0), ("style.png", 1)):
        noise = np.random.default_rng(seed).random((48, 64, 3), np.float32)
        nstk.save_image(folder / name, noise.repeat(8, axis=0).repeat(8, axis=1))
    images = [str(folder / "content.png"), str(folder / "style.png")]
    python = sys.executable
    return {
        "Python alone": [python, "-c", "pass"],
        "import tensorflow": [python, "-c", "import tensorflow"],
        "import nstk": [python, "-c", "import nstk"],
        "nstk --help": [python, "-m", "nstk_cli", "--help"],
        "first step, 256 px, compact": [python, "-c", FIRST_STEP, *images],
        "finetune, 100 images": [python, "-c", FINETUNE],
    }


def time_process(command: list[str]) -> float:
    """Return the seconds from the start of a process to its end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure all commands and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the seconds of all processes here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = list_commands(Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.repeats):
            for name, command in commands.items():
                seconds[name].append(time_process(command))
    if arguments.json:
        arguments.json.write_text(json.dumps(seconds, indent=1))
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    base = medians["import tensorflow"]
    record("startup", {name: Figure(each, "s", each / base) for name, each in medians.items()})
    print("| command | seconds |")
    print("|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} |")


if __name__ == "__main__":
    main()
