"""Fixtures of the fault tests: number of trials, and the summary printed at the end."""

import os
import time
from collections import defaultdict

import pytest
from jobs import JOBS
from trials import Tally

THOROUGH = os.environ.get("NSTK_SOAK") == "1"

_trials: dict[str, list[bool]] = defaultdict(list)
_outcomes: dict[str, bool] = {}
_halves: list[str] = []
_inputs: list[tuple[str, Tally]] = []
_health: list[tuple[str, str, str]] = []


@pytest.fixture(scope="session")
def kills() -> int:
    """Number of kills per job: one, or twenty in ``make soak``."""
    return 20 if THOROUGH else 1


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Results and seconds of an undisturbed run of each job: ``whole(job)``."""
    known = {}

    def give(job):
        if job.name not in known:
            folder = tmp_path_factory.mktemp(f"whole-{job.name}")
            job.prepare(folder)
            began = time.monotonic()
            run = job.start(folder)
            assert run.wait() == 0, run.said
            known[job.name] = job.read(folder), time.monotonic() - began
        return known[job.name]

    return give


@pytest.fixture
def tally():
    """Records each trial: ``tally(job, survived)``."""
    return lambda job, survived: _trials[job.name].append(survived)


@pytest.fixture
def tally_inputs():
    """Records the outcome of corrupted files: ``tally_inputs(kind, tally)``."""
    return lambda kind, tally: _inputs.append((kind.name, tally))


@pytest.fixture
def note_health():
    """Records a measurement of a long run: ``note_health(figure, measured, bar)``."""
    return lambda *row: _health.append(row)


@pytest.fixture
def find_partial_results():
    """Compare results with the expected ones: each is absent, complete, or a prefix if it grows."""

    def find(job, folder, expected):
        halves = [
            f"{job.name}: {name}"
            for name, content in job.read(folder).items()
            if content != expected[name] and not (job.grows and expected[name].startswith(content))
        ]
        _halves.extend(halves)
        return halves

    return find


def pytest_collection_modifyitems(config, items):
    """Run the long tests in ``make soak`` only."""
    if THOROUGH:
        return
    late = [item for item in items if any(mark.kwargs for mark in item.iter_markers("faults"))]
    config.hook.pytest_deselected(items=late)
    items[:] = [item for item in items if item not in late]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    kind = next((mark.args[0] for mark in item.iter_markers("faults") if mark.args), None)
    if kind and report.when == "call" and not report.skipped:
        _outcomes[kind] = _outcomes.get(kind, True) and report.passed


def pytest_terminal_summary(terminalreporter):
    if not THOROUGH:
        return
    write = terminalreporter.write_line
    write("")
    write("| figure | measured | bar |")
    write("|---|---|---|")
    for job in JOBS:
        trials = _trials[job.name]
        if not trials:
            continue
        counted = f"{sum(trials)} of {len(trials)}"
        write(f"| kills of `nstk {job.name}` survived with the same bytes | {counted} | 20 of 20 |")
    write(f"| half-written outputs seen | {len(_halves)} | 0 |")
    good = sum(_outcomes.values())
    write(f"| fault kinds with the specified outcome | {good} of {len(_outcomes)} | all |")
    tried = sum(tally.tried for _, tally in _inputs)
    found = sum(len(tally.findings) for _, tally in _inputs)
    write(f"| corrupted files read / findings | {tried} / {found} | ≥ 50000 / 0 |")
    for figure, measured, bar in _health:
        write(f"| {figure} | {measured} | {bar} |")
    write("")
    write("| corrupted files | read | refused | exceptions | hangs | crashes | stray files |")
    write("|---|---|---|---|---|---|---|")
    for name, tally in _inputs:
        counts = map(len, (tally.exceptions, tally.hangs, tally.crashes, tally.strays))
        write(f"| {name} | {tally.tried} | {tally.refused} | {' | '.join(map(str, counts))} |")
    write("")
    for kind, passed in _outcomes.items():
        write(f"- {kind}: {'as specified' if passed else 'NOT as specified'}")
