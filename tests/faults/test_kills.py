"""Killed at any moment and run again, a job makes the same bytes as an uninterrupted one."""

import random
import time

import pytest
from jobs import FINETUNE, JOBS, PREDICT, STYLIZE

pytestmark = pytest.mark.faults


KILL = "SIGKILL at a random moment, then run again"


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(
            job,
            id=job.name,
            marks=pytest.mark.faults(KILL, **{} if job in (STYLIZE, PREDICT) else {"soak": True}),
        )
        for job in JOBS
    ],
)
def test_a_kill_at_a_random_moment_does_not_change_the_result(
    job, kills, whole, tmp_path, tally, find_partial_results
):
    expected, seconds = whole(job)
    moments = random.Random(job.name)
    for trial in range(kills):
        folder = tmp_path / f"{trial}"
        folder.mkdir()
        job.prepare(folder)
        run = job.start(folder)
        time.sleep(moments.uniform(0, seconds))
        run.kill()
        assert not find_partial_results(job, folder, expected)
        run = job.start(folder, again=True)
        survived = run.wait() == 0 and job.read(folder) == expected
        tally(job, survived)
        assert survived, run.said


@pytest.mark.faults("SIGKILL again and again", soak=True)
def test_a_run_that_is_killed_repeatedly_completes(whole, tmp_path, kills):
    expected, seconds = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    moments = random.Random(7)
    for _ in range(kills // 2):
        run = STYLIZE.start(tmp_path, again=True)
        time.sleep(moments.uniform(0, seconds))
        run.kill()
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("one of two runs side by side is killed", soak=True)
def test_a_killed_run_does_not_affect_a_parallel_one(whole, tmp_path):
    expected, seconds = whole(STYLIZE)
    folders = [tmp_path / name for name in ("one", "other")]
    runs = []
    for folder in folders:
        folder.mkdir()
        STYLIZE.prepare(folder)
        runs.append(STYLIZE.start(folder))
    time.sleep(seconds / 2)
    runs[0].kill()
    assert runs[1].wait() == 0, runs[1].said
    assert STYLIZE.read(folders[1]) == expected


@pytest.mark.faults("one of two runs that share a cache is killed", soak=True)
def test_runs_share_a_cache_even_if_one_is_killed(whole, tmp_path):
    expected, _ = whole(FINETUNE)
    folders = [tmp_path / name for name in ("one", "other", "third")]
    runs = []
    for folder in folders:
        folder.mkdir()
        FINETUNE.prepare(folder)
        runs.append(FINETUNE.start(folder, add=("--cache", tmp_path / "features")))
    runs[0].wait_for("features/*/*/*.rows", tmp_path)
    runs[0].kill()
    for run, folder in zip(runs[1:], folders[1:], strict=True):
        assert run.wait() == 0, run.said
        assert FINETUNE.read(folder) == expected
