"""Faults that are injected into a run, by the words in ``NSTK_FAULT``.

nstk itself does not know them. Several faults are separated by spaces, a fault and its number by an
equals sign.
"""

import errno
import itertools
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path


def inject(words: str) -> None:
    """Inject the faults into this process."""
    for word in words.split():
        name, _, number = word.partition("=")
        FAULTS[name](number)


def poison_loss(steps: str) -> None:
    """``nan=5,9``: the fifth and the ninth loss are NaN."""
    from nstk.stylization.objective import StyleObjective

    broken = [int(step) for step in steps.split(",")]
    compile_step, calls = StyleObjective.compile, itertools.count(1)

    def poisoned(self, optimizer):
        advance = compile_step(self, optimizer)

        def call(x, state, balance):
            x, state, found = advance(x, state, balance)
            if next(calls) in broken:
                found = found._replace(loss=found.loss * float("nan"))
            return x, state, found

        return call

    StyleObjective.compile = poisoned


def fill_disk(file_size: str) -> None:
    """``full=9000``: the kernel limits the size of files to this number of bytes."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_size), hard))


def refuse_to_write(after: str) -> None:
    """``writes=2``: the disk is full after this number of files."""
    synchronize, calls = os.fsync, itertools.count(1)

    def refuse(descriptor):
        if next(calls) > int(after):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synchronize(descriptor)

    os.fsync = refuse


def set_clock_back(_: str) -> None:
    """``clock``: every query of the time of day returns a time one day earlier."""
    began, calls = time.time(), itertools.count(1)
    time.time = lambda: began - 86_400 * next(calls)


def lower_memory(room: str) -> None:
    """``memory=300``: the process may allocate this number of MiB more."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + int(room) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def write_often(rows: str) -> None:
    """``rows=4``: no fault, but features are written this often, so that a kill finds some."""
    from nstk.features import cache

    cache._ROWS_PER_FILE = int(rows)


def write_health_down(seconds: str) -> None:
    """``health=0.5``: no fault; the state of the process is written to ``health.txt`` this often.

    Each line has the resident memory in bytes, the number of open files, and the number of
    functions that TensorFlow has compiled.
    """
    from tensorflow.python.eager import context

    def watch():
        with open("health.txt", "w", encoding="ascii", buffering=1) as file:
            while True:
                pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
                files = len(os.listdir("/proc/self/fd"))
                functions = len(context.context().list_function_names())
                print(pages * resource.getpagesize(), files, functions, file=file)
                time.sleep(float(seconds))

    threading.Thread(target=watch, daemon=True).start()


FAULTS: dict[str, Callable[[str], None]] = {
    "nan": poison_loss,
    "full": fill_disk,
    "writes": refuse_to_write,
    "clock": set_clock_back,
    "memory": lower_memory,
    "rows": write_often,
    "health": write_health_down,
}
