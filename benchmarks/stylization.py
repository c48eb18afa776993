"""Compare the default recipe of nstk with plain neural style transfer, at equal wall time.

    python benchmarks/stylization.py --json stylization.json --markdown stylization.md

Six pairs, both methods on the packaged network, measured by `benchmarks/style_metrics.py`, whose
network neither method uses. `nstk` is `nstk.stylize` with its defaults. `plain` is the method of
Gatys, Ecker and Bethge (2016) as most tools implement it: one scale, the content as start, zero
padding, Gram matrices of the first convolution of every block with equal weights,

    L = α·½ Σ (F − P)² + β·Σ_l 1/5 · 1/(4 N_l² M_l²) · Σ (G − A)²,

content at block4_conv2, Adam with learning rate 0.02, pixels clamped to [0, 1]. It runs as long as
`nstk` did on the same pair, once for each of four ratios α/β. Its best result counts: the lowest
style error among the results that preserve no more content than `nstk` did. If `nstk` still has a
lower style error, it is better in style and no worse in content.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

import nstk
from benchmarks.compact import PAIRS
from benchmarks.style_metrics import StyleMetrics, find_shared, measure_style
from nstk.images.image import fit_size, resize_image
from nstk.images.loading import load_image

STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_LAYER = "block4_conv2"
LEARNING_RATE = 0.02
RATIOS = (1e-8, 1e-7, 1e-6, 1e-5)


class Row(TypedDict):
    """The metrics of one method on one pair."""

    style_error: float
    content_cosine: float
    luma_ssim: float
    seconds: float
    ratio: float | None


def stylize_plain(
    backbone: nstk.Backbone,
    content: nstk.Image,
    style: nstk.Image,
    *,
    size: int,
    ratio: float,
    seconds: float,
) -> nstk.Image:
    """Run the plain method for a given time.

    Args:
        backbone: The network.
        content: The content image.
        style: The style image.
        size: Longer side of the result in pixels.
        ratio: α/β.
        seconds: Time for the steps, without compilation.
    """
    content = resize_image(content, *fit_size(*content.shape[:2], size))
    style = resize_image(style, *fit_size(*style.shape[:2], size))
    taps = backbone.tap([*STYLE_LAYERS, CONTENT_LAYER])
    target = taps(tf.constant(content[np.newaxis]), training=False)[CONTENT_LAYER]
    style_maps = taps(tf.constant(style[np.newaxis]), training=False)
    grams = {name: _gram(style_maps[name]) for name in STYLE_LAYERS}
    positions = {name: _count_positions(style_maps[name]) for name in STYLE_LAYERS}

    def compute_loss(image: Any) -> Any:
        maps = taps(image[tf.newaxis], training=False)
        loss = ratio * 0.5 * tf.reduce_sum(tf.square(maps[CONTENT_LAYER] - target))
        for name in STYLE_LAYERS:
            # A style of another size has another number of positions M: divide both by M.
            difference = (
                _gram(maps[name]) / _count_positions(maps[name]) - grams[name] / positions[name]
            )
            channels = float(maps[name].shape[-1])
            loss += tf.reduce_sum(tf.square(difference)) / (5 * 4 * channels**2)
        return loss

    image = tf.Variable(content)
    adam = tf.keras.optimizers.Adam(LEARNING_RATE)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = compute_loss(image)
        adam.apply_gradients([(tape.gradient(loss, image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))

    step()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        step()
    result: nstk.Image = image.numpy()
    return result


def _gram(maps: Any) -> Any:
    flat = tf.reshape(maps, [-1, maps.shape[-1]])
    return tf.matmul(flat, flat, transpose_a=True)


def _count_positions(maps: Any) -> float:
    return float(maps.shape[1] * maps.shape[2])


def make_row(metrics: StyleMetrics, seconds: float, ratio: float | None = None) -> Row:
    """Select the metrics that the table needs."""
    return Row(
        style_error=metrics["style_error"],
        content_cosine=metrics["content_cosine"],
        luma_ssim=metrics["luma_ssim"],
        seconds=seconds,
        ratio=ratio,
    )


def compare(names: tuple[str, str], size: int, keep: Path | None) -> dict[str, list[Row]]:
    """Stylize one pair with both methods and measure every result."""
    folder = find_shared() / "data" / "pictures"
    content = load_image(folder / "content" / f"{names[0]}.jpg").pixels
    style = load_image(folder / "style" / f"{names[1]}.jpg").pixels
    backbone = nstk.load_backbone("compact")
    began = time.perf_counter()
    result = nstk.stylize(content, style, size=size, value_range=(0, 1), backbone=backbone).image
    seconds = time.perf_counter() - began
    plain = [
        stylize_plain(backbone, content, style, size=size, ratio=ratio, seconds=seconds)
        for ratio in RATIOS
    ]
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        for name, image in (("nstk", result), *zip(map(str, RATIOS), plain, strict=True)):
            nstk.save_image(keep / f"{'-'.join(names)}-{name}.png", image)
    return {
        "nstk": [make_row(measure_style(content, style, result), seconds)],
        "plain": [
            make_row(measure_style(content, style, image), seconds, ratio)
            for ratio, image in zip(RATIOS, plain, strict=True)
        ],
    }


def choose_best_plain(nstk_row: Row, plain: list[Row]) -> Row:
    """Return the lowest style error at no more content, or the least content if all have more."""
    candidates = [row for row in plain if row["content_cosine"] <= nstk_row["content_cosine"]]
    if candidates:
        return min(candidates, key=lambda row: row["style_error"])
    return min(plain, key=lambda row: row["content_cosine"])


def write_table(results: dict[str, dict[str, list[Row]]], size: int) -> str:
    """Return the table, one row per pair, and a summary."""
    lines = [
        f"| pair, {size} px | nstk: style error @ content cosine | best of plain | seconds each |",
        "|---|---|---|---|",
    ]
    better = 0
    for pair, rows in results.items():
        (nstk_row,) = rows["nstk"]
        plain_row = choose_best_plain(nstk_row, rows["plain"])
        better += (
            nstk_row["style_error"] < plain_row["style_error"]
            and nstk_row["content_cosine"] >= plain_row["content_cosine"]
        )
        cells = [
            f"{r['style_error']:.3f} @ {r['content_cosine']:.3f}" for r in (nstk_row, plain_row)
        ]
        lines.append(f"| {pair} | {cells[0]} | {cells[1]} | {nstk_row['seconds']:.0f} |")
    lines.append(
        f"\nLower style error at no lower content cosine on {better} of {len(results)} pairs."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Stylize and measure all pairs that the JSON file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="longer side in pixels [%(default)s]")
    parser.add_argument("--json", type=Path, default=Path("stylization.json"), help="results")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--keep", type=Path, help="store the images here")
    arguments = parser.parse_args()
    results: dict[str, dict[str, list[Row]]] = {}
    if arguments.json.is_file():
        results = json.loads(arguments.json.read_text("utf-8"))
    for names in PAIRS:
        pair = " × ".join(names)
        if pair not in results:
            results[pair] = compare(names, arguments.size, arguments.keep)
            arguments.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
            print(pair, results[pair], flush=True)
    table = write_table(results, arguments.size)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table, "utf-8")


if __name__ == "__main__":
    main()
