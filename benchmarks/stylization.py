"""Compare nstk's default recipe with plain neural style transfer, at equal wall time.

    python benchmarks/stylization.py --json stylization.json --markdown stylization.md

Six pairs, both ways on the packaged network, judged by `benchmarks/style_judge.py`, whose network
neither of them looks through. `nstk` is `nstk.stylize` with its defaults. `plain` is the method of
Gatys, Ecker and Bethge (2016) as most tools have it: one scale, the content as start, zero
padding, Gram matrices of the first convolution of every block with equal weights,

    L = α·½ Σ (F − P)² + β·Σ_l 1/5 · 1/(4 N_l² M_l²) · Σ (G − A)²,

content at block4_conv2, Adam with learning rate 0.02, pixels clamped to [0, 1]. It runs as long
as `nstk` did on the same pair, once for each α/β of a list, and what counts is its best: the least
style error among those results that hold no more content than `nstk` did. Where `nstk` has less
style error still, it is better at no worse content.
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
from benchmarks.style_judge import Judgment, find_shared, judge
from nstk.images.image import fit_size, load_image, resize_image

STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_LAYER = "block4_conv2"
LEARNING_RATE = 0.02
RATIOS = (1e-8, 1e-7, 1e-6, 1e-5)


class Row(TypedDict):
    """One way to paint one pair."""

    style_error: float
    content_cosine: float
    luma_ssim: float
    seconds: float
    ratio: float | None


def paint_plainly(
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
        content: What to paint.
        style: How.
        size: Longer side of the result in pixels.
        ratio: α/β.
        seconds: Of the descent, compilation left out.
    """
    content = resize_image(content, *fit_size(*content.shape[:2], size))
    style = resize_image(style, *fit_size(*style.shape[:2], size))
    taps = backbone.tap([*STYLE_LAYERS, CONTENT_LAYER])
    target = taps(tf.constant(content[np.newaxis]), training=False)[CONTENT_LAYER]
    seen = taps(tf.constant(style[np.newaxis]), training=False)
    grams = {name: _gram(seen[name]) for name in STYLE_LAYERS}
    places = {name: _places(seen[name]) for name in STYLE_LAYERS}

    def measure(image: Any) -> Any:
        maps = taps(image[tf.newaxis], training=False)
        loss = ratio * 0.5 * tf.reduce_sum(tf.square(maps[CONTENT_LAYER] - target))
        for name in STYLE_LAYERS:
            # A style of another size has another number of places M: both Grams are per place.
            difference = _gram(maps[name]) / _places(maps[name]) - grams[name] / places[name]
            channels = float(maps[name].shape[-1])
            loss += tf.reduce_sum(tf.square(difference)) / (5 * 4 * channels**2)
        return loss

    image = tf.Variable(content)
    adam = tf.keras.optimizers.Adam(LEARNING_RATE)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = measure(image)
        adam.apply_gradients([(tape.gradient(loss, image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))

    step()
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        step()
    result: nstk.Image = image.numpy()
    return result


def _gram(maps: Any) -> Any:
    flat = tf.reshape(maps, [-1, maps.shape[-1]])
    return tf.matmul(flat, flat, transpose_a=True)


def _places(maps: Any) -> float:
    return float(maps.shape[1] * maps.shape[2])


def describe(judgment: Judgment, seconds: float, ratio: float | None = None) -> Row:
    """Keep the figures of the table."""
    return Row(
        style_error=judgment["style_error"],
        content_cosine=judgment["content_cosine"],
        luma_ssim=judgment["luma_ssim"],
        seconds=seconds,
        ratio=ratio,
    )


def compare(names: tuple[str, str], size: int, keep: Path | None) -> dict[str, list[Row]]:
    """Paint one pair both ways and judge every result."""
    folder = find_shared() / "data" / "images"
    content = load_image(folder / "content" / f"{names[0]}.jpg").pixels
    style = load_image(folder / "style" / f"{names[1]}.jpg").pixels
    backbone = nstk.load_backbone("compact")
    begun = time.perf_counter()
    ours = nstk.stylize(
        content, style, backbone=backbone, settings=nstk.StylizeSettings(size=size)
    ).image
    seconds = time.perf_counter() - begun
    plain = [
        paint_plainly(backbone, content, style, size=size, ratio=ratio, seconds=seconds)
        for ratio in RATIOS
    ]
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        for way, image in (("nstk", ours), *zip(map(str, RATIOS), plain, strict=True)):
            nstk.save_image(keep / f"{'-'.join(names)}-{way}.png", image)
    return {
        "nstk": [describe(judge(content, style, ours), seconds)],
        "plain": [
            describe(judge(content, style, image), seconds, ratio)
            for ratio, image in zip(RATIOS, plain, strict=True)
        ],
    }


def choose_rival(ours: Row, plain: list[Row]) -> Row:
    """The least style error at no more content; the least content where all hold more."""
    rivals = [row for row in plain if row["content_cosine"] <= ours["content_cosine"]]
    if rivals:
        return min(rivals, key=lambda row: row["style_error"])
    return min(plain, key=lambda row: row["content_cosine"])


def write_table(results: dict[str, dict[str, list[Row]]], size: int) -> str:
    """One line a pair, and what it comes to."""
    lines = [
        f"| pair, {size} px | nstk: style error @ content cosine | plain at best | seconds each |",
        "|---|---|---|---|",
    ]
    better = 0
    for pair, rows in results.items():
        (ours,) = rows["nstk"]
        rival = choose_rival(ours, rows["plain"])
        better += (
            ours["style_error"] < rival["style_error"]
            and ours["content_cosine"] >= rival["content_cosine"]
        )
        cells = [f"{r['style_error']:.3f} @ {r['content_cosine']:.3f}" for r in (ours, rival)]
        lines.append(f"| {pair} | {cells[0]} | {cells[1]} | {ours['seconds']:.0f} |")
    lines.append(
        f"\nLess style error at no less content cosine on {better} of {len(results)} pairs."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Paint, judge and print the table; pairs already in the JSON file are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="longer side in px [%(default)s]")
    parser.add_argument("--json", type=Path, default=Path("stylization.json"), help="results")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--keep", type=Path, help="folder for the images")
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
