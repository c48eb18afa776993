"""Measure how sure a classifier may be, and what it finds strange.

    python benchmarks/calibration.py --json calibration.json --markdown calibration.md

The network is MobileNet-0.75 with ImageNet weights at 224 px, its head solved on the 244 training
images of hymenoptera and measured on the 153 validation images, and on trashnet in five folds.

- Calibration error: expected calibration error in 15 bins with a 95 % bootstrap interval, at
  temperature 1 and at the one that training images left out have chosen.
- Strange: the share of images that are like nothing in training: held-out own images, 600
  images of waste, 200 of Tiny ImageNet, and 60 of noise and plain color.
- AUROC: the chance that one of the others is stranger than one of the own.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.finetune import NAME, find_data, find_weights

Values = dict[str, Any]


def measure_reliability(made: Any) -> Values:
    """The calibration error before and after, on held-out images and on those left out."""
    left_out = made.calibration
    pairs = {
        "measured": (made.reliability_before, made.reliability),
        "left out": (left_out.before, left_out.after),
    }
    return {
        "temperature": left_out.temperature,
        "images": made.evaluation.images,
        **{
            name: [{"ece": each.ece, "interval": each.ece_interval} for each in pair]
            for name, pair in pairs.items()
        },
    }


def draw_others(folder: Path) -> None:
    """Noise and plain colors."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for number in range(30):
        noise = generator.integers(0, 256, (224, 224, 3))
        plain = np.broadcast_to(generator.integers(0, 256, 3), (224, 224, 3))
        for kind, pixels in (("noise", noise), ("plain", plain)):
            Image.fromarray(np.uint8(pixels)).save(folder / f"{kind}{number}.png")


def measure_strangeness(made: Any) -> Values:
    """How many images of each kind are strange, and how well strangeness tells them apart."""
    import nstk

    own = made.answers["validation"].ood_score
    tiny = sorted(path for path in find_data("tiny-imagenet").rglob("*") if path.is_file())
    tiny = [path for path in tiny if path.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    with tempfile.TemporaryDirectory() as drawn:
        draw_others(Path(drawn))
        others = {
            "waste": [find_data("trashnet")],
            "Tiny ImageNet": tiny[:: max(1, len(tiny) // 200)][:200],
            "noise and plain colors": [Path(drawn)],
        }
        found = {
            name: np.array(
                [each.ood_score for each in nstk.predict(made.classifier, paths).predictions]
            )
            for name, paths in others.items()
        }
    return {
        "accepted": made.classifier.ood_detector.accepted,
        "own": float(np.mean(own > 1)),
        **{
            name: {
                "images": len(values),
                "strange": float(np.mean(values > 1)),
                "auroc": float(np.mean(values[:, np.newaxis] > own)),
            }
            for name, values in found.items()
        },
    }


def measure_all() -> Values:
    """Measure everything."""
    import nstk

    insects, waste = (
        nstk.finetune(
            find_data(name),
            backbone=NAME,
            weights=find_weights(),
            settings=nstk.FinetuneSettings(folds=folds),
        )
        for name, folds in (("hymenoptera", 0), ("trashnet", 5))
    )
    return {
        "hymenoptera": measure_reliability(insects),
        "trashnet": measure_reliability(waste),
        "ood_score": measure_strangeness(insects),
    }


def write_table(results: Values) -> str:
    """Write the results as Markdown tables."""

    def format_value(each: Values) -> str:
        low, high = each["interval"]
        return f"{each['ece']:.3f} ({low:.3f}–{high:.3f})"

    lines = ["| images | temperature | error at 1 | error with it |", "|---|---|---|---|"]
    for name in ("hymenoptera", "trashnet"):
        found = results[name]
        for what, said in (("measured", f"{found['images']} held out"), ("left out", "left out")):
            before, after = found[what]
            lines.append(
                f"| {name}, {said} | {found['temperature']:.2f} | {format_value(before)} | "
                f"{format_value(after)} |"
            )
    strange = results["ood_score"]
    lines += ["", "| images | strange | AUROC |", "|---|---|---|"]
    lines.append(f"| own, held out | {100 * strange['own']:.1f} % | |")
    lines += [
        f"| {name} | {100 * found['strange']:.1f} % of {found['images']} | {found['auroc']:.3f} |"
        for name, found in strange.items()
        if isinstance(found, dict)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(description="Measure calibration and strangeness.")
    parser.add_argument("--json", type=Path, default=Path("calibration.json"), help="results")
    parser.add_argument("--markdown", type=Path, help="write the tables here too")
    arguments = parser.parse_args()
    results = measure_all()
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    table = write_table(results)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table)


if __name__ == "__main__":
    main()
