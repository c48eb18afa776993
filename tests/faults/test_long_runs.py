"""Long runs: memory, open files and compiled functions do not grow."""

import signal
import time
from statistics import median

import pytest
from jobs import PREDICT, STYLIZE
from labeled_images import draw_class
from processes import Run

pytestmark = pytest.mark.faults

STEPS, IMAGES, WAVE = 2000, 200, 10
TOLERANCE = 0.05


def read_health(folder):
    """Memory, open files and compiled functions over time."""
    lines = (folder / "health.txt").read_text(encoding="ascii").splitlines()
    return [tuple(map(int, line.split())) for line in lines if len(line.split()) == 3]


def check_growth(health, name, note_health):
    """Compare the last fifth of a run with the second; the first is warm-up."""
    part = len(health) // 5
    early, late = health[part : 2 * part], health[-part:]
    assert part >= 5, "too short to compare"
    memory, files, functions = (
        [median(sample[column] for sample in samples) for samples in (early, late)]
        for column in range(3)
    )
    growth = memory[1] / memory[0] - 1
    note_health(f"resident memory, {name}", f"{growth:+.1%}", "within 5 %")
    note_health(f"open files, {name}", f"{files[1] - files[0]:+.0f}", "+0")
    note_health(f"compiled functions, {name}", f"{functions[1] - functions[0]:+.0f}", "+0")
    assert growth <= TOLERANCE
    assert files[0] == files[1]
    assert functions[0] == functions[1]


@pytest.mark.faults("two thousand steps", soak=True)
def test_nothing_grows_over_two_thousand_steps(tmp_path, note_health):
    STYLIZE.prepare(tmp_path)
    words = [
        *("stylize", "town.png", "waves.png", "-o", "out.png", "--size", "128", "--scales", "1"),
        *("--steps", str(STEPS), "--json"),
    ]
    run = Run(words, tmp_path, fault="health=0.2")
    assert run.wait() == 0, run.said
    check_growth(read_health(tmp_path), f"{STEPS} steps at 128 px", note_health)


@pytest.mark.faults("two hundred images that arrive one after the other", soak=True)
def test_nothing_grows_over_two_hundred_images_that_arrive(tmp_path, note_health):
    PREDICT.prepare(tmp_path)
    arriving = tmp_path / "arriving"
    arriving.mkdir()
    words = ["predict", "colors.keras", "--watch", "arriving", "--interval", "0.1"]
    words += ["-o", "labels.csv"]
    run = Run(words, tmp_path, fault="health=0.1")
    for wave in range(IMAGES // WAVE):
        draw_class(arriving / str(wave), "blue", WAVE)
        wait_for_lines(run, tmp_path / "labels.csv", 1 + WAVE * (wave + 1))
    run.send(signal.SIGINT)
    assert run.wait() == 130, run.said
    check_growth(read_health(tmp_path), f"{IMAGES} images that arrive", note_health)


def wait_for_lines(run, path, count):
    end = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert run.process.is_alive(), run.said
        assert time.monotonic() < end, f"no line {count} came: {run.said}"
        time.sleep(0.05)
