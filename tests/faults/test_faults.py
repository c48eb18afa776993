"""A run may be killed, interrupted, or fail on a full disk; a file may be damaged.

Nothing is lost, and nothing is left half-written. All of it is one file, because its tests share
the process that runs are forked from, and the results of undisturbed runs.

Untrusted files: every kind of file that nstk reads is corrupted in thousands of ways (`mutations`)
and read in monitored processes (`trials`). `make test` tries about fifty of each kind, `make soak`
over fifty thousand in total.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
import readers
import trials
from jobs import FINETUNE, JOBS, PREDICT, STYLIZE
from PIL import Image

pytestmark = pytest.mark.faults


# Killed at any moment and run again, a job makes the same bytes as an uninterrupted one.

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


# Ctrl-C and SIGTERM save the image so far and the state, with different exit statuses.


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.faults("Ctrl-C", soak=True)),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.faults("SIGTERM")),
    ],
)
def test_a_signal_saves_the_image_and_the_state(number, status, whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path)
    run.wait_for("states/*.checkpoint", tmp_path)
    run.send(number)
    assert run.wait() == status, run.said
    assert re.search("out.png.*--resume", run.said)
    with Image.open(tmp_path / "out.png") as image:
        image.load()
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected


# A full disk, vanished folders, changed files: one clear line, and never a partial file.


def list_files(folder):
    """All files except those of the harness."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".log")
    return sorted(str(path.relative_to(folder)) for path in found)


@contextmanager
def small_disk(folder, size):
    """A file system of this size in bytes."""
    folder.mkdir(exist_ok=True)
    options = f"size={size}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk that fills up without root: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.faults("disk full: no room for the result")
def test_a_result_that_does_not_fit_leaves_one_line_and_no_file(tmp_path):
    STYLIZE.prepare(tmp_path)
    before = list_files(tmp_path)
    run = STYLIZE.start(tmp_path, fault="full=1000")
    assert run.wait() == 2, run.said
    warning, line = run.lines
    assert "No checkpoint at step 1" in warning
    assert line.startswith("nstk: Cannot write out.png: File too large; ")
    assert [name for name in list_files(tmp_path) if name != "states/lock"] == before


@pytest.mark.faults("disk full: no room for checkpoints", soak=True)
def test_checkpoints_that_do_not_fit_do_not_stop_the_run(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path, fault="full=60000")
    assert run.wait() == 0, run.said
    assert "No checkpoint at step" in run.said
    assert STYLIZE.read(tmp_path) == expected
    assert list_files(tmp_path / "states") == ["lock"]


@pytest.mark.faults("disk full: a small disk fills up", soak=True)
def test_a_small_disk_that_fills_up_keeps_complete_checkpoints(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    with small_disk(tmp_path / "states", 400_000):
        run = STYLIZE.start(tmp_path)
        assert run.wait() == 0, run.said
        assert "No space left on device" in run.said
        assert STYLIZE.read(tmp_path) == expected
        run = STYLIZE.start(tmp_path, again=True)
        assert run.wait() == 0, run.said
        assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("disk full: no room for the cache", soak=True)
def test_a_cache_that_does_not_fit_is_logged_and_does_not_stop_the_run(whole, tmp_path):
    expected, _ = whole(FINETUNE)
    FINETUNE.prepare(tmp_path)
    with small_disk(tmp_path / "features", 8192):
        run = FINETUNE.start(tmp_path)
        assert run.wait() == 0, run.said
    assert "feature cache cannot be written" in run.said
    assert FINETUNE.read(tmp_path) == expected


@pytest.mark.faults("output folder removed", soak=True)
def test_a_removed_output_folder_is_one_line_and_the_state_is_kept(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    (tmp_path / "there").mkdir()
    run = STYLIZE.start(tmp_path, add=("-o", "there/out.png"))
    run.wait_for("states/*.checkpoint", tmp_path)
    (tmp_path / "there").rmdir()
    assert run.wait() == 2, run.said
    assert len(run.lines) == 1, run.said
    assert "there" in run.lines[0]
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("checkpoint folder removed", soak=True)
def test_a_removed_checkpoint_folder_does_not_stop_the_run(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path)
    run.wait_for("states/*.checkpoint", tmp_path)
    shutil.rmtree(tmp_path / "states", ignore_errors=True)
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("input truncated", soak=True)
def test_truncating_an_input_during_the_run_changes_nothing(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path)
    run.wait_for("states/*.checkpoint", tmp_path)
    content = (tmp_path / "town.png").read_bytes()
    (tmp_path / "town.png").write_bytes(content[: len(content) // 2])
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 2, run.said
    assert len(run.lines) == 1, run.said
    assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("cache file corrupted", soak=True)
def test_a_changed_cache_file_is_detected_and_computed_again(whole, tmp_path):
    expected, _ = whole(FINETUNE)
    FINETUNE.prepare(tmp_path)
    assert FINETUNE.start(tmp_path).wait() == 0
    rows = sorted((tmp_path / "features").rglob("*.rows"))
    content = bytearray(rows[0].read_bytes())
    content[-3] ^= 1
    rows[0].write_bytes(content)
    run = FINETUNE.start(tmp_path)
    assert run.wait() == 0, run.said
    assert "damaged" in run.said
    assert FINETUNE.read(tmp_path) == expected


@pytest.mark.faults("checkpoint corrupted", soak=True)
def test_a_changed_checkpoint_is_detected_and_the_one_before_is_used(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    assert STYLIZE.start(tmp_path).wait() == 0
    (tmp_path / "out.png").unlink()
    newest = sorted((tmp_path / "states").glob("*.checkpoint"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 0, run.said
    assert "damaged" in run.said
    assert STYLIZE.read(tmp_path) == expected


# The machine: its clock, its numbers, its memory, another run in the same folder.


@pytest.mark.faults("clock jumping back", soak=True)
@pytest.mark.parametrize("job", [STYLIZE, FINETUNE], ids=lambda job: job.name)
def test_setting_the_clock_back_changes_nothing(job, whole, tmp_path):
    expected, _ = whole(job)
    job.prepare(tmp_path)
    run = job.start(tmp_path, fault="clock")
    assert run.wait() == 0, run.said
    assert job.read(tmp_path) == expected


@pytest.mark.faults("a loss that is not finite", soak=True)
def test_a_run_recovers_from_one_loss_that_is_not_finite(tmp_path):
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path, fault="nan=9")
    assert run.wait() == 0, run.said
    assert re.search("nan .*step 9 of 45×34", run.said)
    answer = json.loads(next(line for line in run.said.splitlines() if line.startswith("{")))
    assert answer["steps"] == 28
    assert answer["deterministic"] is True


@pytest.mark.faults("a loss that is not finite for the second time")
def test_a_second_loss_that_is_not_finite_ends_with_the_last_good_image(tmp_path):
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path, fault="nan=9,12")
    assert run.wait() == 2, run.said
    assert len(run.lines) == 1, run.said
    assert "out.png" in run.lines[0]
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (45, 34)


@pytest.mark.faults("memory limit lowered")
def test_a_size_that_does_not_fit_in_memory_is_refused_with_one_that_fits(tmp_path):
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path, fault="memory=700", add=("--size", "4000"))
    assert run.wait() == 2, run.said
    assert len(run.lines) == 1, run.said
    assert re.search(r"--size \d+", run.lines[0])
    assert "out.png" not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.faults("two runs share a checkpoint folder", soak=True)
def test_a_second_run_in_the_same_folder_is_refused_and_the_first_continues(tmp_path):
    STYLIZE.prepare(tmp_path)
    long = ("--steps", "20000")
    first = STYLIZE.start(tmp_path, add=long)
    first.wait_for("states/*.checkpoint", tmp_path)
    second = STYLIZE.start(tmp_path, again=True, add=(*long, "-o", "other.png"))
    assert second.wait() == 2, second.said
    assert len(second.lines) == 1
    assert "states" in second.lines[0]
    assert not (tmp_path / "other.png").exists()
    first.send(signal.SIGTERM)
    assert first.wait() == 143, first.said
    assert (tmp_path / "out.png").exists()


# Untrusted files: reading them raises nothing but an `NstkError`.

INPUTS = 52_000 if os.environ.get("NSTK_SOAK") == "1" else 1_000
"""Number of files, divided by `Kind.share`."""

_SHARES = sum(kind.share for kind in readers.KINDS)


@pytest.mark.parametrize("kind", readers.KINDS, ids=lambda kind: kind.name)
def test_a_corrupted_file_raises_nothing_but_our_errors(kind, tmp_path, tally_inputs):
    count = -(-INPUTS * kind.share // _SHARES)
    tally = trials.try_kind(kind.name, 0, count, tmp_path)
    tally_inputs(kind, tally)
    assert tally.tried == count
    assert tally.refused > 0  # otherwise nothing was corrupted
    assert not tally.findings, "\n\n".join(tally.findings[:5])
