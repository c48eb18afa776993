"""Stylize pairs of a photograph and a painting, measure the results, and arrange them on one sheet.

    python benchmarks/gallery.py sheet.jpg --table --keep results

The pairs are three whose result by VGG19 was published (`data/published` of the shared folder), and
the test images of StyleID (Chung et al., CVPR 2024; `data/styleid`): 12 photographs × 8 paintings,
of which `--every 9` takes the diagonal. A row of the sheet shows photograph, painting, the result
of nstk and the published one. Results that `--keep` already holds are reused.

The table has the metrics of `style_metrics.py` and `visible_metrics.py`, and `cfsd`, the content
feature structural distance of StyleID: with F the feature map of relu3_1 as positions × channels,
KL(softmax(F_c·F_cᵀ/C) ‖ softmax(F_r·F_rᵀ/C)) of content and result, summed over a row and averaged
over the rows, at 256 px. The network is the VGG19 of `style_metrics.py`; F is divided by 57.4, the
standard deviation by which the network of the paper divides its input.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from PIL import Image as Pillow
from PIL import ImageOps

import nstk
from benchmarks.style_metrics import compute_maps, find_shared, measure_style
from benchmarks.visible_metrics import chroma_noise, compare_patches
from nstk.images.image import Image, fit_size, resize_image
from nstk.images.loading import load_image

PUBLISHED = (("figures", "candy"), ("figures", "vg_la_cafe"), ("golden_gate2", "vg_la_cafe"))
STYLES = 8
CELL, GAP = 320, 8
CFSD_SIZE, INPUT_STD = 256, 57.4
COLUMNS = ("style_error", "content_cosine", "patch_distance", "coverage", "chroma_noise", "cfsd")


class Pair(NamedTuple):
    """A photograph and a painting, and the published result, if there is one."""

    name: str
    content: Path
    style: Path
    published: Path | None = None


def list_pairs(every: int) -> list[Pair]:
    """List the published pairs, and every n-th of StyleID; none of these if `every` is 0."""
    data = find_shared() / "data"
    pairs = []
    for content, style in PUBLISHED:
        name, folder = f"{content}_{style}", data / "published"
        files = folder / f"content/{content}.jpg", folder / f"style/{style}.jpg"
        pairs.append(Pair(name, *files, folder / f"{name}.jpg"))
    contents, styles = (sorted((data / "styleid" / k).glob("*.jpg")) for k in ("content", "style"))
    chosen = list(product(contents, styles[:STYLES]))[:: every or sys.maxsize]
    return pairs + [Pair(f"{c.stem}_{s.stem}", c, s) for c, s in chosen if every]


def stylize_pair(pair: Pair, size: int, folder: Path, quality: str) -> Path:
    """Stylize a pair with the default settings, unless the folder holds the result."""
    path = folder / f"{pair.name}-{size}-{quality}.png"
    if not path.is_file():
        nstk.stylize(pair.content, pair.style, size=size, quality=quality).save(path)
        print(path.name, file=sys.stderr, flush=True)
    return path


def fit_image(image: Image, size: int) -> Image:
    """Resize an image to a longer side."""
    height, width = image.shape[:2]
    return resize_image(image, *fit_size(height, width, size))


def compare_structure(content: Image, result: Image) -> float:
    """Compute the content feature structural distance; see the docstring of this module."""
    rows = []
    for image in (content, result):
        small = fit_image(image, CFSD_SIZE)
        features = compute_maps(tf.constant(small))["relu3_1"] / INPUT_STD
        similarity = tf.matmul(features, features, transpose_b=True) / features.shape[1]
        rows.append(tf.nn.log_softmax(similarity))
    divergence = tf.reduce_sum(tf.exp(rows[0]) * (rows[0] - rows[1]), axis=1)
    return float(tf.reduce_mean(divergence))


def measure(pair: Pair, file: Path, size: int) -> dict[str, float]:
    """Measure one result at this longer side."""
    content, style, result = (load_image(path).pixels for path in (pair.content, pair.style, file))
    result = fit_image(result, size)
    content = resize_image(content, *result.shape[:2])
    metrics = measure_style(content, style, result)
    distance, coverage = compare_patches(style, result)
    return {
        "style_error": metrics["style_error"],
        "content_cosine": metrics["content_cosine"],
        "patch_distance": distance,
        "coverage": coverage,
        "chroma_noise": chroma_noise(style, result),
        "cfsd": compare_structure(content, result),
    }


def format_table(
    rows: Mapping[str, Mapping[str, float]], means: Mapping[str, Sequence[str]]
) -> str:
    """Write a row for every result, and the mean of each group of results."""
    lines = [f"| result | {' | '.join(COLUMNS)} |", f"|---{'|---' * len(COLUMNS)}|"]
    averages = {
        f"mean of {title} ({len(names)})": {
            column: float(np.mean([rows[name][column] for name in names])) for column in COLUMNS
        }
        for title, names in means.items()
        if names
    }
    for name, metrics in {**rows, **averages}.items():
        lines.append(f"| {name} | {' | '.join(f'{metrics[each]:.3f}' for each in COLUMNS)} |")
    return "\n".join(lines)


def draw_sheet(rows: Iterable[Sequence[Path | None]]) -> Pillow.Image:
    """Draw the contact sheet: one row of images per pair."""
    rows = list(rows)
    step = CELL + GAP
    shape = (max(map(len, rows)) * step + GAP, len(rows) * step + GAP)
    sheet = Pillow.new("RGB", shape, "white")
    for (r, row), c in product(enumerate(rows), range(max(map(len, rows)))):
        file = row[c] if c < len(row) else None
        if file is None:
            continue
        image = ImageOps.contain(Pillow.open(file).convert("RGB"), (CELL, CELL))
        left, top = ((CELL - side) // 2 for side in image.size)
        sheet.paste(image, (GAP + c * step + left, GAP + r * step + top))
    return sheet


def main() -> None:
    """Stylize all pairs, save the sheet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="contact sheet to write")
    parser.add_argument("--size", type=int, default=512, help="longer side in pixels [%(default)s]")
    parser.add_argument(
        "--every", type=int, default=1, help="take every n-th pair of StyleID; 0: none [1]"
    )
    parser.add_argument("--quality", default="standard", help="quality of nstk [%(default)s]")
    parser.add_argument("--table", action="store_true", help="measure the results")
    parser.add_argument("--keep", type=Path, help="store the single images here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        pairs = list_pairs(arguments.every)
        made = [stylize_pair(each, arguments.size, folder, arguments.quality) for each in pairs]
        sheet = draw_sheet(
            (pair.content, pair.style, file, pair.published)
            for pair, file in zip(pairs, made, strict=True)
        )
        sheet.save(arguments.output, quality=90)
        if arguments.table:
            print(measure_all(pairs, made, arguments.size))


def measure_all(pairs: Sequence[Pair], made: Sequence[Path], size: int) -> str:
    """Measure the results of nstk and the published ones, and write the table."""
    rows = {
        f"{pair.name}, nstk": measure(pair, file, size)
        for pair, file in zip(pairs, made, strict=True)
    }
    ours = list(rows)
    rows |= {
        f"{pair.name}, published": measure(pair, pair.published, size)
        for pair in pairs
        if pair.published
    }
    theirs = [name for name in rows if name not in ours]
    opposite = [name.replace("published", "nstk") for name in theirs]
    means = {"nstk": ours, "nstk on the published pairs": opposite, "published": theirs}
    return format_table(rows, means)


if __name__ == "__main__":
    main()
