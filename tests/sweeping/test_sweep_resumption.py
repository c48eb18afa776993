"""The run that a sweep was at when it ended goes on from its checkpoint, to the same bytes."""

import pytest
from forgery import forge_newest

import nstk
from nstk.backbones.variants import Arithmetic
from nstk.errors import CheckpointError
from nstk.stylization.optimization import Optimization
from nstk.sweeping.grid import SweepAxis

SETTINGS = nstk.StylizeSettings(size=48, steps=5, scales=1, init="noise")
STRENGTHS = SweepAxis("strength", (0.2, 0.5, 0.8))
LAST = "strength 0.8"


class Killed(BaseException):
    """Ends a sweep like SIGKILL: nobody catches it."""


@pytest.fixture(scope="module")
def paint(tiny_backbone, scene, strokes):
    def run(place, *, resume=False, every=1, end=Killed, stop=None, settings=SETTINGS, **asked):
        def report(progress):
            if stop and stop[0] in progress.stage and progress.step == stop[1]:
                raise end

        states = nstk.CheckpointSettings(
            checkpoint=place / "states", checkpoint_every=every, resume=resume
        )
        asked = {"backbone": tiny_backbone, "settings": settings, "over": [STRENGTHS], **asked}
        asked = {"content": scene, "styles": strokes, **asked}
        return nstk.sweep(folder=place / "runs", checkpoints=states, on_progress=report, **asked)

    return run


@pytest.fixture(scope="module")
def whole(paint, tmp_path_factory):
    return read(paint(tmp_path_factory.mktemp("whole")))


@pytest.fixture
def killed(paint, tmp_path):
    """The place of a sweep that ended in its last run, with three of five steps taken."""
    with pytest.raises(Killed):
        paint(tmp_path, stop=(LAST, 4))
    return tmp_path


@pytest.fixture
def steps(monkeypatch):
    """How many steps each descent really took."""
    counts = []
    original = Optimization.run

    def counting(self, *arguments, **options):
        before = self.steps
        try:
            original(self, *arguments, **options)
        finally:
            counts.append(self.steps - before)

    monkeypatch.setattr(Optimization, "run", counting)
    return counts


def read(swept):
    """All that a sweep made: the bytes of its images, and every loss on the way."""
    return [(run.output.read_bytes(), run.terms, run.curves, run.stages) for run in swept.runs]


def test_a_run_that_was_killed_goes_on_where_it_stood(paint, killed, whole, steps):
    assert read(paint(killed, resume=True)) == whole
    assert len(steps) == 1
    assert 0 < steps[0] < SETTINGS.steps


def test_ctrl_c_keeps_the_state_whenever_the_next_one_is_due(paint, whole, steps, tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        paint(tmp_path, stop=(LAST, 4), end=KeyboardInterrupt, every="1000s")
    assert "2 of 3 runs" in caplog.text
    assert "with --resume" in caplog.text
    steps.clear()
    assert read(paint(tmp_path, resume=True)) == whole
    assert len(steps) == 1
    assert steps[0] < SETTINGS.steps


def test_a_state_of_a_run_that_was_finished_after_it_changes_nothing(paint, killed, whole, steps):
    paint(killed, resume=True)
    steps.clear()
    assert read(paint(killed, resume=True)) == whole
    assert steps == []


def test_what_the_run_was_painted_in_is_remembered_for_its_kin_too(
    paint, killed, whole, monkeypatch
):
    monkeypatch.setattr(
        "nstk.stylization.preparing.choose_arithmetic",
        lambda precision, convolution, *_: Arithmetic(
            "bfloat16" if precision == "auto" else precision,
            "direct" if convolution == "auto" else convolution,
        ),
    )
    assert read(paint(killed, resume=True)) == whole


def test_an_earlier_sweep_is_neither_overwritten_nor_confused_with_another(
    paint, killed, strokes, tmp_path
):
    with pytest.raises(CheckpointError, match="add --resume"):
        paint(killed)
    others = {
        "--over is .*0.2;0.5'.* and was .*0.2;0.5;0.8": {
            "over": [SweepAxis("strength", (0.2, 0.5))]
        },
        "--size is 32 and was 48": {
            "settings": nstk.StylizeSettings(size=32, steps=5, scales=1, init="noise")
        },
        "the style 1 changed": {"styles": strokes[:, ::-1].copy()},
        "the style 2 was not there": {"styles": [strokes, strokes]},
    }
    for words, asked in others.items():
        with pytest.raises(CheckpointError, match=words):
            paint(killed, resume=True, **asked)


def test_a_state_of_no_run_is_refused_in_one_line(paint, killed):
    forge_newest(killed / "states", lambda facts, arrays: facts.pop("run"))
    with pytest.raises(CheckpointError, match="none that nstk wrote"):
        paint(killed, resume=True)
