"""Measure the accuracy and cost of fine-tuning, and compare it with the usual training loop.

    python benchmarks/finetune.py --json finetune.json --markdown finetune.md

The network is the default one, EfficientNet-Lite0, at 224 px. Every row is measured in its own
process, and timing starts after the imports; times are medians of --repeats processes, measured in
turn.

- `accuracy`: hymenoptera, 244 training and 153 validation images; trashnet, 600 images in five
  folds. `l2` and, for `auto`, the features are chosen on training images only, separately in every
  fold. trashnet is measured with --seeds different assignments of the folds; the table states the
  first and the mean of all.
- `cost`: `nstk.finetune` on hymenoptera with an empty cache, then with a warm one, from the name of
  the backbone to the classifier. `floor` decodes and crops every image in the same number of
  threads, then passes all crops once through the network by the executor that `auto` chooses,
  including building and compiling it, in the same process.
- `executors`: one pass of 1 000 crops of 224 px by TensorFlow's compiled graph and by LiteRT, after
  both have been built.
- `second stage`: `nstk.finetune` with `--budget`: the accuracy of the original head and of the
  fine-tuned network on the validation images, McNemar's p-value, and the time against the budget.
- `memory`: the maximum resident set size of a process that fine-tunes on the images of hymenoptera,
  and of one that does so on five links to each of them. The difference divided by the number of
  additional images is the cost per image.
- `size`: 20 classes of Tiny-ImageNet, 40 training and 40 validation images each, in their original
  size (64 px) and at half of it, with input size 160, which `--size auto` chooses for them, and
  224.
- `loop`: the Keras tutorial with the same data and network: images from the folder, random flips
  and rotations, a frozen base, dropout and a dense layer, ten epochs of Adam, validation after
  each.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.style_metrics import find_shared

NAME = "efficientnet-lite0"
SIZE = 224
EPOCHS = 10
CHOICES = ("pooled", "auto")

Values = dict[str, Any]


def find_data(name: str) -> Path:
    """Return the folder of one data set."""
    return find_shared() / "data" / name


def measure_accuracy(data: str, features: str, folds: int, seed: int) -> Values:
    """Fine-tune on one data set; return the accuracy, its interval and the chosen features."""
    import nstk

    result = nstk.finetune(
        find_data(data),
        backbone=nstk.load_backbone(NAME),
        settings=nstk.FinetuneSettings(features=features, folds=folds, seed=seed),
        cache=os.environ.get("NSTK_BENCHMARK_CACHE"),
    )
    return {
        "accuracy": result.accuracy,
        "interval": result.accuracy_interval,
        "measured_on": result.measured_on,
        "images": result.evaluation.images,
        "chosen": result.features,
        "recalls": {score.name: score.recall for score in result.evaluation.per_class},
    }


def measure_cost(features: str) -> Values:
    """Time a run with an empty cache, one with a warm cache, and the unavoidable work."""
    import tensorflow as tf

    import nstk
    from nstk.features.networks import BLOCKS

    _ = tf.constant(0), BLOCKS  # the clock starts after all imports
    settings = nstk.FinetuneSettings(features=features)
    data, backbone = find_data("hymenoptera"), nstk.load_backbone(NAME)
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (
            nstk.finetune(data, backbone=backbone, settings=settings, cache=cache) for _ in range(2)
        )
        stored = sum(path.stat().st_size for path in Path(cache).rglob("*.rows"))
    images = cold.train_images + cold.validation_images
    floor = measure_floor()
    return {
        "cold": cold.seconds,
        "warm": warm.seconds,
        "floor": floor,
        "ratio": cold.seconds["total"] / floor["total"],
        "forward_passes": cold.forward_passes,
        "images": images,
        "bytes_per_image": stored / images,
        "accuracy": cold.accuracy,
    }


def measure_floor() -> Values:
    """Time decoding and cropping every image in threads, then one forward pass of all crops."""
    import numpy as np

    import nstk
    from nstk.features.crops import CROPS, crop_levels
    from nstk.features.extractor import BATCH_SIZE, FeatureExtractor
    from nstk.features.prefetching import prefetch
    from nstk.images.loading import load_levels

    paths = [image.path for image in nstk.scan_folder(find_data("hymenoptera")).images]
    began = time.perf_counter()
    crops = list(
        prefetch(paths, lambda path: crop_levels(load_levels(path), SIZE, CROPS[:1])[0], ahead=64)
    )
    decoded = time.perf_counter()
    extractor = FeatureExtractor(nstk.load_backbone(NAME), SIZE, executor="auto", images=len(paths))
    for first in range(0, len(crops), BATCH_SIZE):
        extractor.extract(np.stack(crops[first : first + BATCH_SIZE]))
    ended = time.perf_counter()
    return {"decode": decoded - began, "forward": ended - decoded, "total": ended - began}


def measure_executors(rows: int) -> Values:
    """Time one pass of random crops by each executor."""
    import numpy as np

    import nstk
    from nstk.features.executors import NetworkExecutor
    from nstk.features.extractor import BATCH_SIZE
    from nstk.features.networks import build_feature_network

    network = NetworkExecutor(build_feature_network(nstk.load_backbone(NAME), SIZE, ("pooled",)))
    crops = np.random.default_rng(0).random((BATCH_SIZE, SIZE, SIZE, 3), np.float32)
    batches = rows // BATCH_SIZE
    seconds = {}
    for executor in ("tensorflow", "litert"):
        began = time.perf_counter()
        run = network.run(executor)
        run(crops)
        built = time.perf_counter()
        for _ in range(batches):
            run(crops)
        passed = time.perf_counter() - built
        seconds[executor] = {"build": built - began, "row": passed / batches / BATCH_SIZE}
    return {**seconds, "ratio": seconds["litert"]["row"] / seconds["tensorflow"]["row"]}


def measure_second_stage(data: str, budget: float) -> Values:
    """Fine-tune with unfreezing under a time budget."""
    import nstk

    began = time.perf_counter()
    result = nstk.finetune(
        find_data(data),
        backbone=nstk.load_backbone(NAME),
        settings=nstk.FinetuneSettings(budget=budget),
    )
    stage = result.second_stage
    if stage is None:
        raise SystemExit("; ".join(result.notices))
    return {**stage.to_dict(), "seconds": time.perf_counter() - began, "budget": budget}


def measure_memory(copies: int) -> Values:
    """Fine-tune on a number of links to every image of hymenoptera."""
    import resource

    import nstk

    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(find_data("hymenoptera").rglob("*.jpg")):
            class_folder = Path(folder, path.parent.name)
            class_folder.mkdir(exist_ok=True)
            for number in range(copies):
                Path(class_folder, f"{number}-{path.name}").symlink_to(path)
        result = nstk.finetune(folder, backbone=nstk.load_backbone(NAME))
    return {
        "images": result.train_images + result.validation_images,
        "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def measure_size(side: int, size: int) -> Values:
    """Fine-tune on images of ``side`` pixels with input size ``size``."""
    import numpy as np
    from PIL import Image

    import nstk

    root = find_data("tiny-imagenet")
    names = [line.split("\t")[0] for line in (root / "classes.tsv").read_text().splitlines()]
    chosen = np.random.default_rng(0).permutation(names)[:20]

    def cut_sheet(name: str, split: str) -> list[Any]:
        sheet = Image.open(root / split / f"{name}.jpg").convert("RGB")
        columns = sheet.width // 64
        cells = [(64 * (cell % columns), 64 * (cell // columns)) for cell in range(40)]
        images = [sheet.crop((x, y, x + 64, y + 64)).resize((side, side)) for x, y in cells]
        return [np.asarray(image) for image in images]

    data = {
        split: (
            [each for name in chosen for each in cut_sheet(name, split)],
            np.repeat(range(20), 40),
        )
        for split in ("train", "val")
    }
    settings = nstk.FinetuneSettings(size=size)
    backbone = nstk.load_backbone(NAME)
    result = nstk.finetune(data, backbone=backbone, settings=settings)
    return {"accuracy": result.accuracy, "seconds": result.seconds["total"]}


def measure_loop() -> Values:
    """Time the usual training loop: a frozen base, augmentation, ten epochs."""
    import keras

    import nstk

    keras.utils.set_random_seed(0)
    began = time.perf_counter()
    train, validation = (
        keras.utils.image_dataset_from_directory(
            find_data("hymenoptera") / split,
            image_size=(SIZE, SIZE),
            batch_size=32,
            shuffle=split == "train",
            seed=0,
            verbose=False,
        ).prefetch(2)
        for split in ("train", "val")
    )
    base = nstk.load_backbone(NAME).model
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.RandomFlip("horizontal")(image)
    x = keras.layers.RandomRotation(0.2)(x)
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(train, validation_data=validation, epochs=EPOCHS, verbose=0).history
    return {
        "seconds": time.perf_counter() - began,
        "accuracy": history["val_accuracy"][-1],
        "best_epoch": max(history["val_accuracy"]),
        "forward_passes": EPOCHS * (244 + 153),
    }


MEASURES: dict[str, Callable[..., Values]] = {
    "accuracy": measure_accuracy,
    "cost": measure_cost,
    "executors": measure_executors,
    "second stage": measure_second_stage,
    "memory": measure_memory,
    "size": measure_size,
    "loop": measure_loop,
}


def measure(name: str, *arguments: Any) -> Values:
    """Run one measurement in its own process."""
    command = [sys.executable, __file__, "--measure", json.dumps([name, *arguments])]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    values: Values = json.loads(process.stdout.splitlines()[-1])
    print(name, *arguments, json.dumps(values)[:300], file=sys.stderr)
    return values


def median(runs: list[Values], *names: str) -> float:
    """Return the median over runs of one value, given its nested keys."""

    def lookup(values: Any) -> float:
        for name in names:
            values = values[name]
        return float(values)

    return statistics.median(map(lookup, runs))


def measure_all(repeats: int, seeds: int, budget: float) -> Values:
    """Run all measurements."""
    results: Values = {"accuracy": {}, "cost": {choice: [] for choice in CHOICES}, "loop": []}
    results["executors"] = [measure("executors", 1000) for _ in range(repeats)]
    results["second stage"] = {
        data: measure("second stage", data, budget) for data in ("hymenoptera", "trashnet")
    }
    for _ in range(repeats):
        for choice in CHOICES:
            results["cost"][choice].append(measure("cost", choice))
        results["loop"].append(measure("loop"))
    results["memory"] = [measure("memory", copies) for copies in (1, 5)]
    results["size"] = {
        f"{side} px at {size}": measure("size", side, size)
        for side in (64, 32)
        for size in (160, 224)
    }
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NSTK_BENCHMARK_CACHE"] = cache
        for choice in CHOICES:
            results["accuracy"][f"hymenoptera {choice}"] = [
                measure("accuracy", "hymenoptera", choice, 0, 0)
            ]
            results["accuracy"][f"trashnet {choice}"] = [
                measure("accuracy", "trashnet", choice, 5, seed) for seed in range(seeds)
            ]
    return results


def write_table(results: Values) -> str:
    """Return the results as a Markdown table."""
    targets = {
        "hymenoptera pooled": "≥ 94.0 %",
        "hymenoptera auto": "–",
        "trashnet pooled": "≥ 83.0 %",
        "trashnet auto": "≥ 86.5 %",
    }
    lines = ["| figure | target | measured |", "|---|---|---|"]
    for name, target in targets.items():
        runs = results["accuracy"][name]
        low, high = runs[0]["interval"]
        mean = statistics.mean(run["accuracy"] for run in runs)
        average = f"; {100 * mean:.1f} % over {len(runs)} seeds" if len(runs) > 1 else ""
        lines.append(
            f"| {name} | {target} | {100 * runs[0]['accuracy']:.1f} % "
            f"({100 * low:.1f}–{100 * high:.1f}), {runs[0]['chosen']}{average} |"
        )
    loop = results["loop"]
    for choice, runs in results["cost"].items():
        total = median(runs, "cold", "total")
        lines += [
            f"| forward passes, {choice} | {runs[0]['images']} | {runs[0]['forward_passes']} |",
            f"| wall, {choice}: decode + one pass | ≤ 1.25 × | {median(runs, 'ratio'):.2f} × "
            f"({total:.1f} s of {median(runs, 'floor', 'total'):.1f} s) |",
            f"| second run, cache warm, {choice} | ≤ 3 s | {median(runs, 'warm', 'total'):.1f} s |",
            f"| time relative to the tutorial loop, {choice} | ≤ 0.067 | "
            f"{total / median(loop, 'seconds'):.3f} ({100 * runs[0]['accuracy']:.1f} % against "
            f"{100 * median(loop, 'accuracy'):.1f} %) |",
            f"| bytes stored per image, {choice} | – | {median(runs, 'bytes_per_image'):.0f} |",
        ]
    executors = results["executors"]
    times = [1000 * median(executors, name, "row") for name in ("litert", "tensorflow")]
    lines.append(
        f"| frozen pass, LiteRT: TensorFlow | ≤ 0.5 × (AVX2) | {median(executors, 'ratio'):.2f} × "
        f"({times[0]:.1f} ms of {times[1]:.1f} ms an image) |"
    )
    lines += [describe_second_stage(*each) for each in results["second stage"].items()]
    few, many = results["memory"]
    more = (many["peak"] - few["peak"]) / (many["images"] - few["images"])
    lines.append(
        f"| peak memory, {few['images']} images | – | {few['peak'] / 2**20:.0f} MiB, plus "
        f"{more / 1024:.0f} KiB per additional image |"
    )
    for name, run in results["size"].items():
        accuracy, seconds = 100 * run["accuracy"], run["seconds"]
        lines.append(f"| Tiny-ImageNet, {name} | – | {accuracy:.1f} %, {seconds:.0f} s |")
    return "\n".join(lines) + "\n"


def describe_second_stage(data: str, run: Values) -> str:
    """Return the table row of the second stage."""
    return (
        f"| second stage, {data}, {run['blocks']} blocks, {run['taken']} steps "
        "| never below the original head | "
        f"{100 * run['finetuned_accuracy']:.1f} % against {100 * run['probe_accuracy']:.1f} %, "
        f"p = {run['p_value']:.3g}, kept: {run['kept']}; {run['pinned']} arrays of batch "
        f"normalization bit-identical; {run['seconds']:.0f} s of {run['budget']:.0f} s |"
    )


def main() -> None:
    """Run all measurements and write the table, or run one for the parent process."""
    parser = argparse.ArgumentParser(description="Measure fine-tuning.")
    parser.add_argument("--json", type=Path, default=Path("finetune.json"), help="results")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--repeats", type=int, default=3, help="processes per measurement of time")
    parser.add_argument("--seeds", type=int, default=3, help="assignments of the folds")
    parser.add_argument("--budget", type=float, default=300, help="seconds for the second stage")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, *parameters = arguments.measure
        print(json.dumps(MEASURES[name](*parameters)))
        return
    results = measure_all(arguments.repeats, arguments.seeds, arguments.budget)
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    table = write_table(results)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table)


if __name__ == "__main__":
    main()
