"""Measure the time until a recipe reaches the final loss of 500 plain Adam steps at one scale.

    python benchmarks/time_to_loss.py CONTENT STYLE --size 512 --json time.json

The plain run is Adam at one scale, without averaging. For every other recipe the program measures
when the image that would be its result first has a loss as low, at full size, in float32. Recipes:
each optimizer at one scale, and the default recipe with all its scales. Computing that loss is not
timed. A recipe that takes twice as long as the plain run is stopped. `--recipes` selects some of
them.
"""

import argparse
import json
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import tensorflow as tf

import nstk
from nstk.optimizers import OPTIMIZERS, Adam
from nstk.progress import Progress
from nstk.stylization.optimization import Optimization
from nstk.stylization.regions import NO_MASKS
from nstk.stylization.task import StyleTransferTask, plan_task, read_task

PLAIN_STEPS = 500
MAX_STEPS = 1000
MAX_TIME_RATIO = 2.0
"""A recipe is stopped after this multiple of the time of the plain run."""


class StopRunError(Exception):
    """The target loss is reached, or the time is up."""


class LossMonitor:
    """Compute the loss of the current result every few steps, without counting that time."""

    def __init__(
        self, task: StyleTransferTask, strength: float, every: int, target_loss: float, limit: float
    ) -> None:
        """Build the objective at full size."""
        self.scale = task.scales[-1]
        weights = task.loss_weights(self.scale, strength)
        objective = task.objective(self.scale)
        self.measure = tf.function(partial(objective.compute_loss, loss_weights=weights))
        self.every, self.target_loss, self.limit = every, target_loss, limit
        self.paused, self.steps, self.best = 0.0, 0, float("inf")
        self.began = time.perf_counter()
        self.reached: float | None = None

    def __call__(self, progress: Progress) -> None:
        """Check the loss at every ``every``-th step of the last scale."""
        at_last = progress.stage == f"{self.scale.width}×{self.scale.height}"
        if not progress.step or not at_last or progress.preview is None:
            return
        if progress.step % self.every:
            return
        before = time.perf_counter()
        loss = float(self.measure(tf.constant(progress.preview()))[0])
        self.best = min(self.best, loss)
        if loss <= self.target_loss:
            self.reached = before - self.began - self.paused
            raise StopRunError
        if before - self.began - self.paused > self.limit:
            raise StopRunError
        self.paused += time.perf_counter() - before


def run_plain(task: StyleTransferTask, strength: float) -> tuple[float, float]:
    """Run plain Adam; return the final loss and the seconds."""
    scale = task.scales[-1]
    objective, weights = task.objective(scale), task.loss_weights(scale, strength)
    began = time.perf_counter()
    start = task.start().state.x
    optimization = Optimization.start(Adam(0.02, bounds=(0.0, 1.0)), start)
    optimization.run(objective, PLAIN_STEPS, lambda progress: None, loss_weights=weights)
    seconds = time.perf_counter() - began
    return float(objective.compute_loss(tf.constant(optimization.image()), weights)[0]), seconds


def main() -> None:
    """Measure all recipes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("content", help="content image")
    parser.add_argument("style", help="style image")
    parser.add_argument("--size", type=int, default=512, help="longer side in pixels [%(default)s]")
    parser.add_argument("--backbone", default="compact", help="network [%(default)s]")
    names = ("default recipe", *(f"{name}, one scale" for name in OPTIMIZERS))
    parser.add_argument("--recipes", nargs="+", choices=names, default=names, metavar="RECIPE")
    parser.add_argument("--json", type=Path, default=Path("time_to_loss.json"))
    arguments = parser.parse_args()
    base = nstk.StylizeSettings(size=arguments.size, scales=1, steps=MAX_STEPS, precision="float32")
    recipes = {"default recipe": nstk.StylizeSettings(size=arguments.size)}
    recipes |= {f"{name}, one scale": replace(base, optimizer=name) for name in OPTIMIZERS}
    strength = 0.5

    def build(settings: nstk.StylizeSettings) -> StyleTransferTask:
        network = nstk.load_backbone(arguments.backbone, on_progress=print)
        task = read_task(arguments.content, arguments.style, NO_MASKS, network, settings)
        return plan_task(task, network)

    target_loss, plain_seconds = run_plain(build(base), strength)
    rows = [{"recipe": "plain Adam, 500 steps", "seconds": plain_seconds, "loss": target_loss}]
    for name in arguments.recipes:
        task = build(recipes[name])
        monitor = LossMonitor(
            build(replace(base)), strength, 5, target_loss, MAX_TIME_RATIO * plain_seconds
        )
        monitor.began = time.perf_counter()
        with suppress(StopRunError):
            list(task.run(strength, monitor))
        rows.append({"recipe": name, "seconds": monitor.reached, "loss": monitor.best})
        arguments.json.write_text(json.dumps(rows, indent=1))
    print("| recipe | seconds to the loss | against plain |")
    print("|---|---|---|")
    for row in rows:
        seconds = row["seconds"]
        cells = f"{seconds:.1f} | {seconds / plain_seconds:.2f}" if seconds else "never | –"
        print(f"| {row['recipe']} | {cells} |")


if __name__ == "__main__":
    main()
