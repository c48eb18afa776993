"""Faults of the machine: its clock, its numbers, its memory, another run in the same folder."""

import json
import re
import signal

import pytest
from jobs import FINETUNE, STYLIZE
from PIL import Image

pytestmark = pytest.mark.faults


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
    assert answer["steps"] == 34
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
