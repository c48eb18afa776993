"""Measure the peak memory of a stylization and compare it with the prediction.

    python benchmarks/memory.py --json memory.json
    python benchmarks/memory.py --cases vgg19:12:on:bfloat16 --json memory.json

A case NETWORK:MEGAPIXELS:TILING:PRECISION[:OPTIMIZER] runs `nstk.stylize` on a JPEG file at one
scale, in its own process. The peak is the maximum resident set size of that process. Cases already
in the JSON file are not measured again unless --cases names them. Weights are random: memory does
not depend on them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.history import Figure, record

ROOT = Path(__file__).resolve().parents[1]
CASES = (
    "compact:0.2:off:float32",
    "compact:1:off:float32",
    "compact:2:off:float32",
    "compact:2:on:float32",
    "compact:12:on:float32",
    "vgg19:0.2:off:float32",
    "vgg19:0.2:off:bfloat16",
    "vgg19:1:off:float32",
    "vgg19:1:off:bfloat16",
    "vgg19:1:on:float32",
    "vgg19:1:on:bfloat16",
    "vgg19:0.2:off:float32:lbfgs",
    "resnet50:0.2:off:float32",
    "resnet50:1:off:float32",
    "resnet50:1:on:float32",
    "vgg19:12:on:bfloat16",
    "vgg19:24:on:bfloat16",
)


def measure(case: str, steps: int) -> dict[str, Any]:
    """Run one case in this process and return its figures."""
    import numpy as np

    import nstk
    from benchmarks.networks import load_network
    from nstk.images.encoding import save_image

    network, megapixels, tiling, precision, *rest = case.split(":")
    height = round((float(megapixels) * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    noise = np.random.default_rng(0).random((height // 8 + 1, width // 8 + 1, 3), np.float32)
    content = noise.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content.jpg"
        save_image(path, content)
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
        styles = noise[:64, :64].repeat(8, axis=0).repeat(8, axis=1)
        plan = nstk.plan_stylization(path, styles, backbone=backbone, settings=settings)
        began = time.perf_counter()
        result = nstk.stylize(path, styles, backbone=backbone, settings=settings)
    return {
        "case": case,
        "pixels": height * width,
        "predicted_bytes": plan.peak_memory_bytes,
        "measured_bytes": result.peak_memory_bytes,
        "ratio": round(plan.peak_memory_bytes / result.peak_memory_bytes, 3),
        "seconds_per_step": result.seconds_per_step,
        "predicted_seconds": plan.seconds,
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", help="measure these cases, even if known")
    parser.add_argument("--steps", type=int, default=2, help="steps per case [%(default)s]")
    parser.add_argument("--json", type=Path, default=Path("memory.json"), help="results")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.steps)))
        return
    rows = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    measured = {row["case"]: row for row in rows}
    for case in arguments.cases or [case for case in CASES if case not in measured]:
        command = [sys.executable, "-m", "benchmarks.memory", "--case", case]
        command += ["--steps", str(arguments.steps)]
        process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        if process.returncode:
            print(f"{case}: {process.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        measured[case] = json.loads(process.stdout.strip().splitlines()[-1])
        arguments.json.write_text(json.dumps(list(measured.values()), indent=1))
    figures = {case: Figure(row["measured_bytes"] / 2**30, "GiB") for case, row in measured.items()}
    record("memory", figures)
    print("| case | measured | predicted | predicted / measured | bytes per pixel |")
    print("|---|---|---|---|---|")
    for row in measured.values():
        print(
            f"| {row['case']} | {row['measured_bytes'] / 2**30:.2f} GiB "
            f"| {row['predicted_bytes'] / 2**30:.2f} GiB | {row['ratio']:.2f} "
            f"| {row['measured_bytes'] / row['pixels']:.0f} |"
        )


if __name__ == "__main__":
    main()
