"""A run that was ended anyhow and resumed paints the same bytes as one that never ended."""

import json

import numpy as np
import pytest
from forgery import forge_newest
from shell import complaint, invoke

import nstk
from nstk.backbones.variants import Arithmetic

SMALL = {"size": 64, "steps": 5, "scales": 2}
"""Seven steps at 45×34 and five at 64×48."""


class Killed(BaseException):
    """Ends a run like SIGKILL: nobody catches it."""


def stop_at(count):
    """A reporter that ends the run after so many steps."""
    steps = 0

    def report(progress):
        nonlocal steps
        steps += progress.loss is not None
        if steps == count:
            raise Killed

    return report


def run(inputs, settings, folder=None, *, resume=False, every=2, **options):
    content, style, backbone = inputs
    checkpoints = nstk.CheckpointSettings(checkpoint=folder, checkpoint_every=every, resume=resume)
    return nstk.stylize(
        content,
        style,
        backbone=backbone,
        settings=nstk.StylizeSettings(**SMALL | settings),
        checkpoints=checkpoints if folder else None,
        **options,
    )


@pytest.fixture(scope="module")
def inputs(scene, strokes, tiny_backbone):
    return scene, strokes, tiny_backbone


@pytest.fixture(scope="module")
def plain(inputs):
    """The run with the default settings that never ended."""
    return run(inputs, {})


@pytest.fixture
def killed(inputs, tmp_path):
    """A folder of a run with the default settings that was killed in its second scale."""
    with pytest.raises(Killed):
        run(inputs, {}, tmp_path / "states", on_progress=stop_at(9))
    return tmp_path / "states"


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({"optimizer": "lbfgs", "scales": 1}, 4),
        ({"optimizer": "gradient-descent"}, 8),
        ({"init": "noise", "seed": 5, "tolerance": 0.9, "steps": 24, "scales": 1}, 21),
        ({"tiling": "on", "precision": "bfloat16", "scales": 1}, 3),
        pytest.param({"color": "lab", "strength": "auto=0.9"}, 8, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_gives_the_same_bytes_and_figures(inputs, tmp_path, settings, step):
    whole = run(inputs, settings)
    with pytest.raises(Killed):
        run(inputs, settings, tmp_path, on_progress=stop_at(step))
    resumed = run(inputs, settings, tmp_path, resume=True)
    np.testing.assert_array_equal(resumed.image, whole.image)
    for figure in ("loss", "terms", "steps", "strength", "tiling", "precision"):
        assert getattr(resumed, figure) == getattr(whole, figure), figure


@pytest.mark.parametrize("step", [1, 7, 8, 12])
def test_it_does_not_matter_when_a_run_is_ended(inputs, plain, tmp_path, step):
    with pytest.raises(Killed):
        run(inputs, {}, tmp_path, on_progress=stop_at(step))
    np.testing.assert_array_equal(run(inputs, {}, tmp_path, resume=True).image, plain.image)


def test_a_run_that_is_ended_again_and_again_comes_to_its_end(inputs, plain, tmp_path):
    for turn in range(4):
        with pytest.raises(Killed):
            # Steps that were taken before are told again, so each run comes a little farther.
            run(inputs, {}, tmp_path, resume=True, every=1, on_progress=stop_at(3 + 2 * turn))
    np.testing.assert_array_equal(run(inputs, {}, tmp_path, resume=True).image, plain.image)


def test_masks_and_what_is_kept_come_back_the_same(inputs, tmp_path):
    soft = np.linspace(0, 1, 64, dtype=np.float32)[np.newaxis].repeat(48, 0)
    options = {"keep_mask": soft, "content_masks": [1 - 0.5 * soft]}
    whole = run(inputs, {"init": "gray"}, **options)
    with pytest.raises(Killed):
        run(inputs, {"init": "gray"}, tmp_path, on_progress=stop_at(8), **options)
    resumed = run(inputs, {"init": "gray"}, tmp_path, resume=True, **options)
    np.testing.assert_array_equal(resumed.image, whole.image)


def test_a_resumed_run_tells_of_the_steps_before_it(inputs, killed, plain):
    trace = nstk.Trace()
    run(inputs, {}, killed, resume=True, on_progress=trace)
    assert len(trace.steps) == plain.steps
    assert [scale.stage for scale in trace.scales] == ["45×34", "64×48"]
    assert trace.steps[-1].loss == plain.loss


def test_a_finished_run_gives_its_image_again_at_once(inputs, plain, killed):
    run(inputs, {}, killed, resume=True)
    again = run(inputs, {}, killed, resume=True)
    np.testing.assert_array_equal(again.image, plain.image)
    assert again.steps == plain.steps


@pytest.mark.slow
def test_after_a_setback_it_goes_on_cautiously_on_either_side_of_the_end(
    inputs, tmp_path, monkeypatch
):
    from nstk.stylization.objective import StyleObjective

    compile_step = StyleObjective.compile

    def poisoned(self, optimizer):
        advance = compile_step(self, optimizer)

        def call(x, state, balance):
            x, state, found = advance(x, state, balance)
            # The fifth step, and only with the rule that is not yet cautious.
            if float(state.inner.count) == 5 and optimizer.optimizer.learning_rate == 0.05:
                found = found._replace(loss=found.loss * float("nan"))
            return x, state, found

        return call

    monkeypatch.setattr(StyleObjective, "compile", poisoned)
    whole = run(inputs, {})
    assert any("went on from the last good image" in notice for notice in whole.notices)
    for step in (4, 6):  # before and after the setback
        with pytest.raises(Killed):
            run(inputs, {}, tmp_path / f"{step}", every=1, on_progress=stop_at(step))
        resumed = run(inputs, {}, tmp_path / f"{step}", resume=True)
        np.testing.assert_array_equal(resumed.image, whole.image)
        assert resumed.notices == whole.notices


def test_other_settings_and_other_inputs_are_refused_with_what_differs(inputs, killed):
    content, style, backbone = inputs
    other = (np.clip(content + 0.01, 0, 1), style, backbone)
    with pytest.raises(nstk.CheckpointError) as caught:
        run(other, {"steps": 6, "color": "lab"}, killed, resume=True)
    message = str(caught.value)
    assert (
        "--steps is 6 and was 5; --color is 'lab' and was 'style'; the content changed" in message
    )
    assert "--size" not in message


def test_memory_may_be_given_anew(inputs, plain, killed):
    resumed = run(inputs, {"max_memory": 2**40}, killed, resume=True)
    np.testing.assert_array_equal(resumed.image, plain.image)


def test_engine_and_precision_are_remembered_not_decided_anew(inputs, plain, killed, monkeypatch):
    monkeypatch.setattr(
        "nstk.stylization.preparing.choose_arithmetic",
        lambda precision, convolution, *_: Arithmetic(precision, convolution),
    )
    monkeypatch.setattr("nstk.stylization.tiled.planning.available_memory", lambda: 2**28)
    resumed = run(inputs, {}, killed, resume=True)
    made = resumed.tiling, resumed.precision, resumed.convolution
    assert made == ("off", "float32", "direct")
    np.testing.assert_array_equal(resumed.image, plain.image)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts, arrays: facts.update(taken=[9]),
        lambda facts, arrays: facts.update(taken=[]),
        lambda facts, arrays: facts.update(taken=[0, 0, 0, 8]),
        lambda facts, arrays: facts.update(decisions={"tiling": "off"}),
        lambda facts, arrays: arrays.pop("x"),
        lambda facts, arrays: arrays.update({"state/0": np.zeros(3)}),
        lambda facts, arrays: arrays.update({"good": arrays["x"].astype(np.float64)}),
    ],
)
def test_a_forged_checkpoint_is_refused_in_one_line(inputs, killed, change):
    forge_newest(killed, change)
    with pytest.raises(nstk.CheckpointError, match="none that nstk wrote"):
        run(inputs, {}, killed, resume=True)


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


def test_ctrl_c_keeps_the_state_too_and_says_how_to_go_on(files, monkeypatch):
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
def test_what_cannot_be_kept_is_refused_in_one_line(files, monkeypatch, options, words):
    monkeypatch.chdir(files)
    result = stylize(files, *options)
    assert result.exit_code == 2
    assert words in complaint(result)
    assert not (files / "out.png").exists()
