"""Progress on standard error: bars in a terminal, occasional plain lines elsewhere."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from nstk.errors import printable
from nstk.progress import Progress, Reporter, no_progress
from nstk_cli.output import format_duration

if TYPE_CHECKING:
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 10.0
SECONDS_FOR_A_LINE = 1.0
MOST_BARS = 8


class StderrHandler(logging.Handler):
    """Write the library's log lines to the current standard error, above any bars."""

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record)
        # A traceback has several lines, any other message one.
        print(f"nstk: {message if record.exc_info else printable(message)}", file=sys.stderr)


class Bars:
    """One bar for each of the last stages of a job, with the remaining time and the loss."""

    def __init__(self) -> None:
        from rich import progress
        from rich.console import Console

        self.progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            progress.TextColumn("{task.fields[loss]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self.stage: str | None = None
        self.task: TaskID = self.progress.add_task("starting", total=None, loss="")

    def __call__(self, progress: Progress) -> None:
        """Update the bar of this stage; a new stage gets a new bar below the others.

        The oldest bar is removed, because a terminal shows only as many bars as it has lines.
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
    """A plain line every ten seconds, and one at the end of each stage of over a second."""

    def __init__(self) -> None:
        self.stage: str | None = None
        self.began = self.written = time.monotonic()
        self.first = (self.began, 0)

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self.stage is None:  # imports until here are not part of the work
            self.written = now
        if progress.stage != self.stage:
            self.stage, self.began, self.first = progress.stage, now, (now, 0)
        if not self.first[1]:  # the first step includes compilation
            self.first = (now, progress.step)
        done = progress.step >= progress.total
        if done and now - self.began < SECONDS_FOR_A_LINE:
            return
        if not progress.step or (not done and now - self.written < SECONDS_BETWEEN_LINES):
            return
        self.written = now
        line = f"nstk: {progress.stage}: {progress.step}/{progress.total}"
        if progress.loss is not None:
            line += f", loss {progress.loss:.4g}"
        since, after = self.first
        if done:
            line += f", {format_duration(now - self.began)}"
        elif progress.step > after:
            pace = (now - since) / (progress.step - after)
            line += f", {format_duration(pace * (progress.total - progress.step))} left"
        print(line, file=sys.stderr)


@contextmanager
def reporting(*, quiet: bool = False) -> Iterator[Reporter]:
    """Show progress and log lines, or errors only, on standard error while the block runs."""
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
            yield no_progress
        elif sys.stderr.isatty():
            bars = Bars()
            stack.enter_context(bars.progress)
            yield bars
        else:
            yield Lines()
