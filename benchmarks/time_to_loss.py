"""Measure the wall time to the loss that a plain descent of 500 steps at one scale ends with.

    python benchmarks/time_to_loss.py CONTENT STYLE --size 512 --json time.json

The plain descent is Adam at one scale, without averaging. Every other recipe is asked for the time
at which the image it would keep first has a loss as low, at full size, in float32. Recipes: each
optimizer at one scale, and the default recipe with all its scales. Time that is spent on asking is
not counted; a recipe that takes twice as long as the plain descent is given up. `--recipes`
asks for some of them alone.
"""

import argparse
import json
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

import nstk
from nstk.optimizers import OPTIMIZERS, Adam
from nstk.progress import Progress
from nstk.stylization.optimization import Optimization
from nstk.stylization.preparing import prepare
from nstk.stylization.task import StyleTransferTask

PLAIN_STEPS = 500
LONGEST = 1000
PATIENCE = 2.0
"""How many times as long as the plain descent a recipe may take."""


class EnoughError(Exception):
    """The loss that was asked for is reached, or time is up."""


class Watch:
    """Ask a descent for the loss of what it would keep, with the clock stopped meanwhile."""

    def __init__(
        self, painting: StyleTransferTask, strength: float, every: int, goal: float, limit: float
    ) -> None:
        """Build the judge: the objective at full size."""
        self.scale = painting.plan[-1]
        balance = painting.balance(self.scale, strength)
        self.judge = tf.function(partial(painting.objective(self.scale).measure, balance=balance))
        self.every, self.goal, self.limit = every, goal, limit
        self.asked, self.steps, self.best = 0.0, 0, float("inf")
        self.begun = time.perf_counter()
        self.reached: float | None = None

    def __call__(self, progress: Progress) -> None:
        """Look at every so many steps of the last scale."""
        at_last = progress.stage == f"{self.scale.width}×{self.scale.height}"
        if not progress.step or not at_last or progress.preview is None:
            return
        if progress.step % self.every:
            return
        before = time.perf_counter()
        loss = float(self.judge(tf.constant(progress.preview()))[0])
        self.best = min(self.best, loss)
        if loss <= self.goal:
            self.reached = before - self.begun - self.asked
            raise EnoughError
        if before - self.begun - self.asked > self.limit:
            raise EnoughError
        self.asked += time.perf_counter() - before


def run_plain(painting: StyleTransferTask, strength: float) -> tuple[float, float]:
    """Descend by plain Adam; give the last loss and the seconds."""
    scale = painting.plan[-1]
    objective, balance = painting.objective(scale), painting.balance(scale, strength)
    begun = time.perf_counter()
    descent = Optimization.start(Adam(0.02, bounds=(0.0, 1.0)), painting.start(scale))
    descent.run(objective, PLAIN_STEPS, lambda progress: None, balance=balance)
    seconds = time.perf_counter() - begun
    return float(objective.measure(tf.constant(descent.image()), balance)[0]), seconds


def main() -> None:
    """Measure all recipes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--backbone", default="compact")
    names = ("default recipe", *(f"{name}, one scale" for name in OPTIMIZERS))
    parser.add_argument("--recipes", nargs="+", choices=names, default=names, metavar="RECIPE")
    parser.add_argument("--json", type=Path, default=Path("time_to_loss.json"))
    given = parser.parse_args()
    base = nstk.StylizeSettings(size=given.size, scales=1, steps=LONGEST, precision="float32")
    recipes = {"default recipe": nstk.StylizeSettings(size=given.size)}
    recipes |= {f"{name}, one scale": replace(base, optimizer=name) for name in OPTIMIZERS}
    strength = 0.5

    def build(settings: nstk.StylizeSettings) -> StyleTransferTask:
        masks: Any = ((), (), None)
        return prepare(given.content, given.style, masks, given.backbone, settings, print)[0]

    goal, plain_seconds = run_plain(build(base), strength)
    rows = [{"recipe": "plain Adam, 500 steps", "seconds": plain_seconds, "loss": goal}]
    for name in given.recipes:
        painting = build(recipes[name])
        watch = Watch(build(replace(base)), strength, 5, goal, PATIENCE * plain_seconds)
        watch.begun = time.perf_counter()
        with suppress(EnoughError):
            list(painting.descend(strength, watch))
        rows.append({"recipe": name, "seconds": watch.reached, "loss": watch.best})
        given.json.write_text(json.dumps(rows, indent=1))
    print("| recipe | seconds to the loss | against plain |")
    print("|---|---|---|")
    for row in rows:
        seconds = row["seconds"]
        told = f"{seconds:.1f} | {seconds / plain_seconds:.2f}" if seconds else "never | –"
        print(f"| {row['recipe']} | {told} |")


if __name__ == "__main__":
    main()
