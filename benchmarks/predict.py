"""Measure how fast `nstk predict` is against the least that has to be done.

    python benchmarks/predict.py --images 1000 --markdown predict.md

The classifier is `mobilenet-0.75` on hymenoptera, the images are those of trashnet and
hymenoptera in turn, copied into one folder. Every loop reads files in as many threads as
`nstk.predict` does, while the network works, in batches of 32.

- `predict`: `nstk.stream_predictions`, every answer written to a JSONL file as the command does.
- `bare`: every file decoded by Pillow, and the bare backbone, compiled, on a batch of squares that
  are there already, once for every 32 files. Nothing is cut or resized, hashed, named or written.
- `resized`: the same, each image cropped and resized to its square by Pillow, which is the least
  that a program needs to give the network what it has decoded.

Rates are medians over --repeats rounds, in each of which all loops are measured in turn, after one
round that is not counted; ratios are medians of the rounds' own. The bar is 0.9 of `bare`. Where
other programs are using the machine, the time of the processor says more than the clock.

Before that, a part of the images is classified in several ways, and the largest difference of one
probability is printed for each: from files in batches of 32, against their bytes, arrays of uint8,
floats in [0, 1], batches of one, and the plain Keras model called on one array at a time.
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
from benchmarks.finetune import NAME, SIZE, find_data, find_weights
from nstk.features.prefetching import BATCH, read_ahead

COMPARED = 60


def gather_images(folder: Path, count: int) -> list[Path]:
    """Copy so many images into a folder, of both sets in turn."""
    sets = [sorted(find_data(name).rglob("*.jpg")) for name in ("trashnet", "hymenoptera")]
    mixed = [path for path in chain.from_iterable(zip_longest(*sets)) if path]
    return [
        Path(shutil.copy(path, folder / f"{number}.jpg"))
        for number, path in enumerate(islice(cycle(mixed), count))
    ]


def decode(path: Path) -> Any:
    """Decode one file as plainly as can be: uint8 ``(height, width, 3)``."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def resize(path: Path) -> Any:
    """Decode one file, and resize its largest centered square: float32 in ``[0, 1]``."""
    with Image.open(path) as image:
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        square = image.convert("RGB").resize(
            (SIZE, SIZE), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
        )
    return np.asarray(square, np.float32) / 255


def compare_ways(classifier: nstk.Classifier, paths: Sequence[Path]) -> dict[str, float]:
    """The largest difference of one probability, by how the images are given."""

    def ask(images: Sequence[Any], batch: int = BATCH) -> list[Any]:
        found = nstk.predict(classifier, images, top=len(classifier.classes), batch=batch)
        return [[dict(each.top)[name] for name in classifier.classes] for each in found.predictions]

    arrays = [np.rint(nstk.load_image(path).pixels * 255).astype(np.uint8) for path in paths]
    answers = {
        "bytes": ask([path.read_bytes() for path in paths]),
        "arrays": ask(arrays),
        "floats": ask([array / np.float32(255) for array in arrays]),
        "batches of one": ask(paths, batch=1),
        "the Keras model": [classifier.model(array[np.newaxis])[0].numpy() for array in arrays],
    }
    expected = np.array(ask(paths))
    return {name: float(np.abs(answer - expected).max()) for name, answer in answers.items()}


def pass_on(paths: Sequence[Path], read: Callable[[Path], Any], look: Callable[[Any], Any]) -> None:
    """Read all files ahead, and look at a batch whenever there are enough."""
    outcomes = read_ahead(paths, read, ahead=2 * BATCH)
    while batch := list(islice(outcomes, BATCH)):
        look(batch)


def build_loops(
    classifier: nstk.Classifier, paths: Sequence[Path]
) -> dict[str, Callable[[], None]]:
    """Everything that is measured, by its name."""
    backbone = nstk.load_backbone(NAME, weights=find_weights())
    forward = tf.function(
        lambda squares: backbone.model(squares, training=False),
        input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)],
    )
    squares = np.random.default_rng(0).random((BATCH, SIZE, SIZE, 3), np.float32)

    def predict() -> None:
        with tempfile.TemporaryDirectory() as place:
            results = nstk.ResultsFile(Path(place, "labels.jsonl"), classifier)
            with results:
                for each in nstk.stream_predictions(classifier, paths):
                    if isinstance(each, nstk.Prediction):
                        results.append(each)

    return {
        "predict": predict,
        "bare": lambda: pass_on(paths, decode, lambda batch: forward(squares[: len(batch)])),
        "resized": lambda: pass_on(paths, resize, lambda batch: forward(np.stack(batch))),
    }


def measure(
    loops: dict[str, Callable[[], None]], repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Seconds of every loop in every round, on the clock and of the processor."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for number in range(repeats + 1):
        for name, loop in loops.items():
            began = time.perf_counter(), time.process_time()
            loop()
            spent = time.perf_counter() - began[0], time.process_time() - began[1]
            if number:
                seconds[name].append(spent)
                print(f"{name}: {spent[0]:.2f} s, {spent[1]:.2f} s of processor", file=sys.stderr)
    return seconds


def compare(seconds: dict[str, list[tuple[float, float]]], images: int) -> list[str]:
    """The table of rates and of ratios."""
    rows = [
        "| loop | images a second | predict against it | by processor time | ms of it |",
        "|---|---|---|---|---|",
    ]
    for name, values in seconds.items():
        rate = images / statistics.median(clock for clock, _ in values)
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
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", type=Path, help="classifier, made and kept there if it is none")
    parser.add_argument("--json", type=Path, help="write all seconds here")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    if arguments.model and arguments.model.exists():
        classifier = nstk.load_classifier(arguments.model)
    else:
        data = find_data("hymenoptera")
        classifier = nstk.finetune(data, backbone=NAME, weights=find_weights()).classifier
        if arguments.model:
            classifier.save(arguments.model)
    with tempfile.TemporaryDirectory() as place:
        paths = gather_images(Path(place), arguments.images)
        differences = compare_ways(classifier, paths[:COMPARED])
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
