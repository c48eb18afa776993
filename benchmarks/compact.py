"""Measure the packaged network, and random weights of the same architecture, row by row.

    python benchmarks/compact.py --json compact.json --markdown compact.md

Rows already in the JSON file are not measured again unless --rows names them, so a long
measurement can be split. `random` is the same architecture with He-normal kernels and zero biases.

- `top_1`: Tiny-ImageNet validation images at 64 px, one crop, with a softmax head solved on the
  frozen embeddings of the training images.
- `hymenoptera`, `trashnet`: a head solved by nstk on frozen features, with `l2` chosen on the
  training images only; 153 validation images, and five folds of 600. `pooled` is the mean of the
  last feature map; `statistics` adds means and standard deviations of the first convolution of
  every block. `accuracy` is that of one fixed setting: statistics at 160 px and at 224 px; `chosen`
  names the setting with the smallest out-of-fold log-loss on the training images; `all` lists the
  accuracy of every setting.
- `style`: `nstk.stylize` with its defaults at 512 px on six pairs, measured by
  benchmarks/style_metrics.py.
- `style_256`: the same on every second pair at 256 px, for quick comparisons.
- `step`: median seconds per step at 512 px, one scale, against a VGG19-shaped network.
- `wall`: `nstk stylize` from the start of the process to the file, 512 px, defaults.
- `file`: size of the packaged file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import nstk
from benchmarks.style_metrics import find_shared, measure_style
from examples.train_compact import evaluation, network, sheets, teachers
from nstk.backbones.backbone import Backbone
from nstk.backbones.packaged import build_compact
from nstk.heads.head import assign_folds, fit_head
from nstk.images.image import resize_image
from nstk.images.loading import load_image

PACKAGED = Path(__file__).resolve().parents[1] / "nstk" / "backbones" / "data" / "compact.npz"
PAIRS = (
    ("tubingen", "starry_night"),
    ("tubingen", "great_wave"),
    ("lion", "scream"),
    ("lion", "composition_vii"),
    ("figures", "water_lilies"),
    ("figures", "wheat_field"),
)
SIZES = (96, 160, 224)
VGG19 = {"widths": (64, 128, 256, 512, 512), "depths": (2, 2, 4, 4, 4)}
TARGETS = {
    "top_1": "≥ 0.46",
    "hymenoptera": "≥ 0.84",
    "trashnet": "≥ 0.72",
    "style_error": "≤ 0.20, and ≤ 0.6 × random",
    "content_cosine": "≥ 0.72",
    "step": "≤ 1/8 of VGG19's",
    "wall": "≤ 60 s",
    "file": "≤ 6 MB",
}

Values = dict[str, Any]


def load_network(weights: Path | None) -> Backbone:
    """Return the architecture with the weights of a packaged file, or random ones if None."""
    model = build_compact()
    if weights is None:
        drawn = network.initial_weights(seed=0)
        values = {name: array for name, array in drawn.items() if name.endswith("/kernel")}
        for name, _, outputs, _ in network.list_layers():
            values[f"{name}/bias"] = np.zeros(outputs, np.float32)
    else:
        values = evaluation.read_weights(weights)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([values[f"{layer.name}/kernel"], values[f"{layer.name}/bias"]])
    return Backbone("compact", model, 64, str(weights or "random"))


def measure_top_1(backbone: Backbone) -> Values:
    """Solve a 200-class head on the embeddings of the training images; evaluate it on val."""
    folder = find_shared() / "data" / "tiny-imagenet"
    classes = sheets.read_classes(folder)
    train, val = (sheets.read_split(folder, split, classes) for split in ("train", "val"))
    vectors = evaluation.embed(backbone.embed, train.pixels)
    mean, std = vectors.mean(0), vectors.std(0) + 1e-6
    probe = teachers.solve_probe((vectors - mean) / std, train.labels, iterations=100)
    standardized = (evaluation.embed(backbone.embed, val.pixels) - mean) / std
    logits = standardized @ probe[:-1] + probe[-1]
    return {"solved_head": float((logits.argmax(1) == val.labels).mean())}


def read_folder(root: Path, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read class folders: the center crop of each image, resized, and its label."""
    crops, labels = [], []
    for label, folder in enumerate(sorted(path for path in root.iterdir() if path.is_dir())):
        for path in sorted(folder.iterdir()):
            pixels = load_image(path).pixels
            height, width = pixels.shape[:2]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            crop = pixels[top : top + side, left : left + side]
            crops.append(resize_image(crop, size, size))
            labels.append(label)
    return np.stack(crops), np.array(labels)


def compute_features(backbone: Backbone, images: NDArray[np.float32]) -> dict[str, Any]:
    """Compute the `pooled` and the `statistics` features; see the docstring of this module."""
    taps = [*network.STYLE_TAPS, backbone.taps[-1]]
    tapped = backbone.tap(taps)

    @tf.function
    def describe(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = tapped(batch)
        moments = [tf.nn.moments(maps[name], (1, 2)) for name in taps]
        pooled = moments[-1][0]
        parts = [part for mean, variance in moments for part in (mean, tf.sqrt(variance))]
        return pooled, tf.concat(parts, 1)

    batches = [describe(images[i : i + 20]) for i in range(0, len(images), 20)]
    pooled, statistics = (np.concatenate([b[k].numpy() for b in batches]) for k in (0, 1))
    return {"pooled": pooled, "statistics": statistics}


def measure_folder(
    backbone: Backbone,
    read: Callable[[int], tuple[Any, Any, NDArray[np.int64]]],
    fixed: str,
) -> Values:
    """Measure the accuracy of every size and kind of features.

    Args:
        backbone: The network.
        read: Returns crops of a size, their labels and their folds. For every fold, a head is
            fitted on all other images and evaluated on the fold. Fold −1 is never evaluated.
        fixed: The setting whose accuracy is reported.
    """
    table, losses = {}, {}
    for size in SIZES:
        images, labels, folds = read(size)
        for kind, vectors in compute_features(backbone, images).items():
            correct, loss, measured = 0, 0.0, 0
            for fold in range(folds.max() + 1):
                out = folds == fold
                targets = labels[~out, np.newaxis] == np.arange(labels.max() + 1)
                head = fit_head(vectors[~out], targets)
                guesses = (vectors[out] @ head.kernel + head.bias).argmax(1)
                correct += int((guesses == labels[out]).sum())
                measured += int(out.sum())
                loss += float(head.link.losses(targets, head.oof_logits).sum())
            table[f"{kind} {size}"], losses[f"{kind} {size}"] = correct / measured, loss
    chosen = min(losses, key=losses.__getitem__)
    return {"accuracy": table[fixed], "fixed": fixed, "chosen": chosen, "all": table}


def measure_hymenoptera(backbone: Backbone) -> Values:
    """Fit on the training images, evaluate on the validation images."""
    root = find_shared() / "data" / "hymenoptera"

    def read(size: int) -> tuple[Any, Any, NDArray[np.int64]]:
        train, val = read_folder(root / "train", size), read_folder(root / "val", size)
        folds = np.repeat([-1, 0], [len(train[1]), len(val[1])])
        return np.concatenate([train[0], val[0]]), np.concatenate([train[1], val[1]]), folds

    return measure_folder(backbone, read, fixed="statistics 160")


def measure_trashnet(backbone: Backbone) -> Values:
    """Evaluate in five stratified folds."""

    def read(size: int) -> tuple[Any, Any, NDArray[np.int64]]:
        images, labels = read_folder(find_shared() / "data" / "trashnet", size)
        return images, labels, assign_folds(labels, 5, seed=0)

    return measure_folder(backbone, read, fixed="statistics 224")


def measure_stylization(
    backbone: Backbone,
    keep: Path | None,
    size: int = 512,
    chosen: Sequence[tuple[str, str]] = PAIRS,
) -> Values:
    """Stylize pairs with the defaults and compute their quality metrics."""
    images = find_shared() / "data" / "pictures"
    settings = nstk.StylizeSettings(size=size)
    pairs = {}
    for content, style in chosen:
        paths = images / "content" / f"{content}.jpg", images / "style" / f"{style}.jpg"
        result = nstk.stylize(*paths, backbone=backbone, settings=settings)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            result.save(keep / f"{content}-{style}.png")
        metrics = measure_style(*(nstk.load_image(path).pixels for path in paths), result.image)
        pairs[f"{content} × {style}"] = {**metrics, "seconds": result.seconds}
        print(f"{content} × {style}: {metrics['style_error']:.4f}", file=sys.stderr)
    means = {
        name: float(np.mean([pair[name] for pair in pairs.values()]))
        for name in ("style_error", "content_cosine", "content_error", "luma_ssim")
    }
    return {**means, "pairs": pairs}


def measure_step(backbone: Backbone) -> Values:
    """Time steps at 512 px with this network and with a VGG19-shaped one.

    `share` is their ratio in float32, `share_auto` in the precision that nstk chooses for each.
    """
    images = find_shared() / "data" / "pictures"
    paths = images / "content" / "tubingen.jpg", images / "style" / "starry_night.jpg"
    vgg19 = Backbone("vgg19", build_compact(**VGG19), 224, "random")

    def time_step(network: Backbone, precision: str) -> float:
        settings = nstk.StylizeSettings(size=512, scales=1, steps=10, precision=precision)
        return nstk.stylize(*paths, backbone=network, settings=settings).seconds_per_step

    compact, large = (time_step(network, "float32") for network in (backbone, vgg19))
    compact_auto, large_auto = (time_step(network, "auto") for network in (backbone, vgg19))
    return {
        "compact": compact,
        "vgg19": large,
        "share": compact / large,
        "compact_auto": compact_auto,
        "vgg19_auto": large_auto,
        "share_auto": compact_auto / large_auto,
    }


def measure_wall() -> Values:
    """Time the command from the start of its process to the written file."""
    images = find_shared() / "data" / "pictures"
    paths = images / "content" / "tubingen.jpg", images / "style" / "starry_night.jpg"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nstk_cli", "stylize", *map(str, paths)]
        command += ["--output", str(Path(folder) / "result.png")]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return {"seconds": time.perf_counter() - began}


def write_table(results: dict[str, dict[str, Values]]) -> str:
    """Return the results as a Markdown table."""

    def cells(row: str, key: str, digits: int = 3) -> str:
        values = []
        for weights in ("packaged", "random"):
            value = results.get(row, {}).get(weights, {}).get(key)
            values.append("–" if value is None else f"{value:.{digits}f}")
        return " | ".join(values)

    lines = ["| figure | target | packaged | random weights |", "|---|---|---|---|"]
    lines += [
        f"| Tiny-ImageNet val top-1 | {TARGETS['top_1']} | {cells('top_1', 'solved_head')} |",
        f"| hymenoptera val | {TARGETS['hymenoptera']} | {cells('hymenoptera', 'accuracy')} |",
        f"| trashnet, 5 folds | {TARGETS['trashnet']} | {cells('trashnet', 'accuracy')} |",
        f"| mean style error | {TARGETS['style_error']} | {cells('style', 'style_error')} |",
        f"| mean content cosine | {TARGETS['content_cosine']} "
        f"| {cells('style', 'content_cosine')} |",
        f"| step, share of VGG19's | {TARGETS['step']} | {cells('step', 'share')} |",
        f"| `nstk stylize`, 512 px, seconds | {TARGETS['wall']} | {cells('wall', 'seconds', 1)} |",
        f"| packaged file, MB | {TARGETS['file']} | {cells('file', 'megabytes', 2)} |",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the chosen rows and write the results and the table."""
    rows: dict[str, Callable[[Backbone], Values]] = {
        "top_1": measure_top_1,
        "hymenoptera": measure_hymenoptera,
        "trashnet": measure_trashnet,
        "style": lambda backbone: measure_stylization(backbone, arguments.keep),
        "style_256": lambda backbone: measure_stylization(backbone, None, 256, PAIRS[::2]),
        "step": measure_step,
        "wall": lambda _: measure_wall(),
        "file": lambda _: {"megabytes": arguments.weights.stat().st_size / 1e6},
    }
    parser = argparse.ArgumentParser(description="Measure the packaged network.")
    parser.add_argument("--weights", type=Path, default=PACKAGED, help="packaged file to measure")
    parser.add_argument(
        "--rows", nargs="+", choices=rows, help="measure only these rows, even if known"
    )
    parser.add_argument(
        "--only", choices=("packaged", "random"), help="measure only one of the two networks"
    )
    parser.add_argument("--json", type=Path, default=Path("compact.json"), help="results")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--keep", type=Path, help="store the stylized images here")
    arguments = parser.parse_args()
    results = json.loads(arguments.json.read_text()) if arguments.json.is_file() else {}
    for row, measure in rows.items():
        for kind, weights in (("packaged", arguments.weights), ("random", None)):
            if kind == "random" and row in ("step", "wall", "file"):
                continue
            known = kind in results.get(row, {}) and row not in (arguments.rows or ())
            skipped = arguments.rows is not None and row not in arguments.rows
            if known or skipped or arguments.only not in (None, kind):
                continue
            results.setdefault(row, {})[kind] = measure(load_network(weights))
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
            print(row, kind, json.dumps(results[row][kind])[:400], file=sys.stderr)
    table = write_table(results)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table)


if __name__ == "__main__":
    main()
