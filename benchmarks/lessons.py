"""Run all commands of the lessons and print how long they take.

    python benchmarks/lessons.py FOLDER [NAME...]

Each lesson is written to FOLDER/NAME, and its commands run there one after the other, as a student
runs them. Processor seconds are those of all threads together.
"""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from nstk.lessons.kit import write_kit
from nstk.lessons.samples import LESSONS

BIN = Path(sys.executable).parent


def run_lesson(name: str, folder: Path) -> None:
    """Write a lesson, run its commands, and print the seconds of each and of all."""
    write_kit(name, folder)
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    began, used = time.perf_counter(), measure_children()
    for line in (folder / "commands.txt").read_text(encoding="utf-8").splitlines():
        before = time.perf_counter()
        answer = subprocess.run(
            shlex.split(line),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        print(f"  {time.perf_counter() - before:6.1f} s  {line}", flush=True)
        print("\n".join(f"    {text}" for text in answer.stdout.splitlines()[-12:]))
        if answer.returncode:
            raise SystemExit(answer.stderr)
    wall, processor = time.perf_counter() - began, measure_children() - used
    print(f"{name}: {wall:.0f} s, {processor:.0f} processor seconds", flush=True)


def measure_children() -> float:
    """Return the processor seconds of all finished child processes."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    for each in sys.argv[2:] or LESSONS:
        run_lesson(each, place / each)
