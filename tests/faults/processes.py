"""Runs of the command line that can be killed.

Each is a process forked from one that has loaded TensorFlow but not used it, so that a random
moment falls into work and not into loading. Standard output and standard error go to a file.
"""

import multiprocessing
import os
import re
import signal
import sys
import time
from pathlib import Path

import faults

LOADED = (
    "tensorflow",
    "keras",
    "nstk.stylization.job",
    "nstk.stylization.result",
    "nstk.finetuning.job",
    "nstk.classifiers.run_records",
    "nstk.sweeping.job",
    "nstk.video.job",
    "nstk.reports.sweep",
    "nstk.classifiers.prediction.job",
    "nstk.classifiers.prediction.results",
    "nstk.backbones.loading",
    "nstk_cli.main",
)

PATIENCE = 240.0
"""Seconds after which a run counts as hanging."""

PROGRESS = re.compile(r"nstk: [^ ]+: \d+/\d+")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(LOADED))


class Run:
    """One command that runs in its own process.

    Args:
        arguments: The arguments of ``nstk``.
        folder: Its working folder.
        fault: Faults to inject, see `faults.inject`.
    """

    def __init__(self, arguments, folder: Path, *, fault: str = ""):
        self._log = folder / f"{time.monotonic_ns()}.log"
        settings = {"NSTK_FAULT": fault, "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
        words = [str(argument) for argument in arguments]
        self.process = _context.Process(
            target=_work, args=(words, str(folder), settings, str(self._log)), daemon=True
        )
        self.process.start()

    def kill(self) -> None:
        """Kill it with SIGKILL, as the kernel does when memory is short."""
        self.send(signal.SIGKILL)
        self.process.join()

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def wait(self) -> int:
        """Wait for its end and return the exit status, negative for a signal."""
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.kill()
            raise AssertionError(f"it hangs: {self.said}")
        return self.process.exitcode

    def wait_for(self, pattern: str, folder: Path) -> None:
        """Wait until a file exists; fail if the run ends before."""
        end = time.monotonic() + PATIENCE
        while not any(folder.glob(pattern)):
            assert self.process.is_alive(), self.said
            assert time.monotonic() < end, f"no {pattern} came: {self.said}"
            time.sleep(0.01)

    @property
    def said(self) -> str:
        """Its output so far, standard output and standard error."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    @property
    def lines(self) -> list[str]:
        """The lines of its output, without progress lines."""
        return [line for line in self.said.splitlines() if not PROGRESS.match(line)]


def _work(words: list[str], folder: str, settings: dict[str, str], log: str) -> None:
    os.environ.update(settings)
    os.chdir(folder)
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(stream, descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["nstk", *words]
    faults.inject(settings["NSTK_FAULT"])
    from nstk_cli.main import run

    run()
