"""The interrupted run of a sweep is resumed from its checkpoint, with the same bytes."""

import shutil

import pytest
from forgery import forge_newest

import nstk
from nstk.errors import CheckpointError
from nstk.stylization.optimization import Optimization
from nstk.sweeping.grid import SweepAxis

SETTINGS = nstk.StylizeSettings(size=48, steps=5, scales=1, init="noise")
STRENGTHS = SweepAxis("strength", (0.2, 0.5, 0.8))
LAST = "strength 0.8"


class Killed(BaseException):
    """Ends a sweep like SIGKILL: nothing catches it."""


@pytest.fixture(scope="module")
def sweep(tiny_backbone, scene, strokes):
    def run(place, *, resume=False, every=1, end=Killed, stop=None, settings=SETTINGS, **options):
        def report(progress):
            if stop and stop[0] in progress.stage and progress.step == stop[1]:
                raise end

        states = nstk.CheckpointSettings(
            checkpoint=place / "states", checkpoint_every=every, resume=resume
        )
        options = {"backbone": tiny_backbone, "settings": settings, "over": [STRENGTHS], **options}
        options = {"content": scene, "style": strokes, **options}
        return nstk.sweep(folder=place / "runs", checkpoints=states, on_progress=report, **options)

    return run


@pytest.fixture(scope="module")
def whole(sweep, tmp_path_factory):
    return outputs(sweep(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def killed_once(sweep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(Killed):
        sweep(folder, stop=(LAST, 4))
    return folder


@pytest.fixture
def killed(killed_once, tmp_path):
    """The folder of a sweep that was killed in its last run, after three of five steps."""
    return shutil.copytree(killed_once, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def steps(monkeypatch):
    """How many steps each optimization took."""
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


def outputs(swept):
    """Everything a sweep made: the bytes of its images, and every loss."""
    return [(run.output.read_bytes(), run.terms, run.curves, run.stages) for run in swept.runs]


def test_a_killed_run_continues_from_its_checkpoint(sweep, killed, whole, steps):
    assert outputs(sweep(killed, resume=True)) == whole
    assert len(steps) == 1
    assert 0 < steps[0] < SETTINGS.steps
    steps.clear()
    assert outputs(sweep(killed, resume=True)) == whole
    assert steps == [], "the checkpoint of a finished run is ignored"


def test_ctrl_c_saves_a_checkpoint_between_two_that_are_due(sweep, whole, steps, tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, stop=(LAST, 4), end=KeyboardInterrupt, every="1000s")
    assert "2 of 3 runs" in caplog.text
    assert "resume" in caplog.text
    steps.clear()
    assert outputs(sweep(tmp_path, resume=True)) == whole
    assert len(steps) == 1
    assert steps[0] < SETTINGS.steps


def test_the_precision_of_the_resumed_run_is_used_for_its_group(sweep, killed, whole, monkeypatch):
    monkeypatch.setattr(
        "nstk.stylization.task.choose_precision",
        lambda precision, *_: "bfloat16" if precision == "auto" else precision,
    )
    assert outputs(sweep(killed, resume=True)) == whole


def test_the_checkpoints_of_another_sweep_are_refused(sweep, killed, strokes, tmp_path):
    with pytest.raises(CheckpointError, match="resume"):
        sweep(killed)
    others = {
        "over.*0.2;0.5'.*0.2;0.5;0.8": {"over": [SweepAxis("strength", (0.2, 0.5))]},
        "size.* 32 .* 48": {
            "settings": nstk.StylizeSettings(size=32, steps=5, scales=1, init="noise")
        },
        "style 1": {"style": strokes[:, ::-1].copy()},
        "style 2": {"style": [strokes, strokes]},
    }
    for words, options in others.items():
        with pytest.raises(CheckpointError, match=words):
            sweep(killed, resume=True, **options)


def test_a_forged_checkpoint_is_refused(sweep, killed):
    forge_newest(killed / "states", lambda facts, arrays: facts.pop("run"))
    with pytest.raises(CheckpointError, match="run"):
        sweep(killed, resume=True)
