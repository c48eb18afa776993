"""Measure the difference between exported classifiers and their originals, format by format.

    python benchmarks/export.py --keep exports --markdown export.md

Four classifiers are trained on real data (``NSTK_SHARED``): `mobilenet-0.75` and the packaged
network, on hymenoptera and on trashnet. With --keep they are stored and reused. Each is exported to
every format and verified, in a fresh process, on 200 images of its data set in various modes: five
EXIF orientations, gray, alpha, palette, 16 bits, CMYK. `tflite-int8` is calibrated on other images.

- `agreement`: share of the images with the original's label.
- `difference`: the largest difference of one probability. Targets: 1e-5 for keras and savedmodel,
  1e-4 for tflite and onnx; 97 % agreement for tflite-int8.
- `from files`: the same two figures for a SavedModel's `serve_bytes` on the original JPEG files,
  against `nstk.predict`.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from PIL import Image

import nstk
from benchmarks.style_metrics import find_shared

WEIGHTS = "weights/mobilenet_0.75_224_notop.weights.h5"
CLASSIFIERS = (
    ("mobilenet-0.75", "hymenoptera"),
    ("mobilenet-0.75", "trashnet"),
    ("compact", "hymenoptera"),
    ("compact", "trashnet"),
)
SUFFIXES = {"keras": ".keras", "savedmodel": "", "tflite": ".tflite"} | {
    "tflite-int8": ".int8.tflite",
    "onnx": ".onnx",
}
MODES = ("RGB", "L", "RGBA", "P", "I;16", "CMYK")


def make_classifier(backbone: str, data: Path, path: Path) -> nstk.Classifier:
    """Fine-tune a classifier and save it, or load it if the file exists."""
    if path.exists():
        return nstk.Classifier.load(path)
    weights = None if backbone == "compact" else find_shared() / WEIGHTS
    network = nstk.load_backbone(backbone, weights=weights)
    classifier = nstk.finetune(data, backbone=network).classifier
    classifier.save(path)
    return classifier


def write_mixed_images(data: Path, folder: Path) -> None:
    """Copy images, alternating between orientations and modes."""
    for index, path in enumerate(sorted(data.rglob("*.jpg"))):
        image = Image.open(path).convert("RGB")
        mode, exif = MODES[index % len(MODES)], Image.Exif()
        exif[0x0112] = (1, 3, 6, 8, 5)[index % 5]
        if mode == "I;16":
            Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257).save(
                folder / f"{index}.png"
            )
        elif mode in ("RGB", "L", "CMYK"):
            image.convert(mode).save(folder / f"{index}.jpg", exif=exif, quality=95)
        else:
            image.convert(mode).save(folder / f"{index}.png", exif=exif)


def compare_on_files(classifier: nstk.Classifier, export: Path, data: Path) -> tuple[float, float]:
    """Compare `serve_bytes` with `nstk.predict` on the same files.

    Returns:
        The share of equal labels and the largest difference of a probability.
    """
    paths = sorted(data.rglob("*.jpg"))[::3]
    loaded = tf.saved_model.load(export)
    serve = loaded.signatures["serve_bytes"]
    predictions = nstk.predict(classifier, paths, top=len(classifier.classes)).predictions
    same, worst = 0, 0.0
    for each in predictions:
        outputs = serve(encoded=tf.constant([each.path.read_bytes()]))
        served = dict(zip(classifier.classes, outputs["probabilities"][0].numpy(), strict=True))
        same += outputs["labels"][0].numpy().decode() == each.label
        worst = max(worst, *(abs(served[name] - share) for name, share in each.top))
    return same / len(predictions), worst


def measure(backbone: str, name: str, keep: Path) -> Iterator[str]:
    """Export one classifier to every format and yield the rows of the table."""
    data, title = find_shared() / "data" / name, f"{backbone} on {name}"
    classifier = make_classifier(backbone, data, keep / f"{backbone}-{name}.keras")
    with tempfile.TemporaryDirectory() as folder:
        write_mixed_images(data, Path(folder))
        for format, suffix in SUFFIXES.items():
            path = keep / f"{backbone}-{name}-export{suffix}"
            export = nstk.export(classifier, format, path, images=folder, min_agreement=0)
            worst = export.max_probability_difference
            yield (
                f"| {title} | {format} | {export.agreement:.1%} | {worst:.1e}"
                f" | {export.images} | {export.bytes / 1e6:.1f} | {export.seconds:.0f} |"
            )
    agreement, worst = compare_on_files(classifier, keep / f"{backbone}-{name}-export", data)
    yield f"| {title} | savedmodel, from files | {agreement:.1%} | {worst:.1e} | | | |"


def main() -> None:
    """Measure every classifier in every format and print the table row by row."""
    parser = argparse.ArgumentParser(
        description="Measure the difference between exports and originals."
    )
    parser.add_argument("--keep", type=Path, help="store classifiers and exports here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument(
        "--only", type=int, choices=range(len(CLASSIFIERS)), help="index of a single classifier"
    )
    arguments = parser.parse_args()
    chosen = CLASSIFIERS if arguments.only is None else CLASSIFIERS[arguments.only :][:1]
    rows = ["| classifier | format | agreement | difference | images | MB | seconds |"]
    rows.append("|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    with tempfile.TemporaryDirectory() as temporary:
        keep = arguments.keep or Path(temporary)
        keep.mkdir(exist_ok=True)
        for backbone, name in chosen:
            for row in measure(backbone, name, keep):
                print(row, flush=True)
                rows.append(row)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
