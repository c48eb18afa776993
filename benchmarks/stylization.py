"""Compare nstk's default recipe with plain neural style transfer, at equal wall time.

    python benchmarks/stylization.py --json stylization.json --markdown stylization.md

Six pairs at 512 px, both on the packaged network, judged by `benchmarks/style_judge.py`, whose
network neither of them looks through. `nstk` is `nstk.stylize` with its defaults. `plain` is the
method of Gatys, Ecker and Bethge (2016) as most tools have it: one scale, the content as start,
zero padding, Gram matrices of the first convolution of every block with equal weights,

    L = α·½ Σ (F − P)² + β·Σ_l 1/5 · 1/(4 N_l² M_l²) · Σ (G − A)²,

content at block4_conv2, Adam with learning rate 0.02, pixels clamped to [0, 1]. It runs as long
as `nstk` did on the same pair, and for every pair it is given the α/β out of three that
comes nearest to the content cosine of `nstk`, found on that pair itself at 256 px: more than any
user of it has.
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
from benchmarks.style_judge import Judgement, find_shared, judge
from nstk.media.pictures import fit_size, load_picture, resize_picture

STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_LAYER = "block4_conv2"
LEARNING_RATE = 0.02
RATIOS = (1e-4, 1e-3, 1e-2)
TRIAL_SIZE, TRIAL_SECONDS = 256, 5.0


class Row(TypedDict):
    """One way to paint one pair."""

    style_error: float
    content_cosine: float
    luma_ssim: float
    seconds: float
    ratio: float | None


def paint_plainly(
    backbone: nstk.Backbone,
    content: nstk.Picture,
    style: nstk.Picture,
    *,
    size: int,
    ratio: float,
    seconds: float,
) -> nstk.Picture:
    """Run the plain method for a given time.

    Args:
        backbone: The network.
        content: What to paint.
        style: How.
        size: Longer side of the result in pixels.
        ratio: α/β.
        seconds: Of the descent, compilation left out.
    """
    content = resize_picture(content, *fit_size(*content.shape[:2], size))
    style = resize_picture(style, *fit_size(*style.shape[:2], size))
    taps = backbone.tap([*STYLE_LAYERS, CONTENT_LAYER])
    target = taps(tf.constant(content[np.newaxis]), training=False)[CONTENT_LAYER]
    seen = taps(tf.constant(style[np.newaxis]), training=False)
    grams = {name: _gram(seen[name]) for name in STYLE_LAYERS}
    places = {name: _places(seen[name]) for name in STYLE_LAYERS}

    def measure(picture: Any) -> Any:
        maps = taps(picture[tf.newaxis], training=False)
        loss = ratio * 0.5 * tf.reduce_sum(tf.square(maps[CONTENT_LAYER] - target))
        for name in STYLE_LAYERS:
            # A style of another size has another number of places M: both Grams are per place.
            difference = _gram(maps[name]) / _places(maps[name]) - grams[name] / places[name]
            channels = float(maps[name].shape[-1])
            loss += tf.reduce_sum(tf.square(difference)) / (5 * 4 * channels**2)
        return loss

    picture = tf.Variable(content)
    adam = tf.keras.optimizers.Adam(LEARNING_RATE)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = measure(picture)
        adam.apply_gradients([(tape.gradient(loss, picture), picture)])
        picture.assign(tf.clip_by_value(picture, 0.0, 1.0))

    step()
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        step()
    result: nstk.Picture = picture.numpy()
    return result


def _gram(maps: Any) -> Any:
    flat = tf.reshape(maps, [-1, maps.shape[-1]])
    return tf.matmul(flat, flat, transpose_a=True)


def _places(maps: Any) -> float:
    return float(maps.shape[1] * maps.shape[2])


def choose_ratio(
    backbone: nstk.Backbone, content: nstk.Picture, style: nstk.Picture, cosine: float
) -> float:
    """The α/β whose small result comes nearest to a content cosine."""

    def distance(ratio: float) -> float:
        small = paint_plainly(
            backbone, content, style, size=TRIAL_SIZE, ratio=ratio, seconds=TRIAL_SECONDS
        )
        return abs(judge(content, style, small)["content_cosine"] - cosine)

    return min(RATIOS, key=distance)


def describe(judgement: Judgement, seconds: float, ratio: float | None = None) -> Row:
    """Keep the figures of the table."""
    return Row(
        style_error=judgement["style_error"],
        content_cosine=judgement["content_cosine"],
        luma_ssim=judgement["luma_ssim"],
        seconds=seconds,
        ratio=ratio,
    )


def compare(names: tuple[str, str], keep: Path | None) -> dict[str, Row]:
    """Paint one pair both ways and judge both."""
    folder = find_shared() / "data" / "pictures"
    content = load_picture(folder / "content" / f"{names[0]}.jpg").pixels
    style = load_picture(folder / "style" / f"{names[1]}.jpg").pixels
    backbone = nstk.load_backbone("compact")
    begun = time.perf_counter()
    ours = nstk.stylize(content, style, backbone=backbone)
    seconds = time.perf_counter() - begun
    judged = judge(content, style, ours.picture)
    small = nstk.stylize(
        content, style, backbone=backbone, settings=nstk.StylizeSettings(size=TRIAL_SIZE)
    )
    wanted = judge(content, style, small.picture)["content_cosine"]
    ratio = choose_ratio(backbone, content, style, wanted)
    plain = paint_plainly(backbone, content, style, size=512, ratio=ratio, seconds=seconds)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        ours.save(keep / f"{'-'.join(names)}-nstk.png")
        nstk.save_picture(keep / f"{'-'.join(names)}-plain.png", plain)
    return {
        "nstk": describe(judged, seconds),
        "plain": describe(judge(content, style, plain), seconds, ratio),
    }


def write_table(results: dict[str, dict[str, Row]]) -> str:
    """One line a pair, and what it comes to."""
    lines = [
        "| pair, 512 px | nstk: style error @ content cosine | plain: the same | seconds of each |",
        "|---|---|---|---|",
    ]
    better = 0
    for pair, rows in results.items():
        ours, plain = rows["nstk"], rows["plain"]
        better += (
            ours["style_error"] < plain["style_error"]
            and ours["content_cosine"] >= plain["content_cosine"]
        )
        cells = [f"{r['style_error']:.3f} @ {r['content_cosine']:.3f}" for r in (ours, plain)]
        lines.append(f"| {pair} | {cells[0]} | {cells[1]} | {ours['seconds']:.0f} |")
    lines.append(
        f"\nLess style error at no less content cosine on {better} of {len(results)} pairs."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Paint, judge and print the table; pairs already in the JSON file are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("stylization.json"), help="results")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--keep", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    results: dict[str, dict[str, Row]] = {}
    if arguments.json.is_file():
        results = json.loads(arguments.json.read_text("utf-8"))
    for names in PAIRS:
        pair = " × ".join(names)
        if pair not in results:
            results[pair] = compare(names, arguments.keep)
            arguments.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
            print(pair, results[pair], flush=True)
    table = write_table(results)
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table, "utf-8")


if __name__ == "__main__":
    main()
