"""Keep the figures of benchmarks by date, machine and version, and say what got slower.

    python -m benchmarks.history          compare the newest figures with the ones before
    python -m benchmarks.history --run    run the short benchmarks first (`make bench`)

`benchmarks/results/PROGRAM.json` has one entry for each run of a program. A figure that a run also
measured for a reference, such as a plain TensorFlow loop, is compared by its ratio to that: other
work on the machine slows both alike. docs/history.md is written from these files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nstk import __version__
from nstk.diagnosis import describe_processor
from nstk.storage.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "history.md"
TOLERANCE = 1.1
"""How many times as slow a figure is reported, and as fast: repeated runs differ by less."""

SHORT = {
    "startup": ("--repeats", "5"),
    "step": (
        *("--networks", "compact", "--sizes", "256", "--rounds", "9"),
        *("--loops", "nstk, tiling off, float32", "nstk, tiling on, float32", "plain TensorFlow"),
    ),
}
HEADING = """# Performance history

The newest figures of the benchmarks that keep a history, for each machine. `make bench` measures
the short ones again and says what got slower; [benchmarks/README.md](../benchmarks/README.md)
describes all of them. *Ratio* relates a figure to the reference of the same run, which is named
below the table; *change* relates it to the run before on the same machine: more than 1.00 is
slower, or larger. *Load* is the number of processes per processor that wanted to run: above 1,
seconds are too long by about that factor, and only ratios tell something. `benchmarks/history.py`
generates this page from `benchmarks/results/`.
"""
REFERENCES = {
    "startup": "Median seconds of processes, from start to end, relative to `import tensorflow`.",
    "step": "Median seconds per step of style transfer, relative to a plain TensorFlow loop.",
    "memory": "Peak memory of a stylization in its own process.",
    "roofline": "Operations per second of a step, relative to the fastest bare convolution.",
}


@dataclass(frozen=True)
class Figure:
    """A measured value; larger is better where the unit ends in ``/s``."""

    value: float
    unit: str
    ratio: float | None = None


def record(program: str, figures: Mapping[str, Figure]) -> None:
    """Add the figures of a run to the history of a program."""
    entry = {
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        "commit": _find_commit(),
        "machine": describe_machine(),
        "load": measure_load(),
        "figures": {name: asdict(figure) for name, figure in figures.items()},
    }
    text = json.dumps([*read_history(program), entry], indent=1, ensure_ascii=False) + "\n"
    RESULTS.mkdir(exist_ok=True)
    atomic_write(RESULTS / f"{program}.json", lambda path: path.write_text(text, "utf-8"))


def read_history(program: str) -> list[dict[str, Any]]:
    """Read all entries of a program, the oldest first."""
    file = RESULTS / f"{program}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def describe_machine() -> str:
    """Name the processor, its threads and its widest vector instructions."""
    processor: Any = describe_processor()
    widest = ("avx512_bf16", "avx512f", "avx2", "avx", "asimd")
    found = next((each for each in widest if each in processor["features"]), "")
    return f"{processor['name']}, {processor['threads']} threads, {found}".rstrip(", ")


def measure_load() -> float | None:
    """Processes that want to run, for each processor, in the last five minutes; None if unknown."""
    if not hasattr(os, "getloadavg"):
        return None
    return round(os.getloadavg()[1] / (os.cpu_count() or 1), 1)


def compare_runs(program: str) -> Iterator[tuple[dict[str, Any], str, Figure, float | None]]:
    """Yield the newest entry of each machine with each figure, and its change since the last run.

    The change is how many times as slow, or as large, the figure is; None without an earlier one.
    """
    by_machine: dict[str, list[dict[str, Any]]] = {}
    for entry in read_history(program):
        by_machine.setdefault(entry["machine"], []).append(entry)
    for *former, newest in by_machine.values():
        for name, values in newest["figures"].items():
            figure = Figure(**values)
            known = [entry["figures"][name] for entry in former if name in entry["figures"]]
            yield newest, name, figure, _relate(figure, Figure(**known[-1])) if known else None


def _relate(figure: Figure, former: Figure) -> float:
    if figure.ratio and former.ratio:
        change = figure.ratio / former.ratio
    else:
        change = figure.value / former.value
    return 1 / change if figure.unit.endswith("/s") else change


def write_page() -> str:
    """Write the page: one table for each program."""
    sections = [HEADING]
    for program in sorted(path.stem for path in RESULTS.glob("*.json")):
        rows = [
            f"| {name} | {figure.value:.3g} {figure.unit} | {_format(figure.ratio)} "
            f"| {_format(change)} | {entry['machine']} | {_format(entry['load'])} "
            f"| {entry['version']}, {entry['date']} |"
            for entry, name, figure, change in compare_runs(program)
        ]
        heading = "| figure | measured | ratio | change | machine | load | version |"
        table = "\n".join([heading, "|---|---|---|---|---|---|---|", *rows])
        sections.append(f"## {program}.py\n\n{table}\n\n{REFERENCES[program]}\n")
    return "\n".join(sections)


def _format(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def _find_commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def main() -> int:
    """Run what is asked for, write the page, and report what got slower."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="run the short benchmarks first")
    arguments = parser.parse_args()
    if arguments.run:
        with tempfile.TemporaryDirectory() as folder:
            for program, options in SHORT.items():
                raw = ("--json", f"{folder}/{program}.json")
                command = [sys.executable, "-m", f"benchmarks.{program}", *options, *raw]
                subprocess.run(command, cwd=ROOT, check=True)
    PAGE.write_text(write_page(), encoding="utf-8")
    slower = 0
    for program in sorted(path.stem for path in RESULTS.glob("*.json")):
        for _, name, _, change in compare_runs(program):
            if change is not None and not 1 / TOLERANCE <= change <= TOLERANCE:
                slower += change > 1
                word = "slower" if change > 1 else "faster"
                print(f"{program}: {name} is {word}: {change:.2f} times the run before")
    if not slower:
        print("nothing got slower")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
