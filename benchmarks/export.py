"""Measure how far exported classifiers are from their originals, format by format.

    python benchmarks/export.py --keep exports --markdown export.md

Four classifiers are made from the real data (``NSTK_SHARED``): `mobilenet-0.75` and the packaged
network on hymenoptera and on trashnet; with --keep they are kept and used again.
Each is exported to every format and asked, in a fresh process, about 200 of its own images, made
as mixed as those people have: five orientations in EXIF data, gray, with alpha, with a palette,
with 16 bits, in CMYK. For `tflite-int8` its ranges come from images that it is not asked about.

- `agreement`: share of them with the original's label.
- `difference`: the largest difference of one probability. Bars: 1e-5 for keras and savedmodel,
  1e-4 for tflite and onnx; 97 % agreement for tflite-int8.
- `from files`: the same two figures for a SavedModel's `serve_bytes` on the JPEG files as they lie
  on the disk, against `nstk.predict`.
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
from benchmarks.style_judge import find_shared

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
    """Make a classifier, or read it where it has been made before."""
    if path.exists():
        return nstk.load_classifier(path)
    weights = None if backbone == "compact" else find_shared() / WEIGHTS
    classifier = nstk.finetune(data, backbone=backbone, weights=weights).classifier
    classifier.save(path)
    return classifier


def mix_images(data: Path, folder: Path) -> None:
    """Copy images, every one in another orientation or mode than the one before."""
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


def ask_with_files(classifier: nstk.Classifier, served: Path, data: Path) -> tuple[float, float]:
    """Compare what is served on the bytes of files with what `nstk.predict` says about them."""
    paths = sorted(data.rglob("*.jpg"))[::3]
    loaded = tf.saved_model.load(served)
    ask = loaded.signatures["serve_bytes"]
    predictions = nstk.predict(classifier, paths, top=len(classifier.classes)).predictions
    same, worst = 0, 0.0
    for each in predictions:
        answer = ask(encoded=tf.constant([each.path.read_bytes()]))
        shares = dict(zip(classifier.classes, answer["probabilities"][0].numpy(), strict=True))
        same += answer["labels"][0].numpy().decode() == each.label
        worst = max(worst, *(abs(shares[name] - share) for name, share in each.top))
    return same / len(predictions), worst


def measure(backbone: str, name: str, keep: Path) -> Iterator[str]:
    """Give the rows of one classifier."""
    data, title = find_shared() / "data" / name, f"{backbone} on {name}"
    classifier = make_classifier(backbone, data, keep / f"{backbone}-{name}.keras")
    with tempfile.TemporaryDirectory() as place:
        mix_images(data, Path(place))
        for format, suffix in SUFFIXES.items():
            path = keep / f"{backbone}-{name}-export{suffix}"
            made = nstk.export(classifier, format, path, images=place, min_agreement=0)
            worst = made.max_probability_difference
            yield (
                f"| {title} | {format} | {made.agreement:.1%} | {worst:.1e}"
                f" | {made.images} | {made.bytes / 1e6:.1f} | {made.seconds:.0f} |"
            )
    agreement, worst = ask_with_files(classifier, keep / f"{backbone}-{name}-export", data)
    yield f"| {title} | savedmodel, from files | {agreement:.1%} | {worst:.1e} | | | |"


def main() -> None:
    """Measure every classifier in every format, row by row."""
    parser = argparse.ArgumentParser(description="Measure how exports differ from originals.")
    parser.add_argument("--keep", type=Path, help="folder for the classifiers and exports")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--only", type=int, choices=range(len(CLASSIFIERS)), help="one of them")
    arguments = parser.parse_args()
    chosen = CLASSIFIERS if arguments.only is None else CLASSIFIERS[arguments.only :][:1]
    rows = ["| classifier | format | agreement | difference | images | MB | seconds |"]
    rows.append("|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    with tempfile.TemporaryDirectory() as place:
        keep = arguments.keep or Path(place)
        keep.mkdir(exist_ok=True)
        for backbone, name in chosen:
            for row in measure(backbone, name, keep):
                print(row, flush=True)
                rows.append(row)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
