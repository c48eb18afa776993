"""A run that was interrupted and resumed gives the same bytes as an uninterrupted one."""

import json
import shutil

import numpy as np
import pytest
from forgery import forge_newest
from shell import complaint, invoke

import nstk
from nstk.errors import CheckpointError, SettingsError
from nstk.stylization.objective import StyleObjective
from nstk.stylization.result import Trace

SMALL = {"size": 64, "steps": 5, "scales": 2}
"""Seven steps at 45×34 and five at 64×48."""


class Killed(BaseException):
    """Ends a run like SIGKILL: nothing catches it."""


def stop_at(count):
    """Return a reporter that ends the run after a number of steps."""
    steps = 0

    def report(progress):
        nonlocal steps
        steps += progress.loss is not None
        if steps == count:
            raise Killed

    return report


def copy_states(states, copies):
    """Return a reporter that copies the checkpoints to ``copies[step]`` at these steps."""
    steps = 0

    def report(progress):
        nonlocal steps
        steps += progress.loss is not None
        if progress.loss is not None and steps in copies:
            copies[steps].mkdir()
            for path in states.glob("*.checkpoint"):
                shutil.copy(path, copies[steps])

    return report


def run(inputs, settings, folder=None, *, resume=False, every=2, **options):
    content, style, backbone = inputs
    checkpoints = nstk.CheckpointSettings(checkpoint=folder, checkpoint_every=every, resume=resume)
    return nstk.stylize(
        content,
        style,
        settings=nstk.StylizeSettings(**SMALL | settings),
        backbone=backbone,
        checkpoints=checkpoints if folder else None,
        **options,
    )


def run_and_resume(inputs, settings, folder, step, **options):
    """Return the result of a whole run, and of one resumed from its state before a step."""
    states, copy = folder / "states", folder / "copy"
    report = copy_states(states, {step: copy})
    whole = run(inputs, settings, states, on_progress=report, **options)
    return whole, run(inputs, settings, copy, resume=True, **options)


@pytest.fixture(scope="module")
def inputs(scene, strokes, tiny_backbone):
    return scene, strokes, tiny_backbone


@pytest.fixture(scope="module")
def plain(inputs):
    """The result of an uninterrupted run with the default settings."""
    return run(inputs, {})


@pytest.fixture(scope="module")
def killed_once(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed") / "states"
    with pytest.raises(Killed):
        run(inputs, {}, folder, on_progress=stop_at(9))
    return folder


@pytest.fixture
def killed(killed_once, tmp_path):
    """The checkpoints of a run with the default settings that was killed in its second scale."""
    return shutil.copytree(killed_once, tmp_path / "states")


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({"optimizer": "lbfgs", "scales": 1}, 4),
        ({"optimizer": "gradient-descent"}, 8),
        ({"init": "noise", "seed": 5, "tolerance": 0.9, "steps": 24, "scales": 1}, 21),
        ({"tiling": "on", "precision": "bfloat16", "scales": 1}, 3),
        ({"color": "lab", "strength": "auto=0.9"}, 8),
    ],
)
def test_a_resumed_run_gives_the_same_bytes_and_figures(
    inputs, tmp_path, monkeypatch, settings, step
):
    monkeypatch.setattr("nstk.stylization.job.TRIAL_STEPS", 5)
    whole, resumed = run_and_resume(inputs, settings, tmp_path, step)
    np.testing.assert_array_equal(resumed.image, whole.image)
    for figure in ("loss", "terms", "steps", "strength", "tiling", "precision"):
        assert getattr(resumed, figure) == getattr(whole, figure), figure


def test_a_run_can_be_resumed_from_any_step(inputs, plain, tmp_path):
    states = tmp_path / "states"
    copies = {step: tmp_path / str(step) for step in (1, 7, 8, 12)}
    run(inputs, {}, states, every=1, on_progress=copy_states(states, copies))
    for step, copy in copies.items():
        resumed = run(inputs, {}, copy, resume=True)
        np.testing.assert_array_equal(resumed.image, plain.image, err_msg=str(step))


def test_a_run_can_be_interrupted_several_times(inputs, plain, tmp_path):
    for turn in range(2):
        with pytest.raises(Killed):
            # Earlier steps are reported again, so each run gets a little farther.
            run(inputs, {}, tmp_path, resume=True, every=1, on_progress=stop_at(5 + 4 * turn))
    np.testing.assert_array_equal(run(inputs, {}, tmp_path, resume=True).image, plain.image)


def test_a_run_with_masks_can_be_resumed(inputs, tmp_path):
    soft = np.linspace(0, 1, 64, dtype=np.float32)[np.newaxis].repeat(48, 0)
    masks = nstk.Masks(content_masks=[1 - 0.5 * soft], keep_mask=soft)
    whole, resumed = run_and_resume(inputs, {"init": "gray"}, tmp_path, 8, masks=masks)
    np.testing.assert_array_equal(resumed.image, whole.image)


def test_a_resumed_run_reports_its_earlier_steps_again(inputs, killed, plain):
    trace = Trace()
    run(inputs, {}, killed, resume=True, on_progress=trace)
    assert len(trace.steps) == plain.steps
    assert [scale.stage for scale in trace.scales] == ["45×34", "64×48"]
    assert trace.steps[-1].loss == plain.loss
    again = run(inputs, {}, killed, resume=True)  # a finished run returns its image at once
    np.testing.assert_array_equal(again.image, plain.image)
    assert again.steps == plain.steps


@pytest.mark.slow
def test_a_run_that_diverged_can_be_resumed_from_before_and_after_the_divergence(
    inputs, tmp_path, monkeypatch
):
    compile_step = StyleObjective.compile

    def poisoned(self, optimizer):
        compiled_step = compile_step(self, optimizer)

        def step(x, state, loss_weights):
            x, state, found = compiled_step(x, state, loss_weights)
            # The fifth step, and only with the learning rate before the divergence.
            adam = optimizer.optimizer.optimizer
            if float(state.inner.count) == 5 and adam.learning_rate == 0.05:
                found = found._replace(loss=found.loss * float("nan"))
            return x, state, found

        return step

    monkeypatch.setattr(StyleObjective, "compile", poisoned)
    settings, states = {"scales": 1, "steps": 8}, tmp_path / "states"
    copies = {step: tmp_path / str(step) for step in (4, 6)}
    whole = run(inputs, settings, states, every=1, on_progress=copy_states(states, copies))
    assert any("The loss is nan" in notice for notice in whole.notices)
    for copy in copies.values():
        resumed = run(inputs, settings, copy, resume=True)
        np.testing.assert_array_equal(resumed.image, whole.image)
        assert resumed.notices == whole.notices


def test_other_settings_and_inputs_are_refused_by_name(inputs, killed):
    content, style, backbone = inputs
    other = (np.clip(content + 0.01, 0, 1), style, backbone)
    with pytest.raises(CheckpointError, match=r"`steps`.*6.*5.*`color`.*content") as caught:
        run(other, {"steps": 6, "color": "lab"}, killed, resume=True)
    assert "`size`" not in str(caught.value)


def test_a_resumed_run_keeps_its_plan_and_may_have_another_memory_limit(
    inputs, plain, killed, monkeypatch
):
    monkeypatch.setattr("nstk.stylization.task.choose_precision", lambda *_: "bfloat16")
    resumed = run(inputs, {"max_memory": 2**40}, killed, resume=True)
    assert (resumed.tiling, resumed.precision) == ("off", "float32")
    np.testing.assert_array_equal(resumed.image, plain.image)


def test_a_resumed_run_that_does_not_fit_is_refused(inputs, killed):
    with pytest.raises(SettingsError, match="max_memory"):
        run(inputs, {"max_memory": 2**20}, killed, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts, arrays: facts.update(steps=[9]),
        lambda facts, arrays: facts.update(steps=[]),
        lambda facts, arrays: facts.update(steps=[0, 0, 0, 8]),
        lambda facts, arrays: facts.update(plan={"tiling": "off"}),
        lambda facts, arrays: facts["plan"].update(strength=None),
        lambda facts, arrays: facts["plan"].update(tiling="perhaps"),
        lambda facts, arrays: arrays.pop("x"),
        lambda facts, arrays: arrays.update({"optimizer/0": np.zeros(3)}),
        lambda facts, arrays: arrays.update({"last_finite": arrays["x"].astype(np.float64)}),
    ],
)
def test_a_forged_checkpoint_is_refused_in_one_line(inputs, killed, change):
    forge_newest(killed, change)
    with pytest.raises(CheckpointError) as caught:
        run(inputs, {}, killed, resume=True)
    assert "\n" not in str(caught.value)


@pytest.fixture
def files(tmp_path, monkeypatch, tiny_backbone, scene, strokes):
    monkeypatch.setattr("nstk.backbones.loading.load_backbone", lambda name, **_: tiny_backbone)
    nstk.save_image(tmp_path / "scene.png", scene)
    nstk.save_image(tmp_path / "strokes.png", strokes)
    return tmp_path


def stylize(files, *options, output="out.png"):
    return invoke(
        *("stylize", files / "scene.png", files / "strokes.png", "-o", files / output),
        *("--size", 32, "--steps", 6, "--scales", 1, *options),
    )


def test_ctrl_c_saves_a_checkpoint_and_names_the_option_to_resume(files, monkeypatch):
    def interrupt(self, progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    states = files / "states"
    assert stylize(files, output="whole.png").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr("nstk_cli.reporting.Lines.__call__", interrupt)
        result = stylize(files, "--checkpoint", states)
    assert result.exit_code == 130
    assert result.stderr.endswith(f"out.png; continue with --checkpoint {states} --resume.\n")
    assert nstk.load_image(files / "out.png").pixels.shape == (24, 32, 3)
    refused = stylize(files, "--checkpoint", states)
    assert refused.exit_code == 2
    assert "add --resume" in complaint(refused)
    result = stylize(files, "--checkpoint", states, "--resume", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["steps"] == 6
    assert (files / "out.png").read_bytes() == (files / "whole.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resume"], "--checkpoint"),
        (["--checkpoint", "states", "--checkpoint-every", "often"], "--checkpoint-every"),
        (["--checkpoint", "states", "--checkpoint-every", "0"], "--checkpoint-every"),
        (["--checkpoint", "no/where"], "no/where"),
    ],
)
def test_wrong_checkpoint_options_are_refused_in_one_line(files, monkeypatch, options, words):
    monkeypatch.chdir(files)
    result = stylize(files, *options)
    assert result.exit_code == 2
    assert words in complaint(result)
    assert not (files / "out.png").exists()
