"""Measure the calibration and the out-of-distribution detection of a classifier.

    python benchmarks/calibration.py --json calibration.json --markdown calibration.md

The network is EfficientNet-Lite0 at 224 px. Its head is solved on the 244
training images of hymenoptera and measured on the 153 validation images, and on trashnet in five
folds.

- Calibration error: expected calibration error in 15 bins with a 95 % bootstrap interval, at
  temperature 1 and at the temperature fitted on out-of-fold training images.
- Out of distribution: the share of images with an `ood_score` above 1, of the held-out hymenoptera
  images, 600 images of waste, 200 of Tiny ImageNet, and 60 of noise and plain colors.
- AUROC: the probability that an image of another set has a higher `ood_score` than a held-out
  hymenoptera image.
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

from benchmarks.finetune import NAME, find_data

Values = dict[str, Any]


def measure_reliability(result: Any) -> Values:
    """Return the calibration errors at both temperatures, held out and out of fold."""
    out_of_fold = result.calibration
    pairs = {
        "held out": (result.reliability_before, result.reliability),
        "out of fold": (out_of_fold.before, out_of_fold.after),
    }
    return {
        "temperature": out_of_fold.temperature,
        "images": result.evaluation.images,
        **{
            name: [{"ece": each.ece, "interval": each.ece_interval} for each in pair]
            for name, pair in pairs.items()
        },
    }


def draw_synthetic_images(folder: Path) -> None:
    """Write 30 images of noise and 30 of plain colors."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for number in range(30):
        noise = generator.integers(0, 256, (224, 224, 3))
        plain = np.broadcast_to(generator.integers(0, 256, 3), (224, 224, 3))
        for kind, pixels in (("noise", noise), ("plain", plain)):
            Image.fromarray(np.uint8(pixels)).save(folder / f"{kind}{number}.png")


def measure_ood_detection(result: Any) -> Values:
    """Return the share of out-of-distribution images and the AUROC of every image set."""
    import nstk

    in_distribution = result.predictions["validation"].ood_score
    tiny = sorted(path for path in find_data("tiny-imagenet").rglob("*") if path.is_file())
    tiny = [path for path in tiny if path.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    with tempfile.TemporaryDirectory() as folder:
        draw_synthetic_images(Path(folder))
        image_sets = {
            "waste": [find_data("trashnet")],
            "Tiny ImageNet": tiny[:: max(1, len(tiny) // 200)][:200],
            "noise and plain colors": [Path(folder)],
        }
        scores = {
            name: np.array(
                [each.ood_score for each in nstk.predict(result.classifier, paths).predictions]
            )
            for name, paths in image_sets.items()
        }
    return {
        "accepted": result.classifier.ood_detector.accepted,
        "held out": float(np.mean(in_distribution > 1)),
        **{
            name: {
                "images": len(values),
                "ood": float(np.mean(values > 1)),
                "auroc": float(np.mean(values[:, np.newaxis] > in_distribution)),
            }
            for name, values in scores.items()
        },
    }


def measure_all() -> Values:
    """Fine-tune on both data sets and return all figures."""
    import nstk

    insects, waste = (
        nstk.finetune(
            find_data(name),
            backbone=nstk.load_backbone(NAME),
            settings=nstk.FinetuneSettings(folds=folds),
        )
        for name, folds in (("hymenoptera", 0), ("trashnet", 5))
    )
    return {
        "hymenoptera": measure_reliability(insects),
        "trashnet": measure_reliability(waste),
        "ood_score": measure_ood_detection(insects),
    }


def write_table(results: Values) -> str:
    """Return the results as two Markdown tables."""

    def format_value(each: Values) -> str:
        low, high = each["interval"]
        return f"{each['ece']:.3f} ({low:.3f}–{high:.3f})"

    lines = [
        "| images | temperature | error at temperature 1 | at the fitted temperature |",
        "|---|---|---|---|",
    ]
    for name in ("hymenoptera", "trashnet"):
        figures = results[name]
        for key, label in (
            ("held out", f"{figures['images']} held out"),
            ("out of fold", "out of fold"),
        ):
            before, after = figures[key]
            lines.append(
                f"| {name}, {label} | {figures['temperature']:.2f} | {format_value(before)} | "
                f"{format_value(after)} |"
            )
    detection = results["ood_score"]
    lines += ["", "| images | out of distribution | AUROC |", "|---|---|---|"]
    lines.append(f"| hymenoptera, held out | {100 * detection['held out']:.1f} % | |")
    lines += [
        f"| {name} | {100 * figures['ood']:.1f} % of {figures['images']} | {figures['auroc']:.3f} |"
        for name, figures in detection.items()
        if isinstance(figures, dict)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the tables and write them to files."""
    parser = argparse.ArgumentParser(
        description="Measure calibration and out-of-distribution detection."
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("calibration.json"),
        help="write all results here [%(default)s]",
    )
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    arguments = parser.parse_args()
    results = measure_all()
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    table = write_table(results)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table)


if __name__ == "__main__":
    main()
