"""Progress on standard error: bars at a terminal, now and then a plain line elsewhere."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import nstk
from nstk_cli.output import duration

if TYPE_CHECKING:
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 10.0
SECONDS_WORTH_A_LINE = 1.0
MOST_BARS = 8

Reporter = Callable[[nstk.Progress], None]


class StderrHandler(logging.Handler):
    """Write the library's log lines to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, above the bar where there is one."""
        words = self.format(record)
        # A traceback has lines of its own; anything else is one.
        print(f"nstk: {words if record.exc_info else nstk.printable(words)}", file=sys.stderr)


class Bars:
    """One bar for each of the last stages of a job, with the time left and the loss."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[loss]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self.stage: str | None = None
        self.task: TaskID = self.progress.add_task("starting", total=None, loss="")

    def __call__(self, progress: nstk.Progress) -> None:
        """Move the bar of this stage; a new stage gets a new bar below the others.

        The oldest makes room: a terminal shows no more bars than it has lines, and not the last.
        """
        if self.stage is None:
            self.progress.remove_task(self.task)
        if progress.stage != self.stage:
            self.stage = progress.stage
            for task in self.progress.tasks[: 1 - MOST_BARS]:
                self.progress.remove_task(task.id)
            self.task = self.progress.add_task(progress.stage, total=progress.total, loss="")
        loss = "" if progress.loss is None else f"loss {progress.loss:.4g}"
        self.progress.update(self.task, completed=progress.step, total=progress.total, loss=loss)


class Lines:
    """A plain line every ten seconds, and one at the end of each stage that took a second."""

    def __init__(self) -> None:
        self.stage: str | None = None
        self.began = self.written = time.monotonic()
        self.first = (self.began, 0)

    def __call__(self, progress: nstk.Progress) -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if self.stage is None:  # what was imported until here is no part of the work
            self.written = now
        if progress.stage != self.stage:
            self.stage, self.began, self.first = progress.stage, now, (now, 0)
        if not self.first[1]:  # the first step also compiles, so it tells nothing of the others
            self.first = (now, progress.step)
        done = progress.step >= progress.total
        if done and now - self.began < SECONDS_WORTH_A_LINE:
            return
        if not progress.step or (not done and now - self.written < SECONDS_BETWEEN_LINES):
            return
        self.written = now
        line = f"nstk: {progress.stage}: {progress.step}/{progress.total}"
        if progress.loss is not None:
            line += f", loss {progress.loss:.4g}"
        since, after = self.first
        if done:
            line += f", {duration(now - self.began)}"
        elif progress.step > after:
            pace = (now - since) / (progress.step - after)
            line += f", {duration(pace * (progress.total - progress.step))} left"
        print(line, file=sys.stderr)


@contextmanager
def reporting(*, quiet: bool = False) -> Iterator[Reporter]:
    """Show a job's progress and log lines on standard error while the block runs.

    Args:
        quiet: Show nothing but errors.
    """
    log = logging.getLogger("nstk")
    handler = StderrHandler()
    levels = {"debug": logging.DEBUG, "info": logging.INFO}
    level = levels.get(os.environ.get("NSTK_LOG", "").lower(), logging.WARNING)
    former_level = log.level
    with ExitStack() as stack:
        stack.callback(log.setLevel, former_level)
        stack.callback(log.removeHandler, handler)
        log.setLevel(logging.ERROR if quiet else level)
        log.addHandler(handler)
        if quiet:
            yield nstk.no_progress
        elif sys.stderr.isatty():
            bars = Bars()
            stack.enter_context(bars.progress)
            yield bars
        else:
            yield Lines()
