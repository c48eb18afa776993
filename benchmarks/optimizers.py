"""Compare the optimizers on the default objective: loss against evaluations and against seconds.

    python benchmarks/optimizers.py --json optimizers.json --markdown optimizers.md \\
        --svg docs/images/optimizers.svg

One image pair at one scale, starting from the content image. The loss is that of the image that
would be the result if the run ended there (for Adam, as in `nstk stylize`, the running average);
computing it is not timed. An evaluation computes the loss and its gradient; a Hessian–vector
product costs as much as three and counts as three. Seconds are processor seconds of the process,
without tracing and compiling, so that other work on the machine does not count; with
TF_NUM_INTRAOP_THREADS=1 they are those of one core.
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

from benchmarks.style_metrics import find_shared
from nstk.backbones.loading import load_backbone
from nstk.images.image import Image, fit_size, resize_image
from nstk.images.loading import load_image
from nstk.optimizers import OPTIMIZERS, Averaged, Optimizer, choose_optimizer
from nstk.settings import StylizeSettings
from nstk.stylization.objective import ObjectiveWeights, StyleObjective
from nstk.stylization.recipe import choose_content_layer, choose_style_layers
from nstk.stylization.task import AVERAGING

PRODUCT_COST = 3
"""Number of evaluations that a Hessian–vector product counts as."""

TABLE_EVALUATIONS = (10, 30, 100, 240)


class Sample(NamedTuple):
    """The loss after some evaluations and seconds of a run."""

    evaluations: int
    seconds: float
    loss: float


def load_pair(content: str, style: str, size: int) -> tuple[Image, Image]:
    """Read both images and resize them to one size."""
    folder = find_shared() / "data" / "pictures"
    paths = folder / "content" / content, folder / "style" / style
    images = [load_image(path).pixels for path in paths]
    scaled = [resize_image(each, *fit_size(*each.shape[:2], size)) for each in images]
    return scaled[0], scaled[1]


def build_objective(content: Image, style: Image) -> StyleObjective:
    """Return the objective of `nstk stylize` with its default settings."""
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
    """Return an optimizer as `nstk stylize` uses it."""
    optimizer = choose_optimizer(name, bounds=(0.0, 1.0))
    return Averaged(optimizer, AVERAGING) if name == "adam" else optimizer


def run_optimizer(
    optimizer: Optimizer, objective: StyleObjective, start: Image, budget: int
) -> list[Sample]:
    """Run an optimizer for a number of evaluations and sample the loss."""
    calls = tf.Variable(0)

    def evaluate(image: Any) -> Any:
        calls.assign_add(1)
        return objective.evaluate(image)

    compiled_step = tf.function(partial(optimizer.step, evaluate))
    measure = tf.function(objective.compute_loss)
    x = tf.constant(start)
    state = optimizer.init(x)
    compiled_step(x, state)  # compiles
    evaluations, seconds, samples = 0, 0.0, [Sample(0, 0.0, float(measure(x)[0]))]
    while evaluations < budget:
        calls.assign(0)
        began = time.process_time()
        x, state, evaluation = compiled_step(x, state)
        float(evaluation.loss)
        seconds += time.process_time() - began
        evaluations += 1 + PRODUCT_COST * (int(calls) - 1)
        if evaluations >= 1.05 * samples[-1].evaluations:
            loss = float(measure(optimizer.result(x, state))[0])
            samples.append(Sample(evaluations, seconds, loss))
    return samples


def find_loss(samples: list[Sample], axis: int, limit: float) -> float:
    """Return the last loss before a limit of evaluations (``axis`` 0) or seconds (1)."""
    return [sample.loss for sample in samples if sample[axis] <= limit][-1]


def write_table(runs: dict[str, list[Sample]]) -> str:
    """Return a Markdown table of the loss after some evaluations and some seconds."""
    total = runs["adam"][-1].seconds
    seconds = [total * share for share in (0.1, 0.3, 1.0)]
    heads = [f"{count} evaluations" for count in TABLE_EVALUATIONS] + [
        f"{limit:.1f} s" for limit in seconds
    ]
    lines = [f"| | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for name, samples in runs.items():
        losses = [find_loss(samples, 0, count) for count in TABLE_EVALUATIONS]
        losses += [find_loss(samples, 1, limit) for limit in seconds]
        lines.append(f"| `{name}` | {' | '.join(f'{loss:.4f}' for loss in losses)} |")
    return "\n".join(lines) + "\n"


COLORS = dict(zip(OPTIMIZERS, ("#0072b2", "#767676", "#d55e00", "#009e73"), strict=True))
WIDTH, HEIGHT, TOP, BOTTOM = 400, 400, 48, 52
LEFTS = (64, 640)
FONT = "font-family='Helvetica, Arial, sans-serif' font-size='13'"


class Panel:
    """A chart with two logarithmic axes.

    Attributes:
        left: Left edge in pixels.
        low: Smallest x and y.
        high: Largest x and y.
        elements: The SVG elements drawn so far.
    """

    def __init__(self, left: int, low: tuple[float, float], high: tuple[float, float]) -> None:
        self.left, self.low, self.high = left, low, high
        self.elements: list[str] = []

    def to_pixels(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel position of a point."""
        shares = [
            np.log(value / low) / np.log(high / low)
            for value, low, high in zip((x, y), self.low, self.high, strict=True)
        ]
        return self.left + WIDTH * shares[0], TOP + (HEIGHT - TOP - BOTTOM) * (1 - shares[1])

    def write(self, x: float, y: float, text: str, anchor: str, style: str = "fill='#333'") -> None:
        """Draw text at a pixel position."""
        element = f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {style}>{text}</text>"
        self.elements.append(element)

    def draw_grid(self, xs: list[float], ys: list[float], title: str) -> None:
        """Draw grid lines with tick labels, and the title of the horizontal axis."""
        for x in xs:
            column, foot = self.to_pixels(x, self.low[1])
            self.elements.append(f"<path d='M{column:.1f} {TOP}V{foot:.1f}' stroke='#e6e6e6'/>")
            self.write(column, foot + 19, f"{x:g}", "middle")
        for y in ys:
            left, row = self.to_pixels(self.low[0], y)
            line = f"<path d='M{left} {row:.1f}h{WIDTH}' stroke='#e6e6e6'/>"
            self.elements.append(line)
            self.write(left - 8, row + 4.5, f"{y:g}", "end")
        self.write(self.left + WIDTH / 2, HEIGHT - 10, title, "middle")

    def draw_curve(self, points: list[tuple[float, float]], color: str) -> None:
        """Draw one curve."""
        path = " ".join("{:.1f},{:.1f}".format(*self.to_pixels(*point)) for point in points)
        self.elements.append(
            f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='2.25' "
            "stroke-linejoin='round'/>"
        )

    def label_curves(self, ends: dict[str, tuple[float, float]]) -> None:
        """Label every curve at its right end, without overlaps."""
        last = -np.inf
        for name, point in sorted(ends.items(), key=lambda item: -item[1][1]):
            last = max(self.to_pixels(*point)[1] + 4.5, last + 16)
            self.write(
                self.left + WIDTH + 8,
                last,
                name,
                "start",
                f"fill='{COLORS[name]}' font-weight='600'",
            )


def list_ticks(digits: tuple[float, ...]) -> list[float]:
    """Return tick values from 0.001 to some thousands."""
    return [digit * 10.0**power for power in range(-3, 4) for digit in digits]


def draw_charts(runs: dict[str, list[Sample]], title: str) -> str:
    """Return both charts as one SVG."""
    losses = [sample.loss for samples in runs.values() for sample in samples[1:]]
    low, high = 0.97 * min(losses), 1.03 * max(losses)
    elements = []
    for axis, left, axis_title in (
        (0, LEFTS[0], "evaluations; a Hessian–vector product counts as three"),
        (1, LEFTS[1], "seconds of one processor core"),
    ):
        first = 1.0 if axis == 0 else min(samples[1].seconds for samples in runs.values())
        last = max(samples[-1][axis] for samples in runs.values())
        panel = Panel(left, (first, low), (last, high))
        panel.draw_grid(
            [tick for tick in list_ticks((1, 2, 5)) if first <= tick <= last],
            [tick for tick in list_ticks((1, 1.5, 2, 3, 5)) if low <= tick <= high],
            axis_title,
        )
        for name, samples in runs.items():
            panel.draw_curve([(sample[axis], sample.loss) for sample in samples[1:]], COLORS[name])
        panel.label_curves(
            {name: (samples[-1][axis], samples[-1].loss) for name, samples in runs.items()}
        )
        elements += panel.elements
    width = LEFTS[1] + WIDTH + 130
    heading = f"<text x='{LEFTS[0]}' y='24' font-weight='600' fill='#111'>{title}</text>"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {HEIGHT}' {FONT}>",
            f"<rect width='{width}' height='{HEIGHT}' fill='#fff'/>",
            heading,
            *elements,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Run all optimizers and write the table, the samples and the charts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--content", default="tubingen.jpg", help="file name [%(default)s]")
    parser.add_argument("--style", default="starry_night.jpg", help="file name [%(default)s]")
    parser.add_argument("--size", type=int, default=192, help="longer side in pixels [%(default)s]")
    parser.add_argument(
        "--evaluations", type=int, default=240, help="evaluations per optimizer [%(default)s]"
    )
    parser.add_argument("--json", type=Path, help="write all samples here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--svg", type=Path, help="draw the charts here")
    arguments = parser.parse_args()
    content, style = load_pair(arguments.content, arguments.style, arguments.size)
    objective = build_objective(content, style)
    runs = {
        name: run_optimizer(make_optimizer(name), objective, content, arguments.evaluations)
        for name in OPTIMIZERS
    }
    table = write_table(runs)
    print(table)
    if arguments.json:
        samples = {name: [sample._asdict() for sample in run] for name, run in runs.items()}
        arguments.json.write_text(json.dumps(samples, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(table, encoding="utf-8")
    if arguments.svg:
        pair = " × ".join(Path(name).stem for name in (arguments.content, arguments.style))
        charts = draw_charts(runs, f"Loss of the result: {pair}, {arguments.size} px")
        arguments.svg.write_text(charts, encoding="utf-8")


if __name__ == "__main__":
    main()
