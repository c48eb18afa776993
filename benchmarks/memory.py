"""Measure the peak resident size of a run, and how well it was predicted.

    python benchmarks/memory.py --json memory.json
    python benchmarks/memory.py --cases vgg19:12:windows:bfloat16 --json memory.json

Every case is `nstk.stylize` at one scale in a process of its own, from a JPEG file, and is written
NETWORK:MEGAPIXELS:ENGINE:PRECISION[:OPTIMIZER]. Cases already in the JSON file are kept unless they
are named. Weights are random: memory does not depend on them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CASES = (
    "compact:0.2:whole:float32",
    "compact:1:whole:float32",
    "compact:2:whole:float32",
    "compact:2:windows:float32",
    "compact:12:windows:float32",
    "vgg19:0.2:whole:float32",
    "vgg19:0.2:whole:bfloat16",
    "vgg19:1:whole:float32",
    "vgg19:1:whole:bfloat16",
    "vgg19:1:windows:float32",
    "vgg19:1:windows:bfloat16",
    "vgg19:0.2:whole:float32:lbfgs",
    "resnet50:0.2:whole:float32",
    "resnet50:1:whole:float32",
    "resnet50:1:windows:float32",
    "vgg19:12:windows:bfloat16",
    "vgg19:24:windows:bfloat16",
)


def measure(case: str, steps: int) -> dict[str, Any]:
    """Run one case in this process."""
    import numpy as np

    import nstk
    from benchmarks.networks import load_network
    from nstk.images.image import save_image

    network, megapixels, tiling, precision, *rest = case.split(":")
    height = round((float(megapixels) * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    grain = np.random.default_rng(0).random((height // 8 + 1, width // 8 + 1, 3), np.float32)
    content = grain.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "content.jpg"
        save_image(place, content)
        del content
        settings = nstk.StylizeSettings(
            size=max(height, width),
            steps=steps,
            scales=1,
            tiling=tiling,
            precision=precision,
            optimizer=rest[0] if rest else "adam",
        )
        backbone = load_network(network)
        styles = grain[:64, :64].repeat(8, axis=0).repeat(8, axis=1)
        plan = nstk.plan_stylization(place, styles, backbone=backbone, settings=settings)
        begun = time.perf_counter()
        made = nstk.stylize(place, styles, backbone=backbone, settings=settings)
    return {
        "case": case,
        "pixels": height * width,
        "predicted_bytes": plan.peak_memory_bytes,
        "measured_bytes": made.peak_memory_bytes,
        "ratio": round(plan.peak_memory_bytes / made.peak_memory_bytes, 3),
        "seconds_per_step": made.seconds_per_step,
        "predicted_seconds": plan.seconds,
        "seconds": time.perf_counter() - begun,
    }


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("memory.json"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(given.case, given.steps)))
        return
    rows = json.loads(given.json.read_text()) if given.json.exists() else []
    known = {row["case"]: row for row in rows}
    for case in given.cases or [case for case in CASES if case not in known]:
        command = [sys.executable, "-m", "benchmarks.memory", "--case", case]
        command += ["--steps", str(given.steps)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        if ended.returncode:
            print(f"{case}: {ended.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        known[case] = json.loads(ended.stdout.strip().splitlines()[-1])
        given.json.write_text(json.dumps(list(known.values()), indent=1))
    print("| case | measured | predicted | predicted / measured | bytes a pixel |")
    print("|---|---|---|---|---|")
    for row in known.values():
        print(
            f"| {row['case']} | {row['measured_bytes'] / 2**30:.2f} GiB "
            f"| {row['predicted_bytes'] / 2**30:.2f} GiB | {row['ratio']:.2f} "
            f"| {row['measured_bytes'] / row['pixels']:.0f} |"
        )


if __name__ == "__main__":
    main()
