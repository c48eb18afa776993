"""Measure the throughput of `nstk predict` against the unavoidable work.

    python benchmarks/predict.py --images 1000 --markdown predict.md

The classifier is `mobilenet-0.75` on hymenoptera; the images are those of trashnet and hymenoptera
in turn, copied into one folder. Every loop reads files in as many threads as `nstk.predict`, while
the network processes batches of 32.

- `predict`: `nstk.stream_predictions`, with every prediction written to a JSONL file as the command
  does.
- `bare`: Pillow decodes every file, and for every 32 files the compiled backbone processes a
  prepared batch of crops. Nothing is cropped, resized, hashed or written.
- `resized`: the same, but Pillow also crops and resizes each image: the minimum that any program
  needs to pass decoded images to the network.

Rates are medians over --repeats rounds, in each of which all loops run in turn, after one round
that does not count; ratios are medians of the ratios in each round. The target is 0.9 of `bare`. If
other programs use the machine, processor time is more informative than wall time.

Before that, 60 of the images are classified in several ways. The second table states the largest
difference of a probability between files in batches of 32 and their bytes, arrays of uint8, floats
in [0, 1], batches of one, and the plain Keras model called on one array at a time.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain, cycle, islice, zip_longest
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from PIL import Image

import nstk
from benchmarks.finetune import NAME, SIZE, find_data
from nstk.features.extractor import BATCH_SIZE
from nstk.features.prefetching import prefetch

COMPARED_IMAGES = 60


def copy_images(folder: Path, count: int) -> list[Path]:
    """Copy images of both data sets in turn into a folder."""
    sets = [sorted(find_data(name).rglob("*.jpg")) for name in ("trashnet", "hymenoptera")]
    mixed = [path for path in chain.from_iterable(zip_longest(*sets)) if path]
    return [
        Path(shutil.copy(path, folder / f"{number}.jpg"))
        for number, path in enumerate(islice(cycle(mixed), count))
    ]


def decode(path: Path) -> Any:
    """Decode one file with Pillow: uint8 ``(height, width, 3)``."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def resize(path: Path) -> Any:
    """Decode one file and resize its center crop with Pillow: float32 in ``[0, 1]``."""
    with Image.open(path) as image:
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        crop = image.convert("RGB").resize(
            (SIZE, SIZE), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
        )
    return np.asarray(crop, np.float32) / 255


def compare_inputs(classifier: nstk.Classifier, paths: Sequence[Path]) -> dict[str, float]:
    """Return the largest difference of a probability by the form of the input."""

    def predict(images: Sequence[Any], batch: int = BATCH_SIZE) -> list[Any]:
        result = nstk.predict(classifier, images, top=len(classifier.classes), batch=batch)
        return [
            [dict(each.top)[name] for name in classifier.classes] for each in result.predictions
        ]

    arrays = [np.rint(nstk.load_image(path).pixels * 255).astype(np.uint8) for path in paths]
    outputs = {
        "bytes": predict([path.read_bytes() for path in paths]),
        "arrays": predict(arrays),
        "floats": predict([array.astype(np.float32) for array in arrays]),
        "batches of one": predict(paths, batch=1),
        "the Keras model": [classifier.model(array[np.newaxis])[0].numpy() for array in arrays],
    }
    expected = np.array(predict(paths))
    return {name: float(np.abs(output - expected).max()) for name, output in outputs.items()}


def process_batches(
    paths: Sequence[Path], read: Callable[[Path], Any], process: Callable[[Any], Any]
) -> None:
    """Read all files ahead of the network and process them in batches."""
    outcomes = prefetch(paths, read, ahead=2 * BATCH_SIZE)
    while batch := list(islice(outcomes, BATCH_SIZE)):
        process(batch)


def build_loops(
    classifier: nstk.Classifier, paths: Sequence[Path]
) -> dict[str, Callable[[], None]]:
    """Return all loops to measure, by name."""
    backbone = nstk.load_backbone(NAME)
    forward = tf.function(
        lambda crops: backbone.model(crops, training=False),
        input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)],
    )
    crops = np.random.default_rng(0).random((BATCH_SIZE, SIZE, SIZE, 3), np.float32)

    def predict() -> None:
        with tempfile.TemporaryDirectory() as folder:
            results = nstk.ResultsFile(Path(folder, "labels.jsonl"), classifier)
            with results:
                for each in nstk.stream_predictions(classifier, paths):
                    if isinstance(each, nstk.Prediction):
                        results.append(each)

    return {
        "predict": predict,
        "bare": lambda: process_batches(paths, decode, lambda batch: forward(crops[: len(batch)])),
        "resized": lambda: process_batches(paths, resize, lambda batch: forward(np.stack(batch))),
    }


def measure(
    loops: dict[str, Callable[[], None]], repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Return wall time and processor time of every loop in every round."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for number in range(repeats + 1):
        for name, loop in loops.items():
            began = time.perf_counter(), time.process_time()
            loop()
            spent = time.perf_counter() - began[0], time.process_time() - began[1]
            if number:
                seconds[name].append(spent)
                print(f"{name}: {spent[0]:.2f} s, {spent[1]:.2f} s processor time", file=sys.stderr)
    return seconds


def compare(seconds: dict[str, list[tuple[float, float]]], images: int) -> list[str]:
    """Return the table of rates and ratios."""
    rows = [
        "| loop | images per second | predict relative to it | processor time | ms per image |",
        "|---|---|---|---|---|",
    ]
    for name, values in seconds.items():
        rate = images / statistics.median(wall for wall, _ in values)
        spent = statistics.median(processor for _, processor in values) / images * 1000
        ratios = [
            statistics.median(
                other[kind] / own[kind]
                for other, own in zip(values, seconds["predict"], strict=True)
            )
            for kind in (0, 1)
        ]
        rows.append(f"| {name} | {rate:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {spent:.1f} |")
    return rows


def main() -> None:
    """Measure all loops and print their rates and ratios."""
    parser = argparse.ArgumentParser(description="Measure the throughput of nstk predict.")
    parser.add_argument("--images", type=int, default=1000, help="number of images [%(default)s]")
    parser.add_argument("--repeats", type=int, default=5, help="rounds [%(default)s]")
    parser.add_argument("--model", type=Path, help="classifier file; created if missing")
    parser.add_argument("--json", type=Path, help="write all times here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    arguments = parser.parse_args()
    if arguments.model and arguments.model.exists():
        classifier = nstk.Classifier.load(arguments.model)
    else:
        data = find_data("hymenoptera")
        backbone = nstk.load_backbone(NAME)
        classifier = nstk.finetune(data, backbone=backbone).classifier
        if arguments.model:
            classifier.save(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        paths = copy_images(Path(folder), arguments.images)
        differences = compare_inputs(classifier, paths[:COMPARED_IMAGES])
        seconds = measure(build_loops(classifier, paths), arguments.repeats)
    rows = compare(seconds, arguments.images)
    rows += ["", "| files against | largest difference |", "|---|---|"]
    rows += [f"| {name} | {value:.1e} |" for name, value in differences.items()]
    print("\n".join(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"images": arguments.images, "seconds": seconds}))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
