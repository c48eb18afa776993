"""A machine that misbehaves: its clock, its numbers, its memory, another run in the same place."""

import json
import signal

import pytest
from jobs import FINETUNE, STYLIZE
from PIL import Image

pytestmark = pytest.mark.faults


@pytest.mark.faults("clock jumping back", soak=True)
@pytest.mark.parametrize("job", [STYLIZE, FINETUNE], ids=lambda job: job.name)
def test_a_clock_that_goes_back_changes_nothing(job, whole, tmp_path):
    expected, _ = whole(job)
    job.prepare(tmp_path)
    run = job.start(tmp_path, fault="clock")
    assert run.wait() == 0, run.said
    assert job.read(tmp_path) == expected


@pytest.mark.faults("a loss that is no number")
def test_a_loss_that_is_no_number_once_is_survived_and_told(tmp_path):
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path, fault="nan=9")
    assert run.wait() == 0, run.said
    assert "The loss is nan at step 9 of 45×34" in run.said
    assert "went on from the last good image with smaller steps" in run.said
    answer = json.loads(next(line for line in run.said.splitlines() if line.startswith("{")))
    assert answer["steps"] == 34
    assert answer["deterministic"] is True


@pytest.mark.faults("a loss that is no number for the second time")
def test_a_loss_that_is_no_number_again_ends_with_the_last_good_image(tmp_path):
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path, fault="nan=9,12")
    assert run.wait() == 2, run.said
    assert len(run.lines) == 1, run.said
    assert "with smaller steps, too" in run.said
    assert "The last good image is in out.png." in run.said
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (45, 34)


@pytest.mark.faults("memory limit lowered")
def test_what_does_not_fit_in_memory_is_refused_with_what_would(tmp_path):
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path, fault="memory=700", add=("--size", "4000"))
    assert run.wait() == 2, run.said
    assert len(run.lines) == 1, run.said
    assert "choose --size" in run.said
    assert "out.png" not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.faults("two runs share a checkpoint folder")
def test_a_second_run_in_the_same_folder_is_refused_and_the_first_goes_on(tmp_path):
    STYLIZE.prepare(tmp_path)
    long = ("--steps", "20000")
    first = STYLIZE.start(tmp_path, add=long)
    first.wait_for("states/*.checkpoint", tmp_path)
    second = STYLIZE.start(tmp_path, again=True, add=(*long, "-o", "other.png"))
    assert second.wait() == 2, second.said
    assert second.lines == [
        "nstk: Another run is using states; wait for its end, or give another folder."
    ]
    assert not (tmp_path / "other.png").exists()
    first.send(signal.SIGTERM)
    assert first.wait() == 143, first.said
    assert (tmp_path / "out.png").exists()
