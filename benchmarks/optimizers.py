"""Compare the optimizers on the default objective: loss against evaluations and against seconds.

    python benchmarks/optimizers.py --json optimizers.json --markdown optimizers.md \\
        --svg docs/images/optimizers.svg

One image pair at one scale, from the content image. The loss is that of the image that would
be kept should the descent end there (for Adam, as in `nstk stylize`, the running average), and is
measured beside the clock. An evaluation is a loss with its gradient; a Hessian–vector product
counts as three, which is what it takes. Seconds are processor seconds of the process, without
tracing and compiling, so that other work on the machine does not count; start it with
TF_NUM_INTRAOP_THREADS=1, and they are those of one core.
"""

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

from benchmarks.style_judge import find_shared
from nstk.backbones.loading import load_backbone
from nstk.images.image import Image, fit_size, load_image, resize_image
from nstk.optimizers import OPTIMIZERS, Averaged, Optimizer, choose_optimizer
from nstk.settings import StylizeSettings
from nstk.stylization.layers import choose_content_layer, choose_style_layers
from nstk.stylization.objective import ObjectiveWeights, StyleObjective
from nstk.stylization.task import AVERAGING

PRODUCT = 3
"""Evaluations that a Hessian–vector product counts as."""

TABLE = (10, 30, 100, 240)


class Mark(NamedTuple):
    """One moment of a descent."""

    evaluations: int
    seconds: float
    loss: float


def load_pair(content: str, style: str, size: int) -> tuple[Image, Image]:
    """Read both images at one size."""
    folder = find_shared() / "data" / "images"
    paths = folder / "content" / content, folder / "style" / style
    images = [load_image(path).pixels for path in paths]
    scaled = [resize_image(each, *fit_size(*each.shape[:2], size)) for each in images]
    return scaled[0], scaled[1]


def build_objective(content: Image, style: Image) -> StyleObjective:
    """The objective of `nstk stylize` with its default settings."""
    settings = StylizeSettings()
    backbone = load_backbone("compact").prepared(edge="replicate")
    weights = ObjectiveWeights(
        content=settings.content_weight,
        style=settings.style_weight,
        tv=settings.tv_weight,
        content_layers={choose_content_layer(backbone): 1.0},
        style_layers=choose_style_layers(backbone),
    )
    return StyleObjective.from_images(backbone, content, [style], weights)


def make_optimizer(name: str) -> Optimizer:
    """An optimizer as `nstk stylize` uses it."""
    optimizer = choose_optimizer(name, bounds=(0.0, 1.0))
    return Averaged(optimizer, AVERAGING) if name == "adam" else optimizer


def descend(
    optimizer: Optimizer, objective: StyleObjective, start: Image, budget: int
) -> list[Mark]:
    """Descend until the evaluations are spent."""
    calls = tf.Variable(0)

    def evaluate(image: Any) -> Any:
        calls.assign_add(1)
        return objective.evaluate(image)

    advance = tf.function(partial(optimizer.step, evaluate))
    measure = tf.function(objective.measure)
    x = tf.constant(start)
    state = optimizer.init(x)
    advance(x, state)  # compiles
    evaluations, seconds, marks = 0, 0.0, [Mark(0, 0.0, float(measure(x)[0]))]
    while evaluations < budget:
        calls.assign(0)
        begun = time.process_time()
        x, state, evaluation = advance(x, state)
        float(evaluation.loss)
        seconds += time.process_time() - begun
        evaluations += 1 + PRODUCT * (int(calls) - 1)
        if evaluations >= 1.05 * marks[-1].evaluations:
            loss = float(measure(optimizer.result(x, state))[0])
            marks.append(Mark(evaluations, seconds, loss))
    return marks


def find_loss(marks: list[Mark], axis: int, limit: float) -> float:
    """The loss of the last image kept before a limit of evaluations (0) or seconds (1)."""
    return [mark.loss for mark in marks if mark[axis] <= limit][-1]


def write_table(runs: dict[str, list[Mark]]) -> str:
    """A Markdown table: the loss at some counts of evaluations and at some seconds."""
    whole = runs["adam"][-1].seconds
    seconds = [whole * share for share in (0.1, 0.3, 1.0)]
    heads = [f"{count} evaluations" for count in TABLE] + [f"{limit:.1f} s" for limit in seconds]
    lines = [f"| | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for name, marks in runs.items():
        losses = [find_loss(marks, 0, count) for count in TABLE]
        losses += [find_loss(marks, 1, limit) for limit in seconds]
        lines.append(f"| `{name}` | {' | '.join(f'{loss:.4f}' for loss in losses)} |")
    return "\n".join(lines) + "\n"


COLORS = dict(zip(OPTIMIZERS, ("#0072b2", "#767676", "#d55e00", "#009e73"), strict=True))
WIDTH, HEIGHT, TOP, BOTTOM = 400, 400, 48, 52
LEFTS = (64, 640)
FONT = "font-family='Helvetica, Arial, sans-serif' font-size='13'"


class Panel:
    """Two logarithmic axes, and what is drawn in them.

    Attributes:
        left: Where it begins, in pixels.
        low: Least x and y.
        high: Largest x and y.
        parts: The SVG elements so far.
    """

    def __init__(self, left: int, low: tuple[float, float], high: tuple[float, float]) -> None:
        self.left, self.low, self.high = left, low, high
        self.parts: list[str] = []

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        shares = [
            np.log(value / low) / np.log(high / low)
            for value, low, high in zip((x, y), self.low, self.high, strict=True)
        ]
        return self.left + WIDTH * shares[0], TOP + (HEIGHT - TOP - BOTTOM) * (1 - shares[1])

    def write(self, x: float, y: float, text: str, anchor: str, style: str = "fill='#333'") -> None:
        """Put words at pixels."""
        words = f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {style}>{text}</text>"
        self.parts.append(words)

    def rule(self, xs: list[float], ys: list[float], title: str) -> None:
        """Draw grid lines with their values, and the title of the horizontal axis."""
        for x in xs:
            across, foot = self.place(x, self.low[1])
            self.parts.append(f"<path d='M{across:.1f} {TOP}V{foot:.1f}' stroke='#e6e6e6'/>")
            self.write(across, foot + 19, f"{x:g}", "middle")
        for y in ys:
            left, height = self.place(self.low[0], y)
            line = f"<path d='M{left} {height:.1f}h{WIDTH}' stroke='#e6e6e6'/>"
            self.parts.append(line)
            self.write(left - 8, height + 4.5, f"{y:g}", "end")
        self.write(self.left + WIDTH / 2, HEIGHT - 10, title, "middle")

    def trace(self, points: list[tuple[float, float]], color: str) -> None:
        """Draw one curve."""
        path = " ".join("{:.1f},{:.1f}".format(*self.place(*point)) for point in points)
        self.parts.append(
            f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='2.25' "
            "stroke-linejoin='round'/>"
        )

    def label(self, ends: dict[str, tuple[float, float]]) -> None:
        """Name every curve at its right end, none over another."""
        last = -np.inf
        for name, point in sorted(ends.items(), key=lambda item: -item[1][1]):
            last = max(self.place(*point)[1] + 4.5, last + 16)
            self.write(
                self.left + WIDTH + 8,
                last,
                name,
                "start",
                f"fill='{COLORS[name]}' font-weight='600'",
            )


def list_ticks(digits: tuple[float, ...]) -> list[float]:
    """Round numbers from a thousandth to some thousands."""
    return [digit * 10.0**power for power in range(-3, 4) for digit in digits]


def draw(runs: dict[str, list[Mark]], title: str) -> str:
    """Both panels as one SVG."""
    losses = [mark.loss for marks in runs.values() for mark in marks[1:]]
    low, high = 0.97 * min(losses), 1.03 * max(losses)
    parts = []
    for axis, left, words in (
        (0, LEFTS[0], "evaluations; a Hessian–vector product counts as three"),
        (1, LEFTS[1], "seconds of one processor core"),
    ):
        first = 1.0 if axis == 0 else min(marks[1].seconds for marks in runs.values())
        last = max(marks[-1][axis] for marks in runs.values())
        panel = Panel(left, (first, low), (last, high))
        panel.rule(
            [tick for tick in list_ticks((1, 2, 5)) if first <= tick <= last],
            [tick for tick in list_ticks((1, 1.5, 2, 3, 5)) if low <= tick <= high],
            words,
        )
        for name, marks in runs.items():
            panel.trace([(mark[axis], mark.loss) for mark in marks[1:]], COLORS[name])
        panel.label({name: (marks[-1][axis], marks[-1].loss) for name, marks in runs.items()})
        parts += panel.parts
    width = LEFTS[1] + WIDTH + 130
    heading = f"<text x='{LEFTS[0]}' y='24' font-weight='600' fill='#111'>{title}</text>"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {HEIGHT}' {FONT}>",
            f"<rect width='{width}' height='{HEIGHT}' fill='#fff'/>",
            heading,
            *parts,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Measure and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--content", default="tubingen.jpg")
    parser.add_argument("--style", default="starry_night.jpg")
    parser.add_argument("--size", type=int, default=192, help="longer side in pixels")
    parser.add_argument("--evaluations", type=int, default=240, help="for each optimizer")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--svg", type=Path)
    arguments = parser.parse_args()
    content, style = load_pair(arguments.content, arguments.style, arguments.size)
    objective = build_objective(content, style)
    runs = {
        name: descend(make_optimizer(name), objective, content, arguments.evaluations)
        for name in OPTIMIZERS
    }
    table = write_table(runs)
    print(table)
    if arguments.json:
        marks = {name: [mark._asdict() for mark in run] for name, run in runs.items()}
        arguments.json.write_text(json.dumps(marks, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(table, encoding="utf-8")
    if arguments.svg:
        pair = " × ".join(Path(name).stem for name in (arguments.content, arguments.style))
        drawn = draw(runs, f"Loss of the image kept: {pair}, {arguments.size} px")
        arguments.svg.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
