"""Unfreezing that was interrupted and resumed gives the same classifier, byte for byte."""

import json
import shutil
import signal

import pytest
from forgery import forge_newest
from labeled_images import draw_folder
from shell import complaint, invoke

import nstk
from nstk.errors import CheckpointError, SettingsError
from nstk.storage.checkpoints import postpone_interruptions
from nstk.stylization.result import broadcast


class Killed(BaseException):
    """Ends a run like SIGKILL: nothing catches it."""


def stop_at(step, error=Killed):
    """A reporter that ends the run after so many steps of training."""

    def report(progress):
        if progress.stage == "second stage" and progress.step == step:
            raise error

    return report


@pytest.fixture(scope="module", autouse=True)
def few_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nstk.finetuning.unfreezing.planning.EPOCHS", 10)
        patch.setattr("nstk.finetuning.unfreezing.planning.MAX_EPOCHS", 10)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 12)


def run(inputs, states=None, *, resume=False, every=1, settings=None, **options):
    folder, backbone = inputs
    checkpoints = nstk.CheckpointSettings(checkpoint=states, checkpoint_every=every, resume=resume)
    return nstk.finetune(
        folder,
        backbone=backbone,
        settings=nstk.FinetuneSettings(**{"unfreeze": 1, "augment": "mixup"} | (settings or {})),
        checkpoints=checkpoints if states else None,
        **options,
    )


@pytest.fixture(scope="module")
def inputs(folder, tiny_backbone):
    return folder, tiny_backbone


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


def read(made, place):
    """The bytes of the classifier's file."""
    return made.classifier.save(place / "made.keras").read_bytes()


@pytest.fixture(scope="module")
def made(inputs):
    """An uninterrupted run."""
    return run(inputs)


@pytest.fixture(scope="module")
def content(made, place):
    """Its file."""
    return read(made, place)


@pytest.fixture(scope="module")
def killed_once(inputs, tmp_path_factory):
    """The checkpoints of a run that was killed after its seventh step: not to be changed."""
    states = tmp_path_factory.mktemp("killed") / "states"
    with pytest.raises(Killed):
        run(inputs, states, on_progress=stop_at(7))
    return states


@pytest.fixture
def killed(killed_once, tmp_path):
    """A copy of them."""
    return shutil.copytree(killed_once, tmp_path / "states")


@pytest.mark.parametrize(("step", "every"), [(0, 1), (9, 4)])
def test_a_run_may_be_interrupted_at_any_step(inputs, content, place, tmp_path, step, every):
    with pytest.raises(Killed):
        run(inputs, tmp_path, every=every, on_progress=stop_at(step))
    assert read(run(inputs, tmp_path, resume=True), place) == content


def test_a_resumed_run_repeats_no_step_and_a_finished_one_none_at_all(
    inputs, made, content, place, killed
):
    events = []
    resumed = run(inputs, killed, resume=True, on_progress=events.append)
    assert [event.step for event in events if event.stage == "second stage"] == [
        *range(7, made.second_stage.plan.taken + 1)
    ]
    assert resumed.forward_passes == 0, "features are kept with the state"
    assert read(resumed, place) == content
    events.clear()
    finished = run(inputs, killed, resume=True, on_progress=events.append)
    assert sum(event.stage == "second stage" for event in events) == 1
    assert read(finished, place) == content


def test_all_random_generators_are_resumed(inputs, place, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.finetuning.unfreezing.planning.EPOCHS", 6)
    settings = {"augment": "light", "views": 2, "balance": True}
    expected = read(run(inputs, settings=settings), place)
    with pytest.raises(Killed):
        run(inputs, tmp_path, settings=settings, on_progress=stop_at(5))
    assert read(run(inputs, tmp_path, resume=True, settings=settings), place) == expected


def test_decisions_of_the_clock_are_resumed(inputs, tmp_path):
    settings = {"unfreeze": "none", "budget": 600.0}
    events = []
    reporter = broadcast(events.append, stop_at(3))
    with pytest.raises(Killed):
        run(inputs, tmp_path, settings=settings, on_progress=reporter)
    planned = events[-1].total
    stage = run(inputs, tmp_path, resume=True, settings=settings).second_stage
    assert stage.plan.steps == planned


def test_ctrl_c_saves_the_state_at_any_interval(inputs, content, place, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(inputs, tmp_path, every=1000, on_progress=stop_at(6, KeyboardInterrupt))
    events = []
    made = run(inputs, tmp_path, resume=True, on_progress=events.append)
    assert next(event.step for event in events if event.stage == "second stage") == 6
    assert read(made, place) == content


@pytest.fixture
def ctrl_c():
    """Ctrl-C interrupts, even if the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_signals_wait_for_the_end_of_a_step(ctrl_c):
    steps = []

    def step():
        with postpone_interruptions():
            signal.raise_signal(signal.SIGINT)
            steps.append("done")

    with pytest.raises(KeyboardInterrupt):
        step()
    assert steps == ["done"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_settings_and_images_are_refused_with_the_differences(
    inputs, tiny_backbone, killed, tmp_path
):
    with pytest.raises(CheckpointError, match=r"seed.* 1 .* 0"):
        run(inputs, killed, resume=True, settings={"seed": 1})
    other = draw_folder(tmp_path / "other", 12)
    first, second, *_ = sorted((other / "red").glob("*.png"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        run((other, tiny_backbone), killed, resume=True)
    for path in (first, second):
        assert f"red/{path.name}" in str(caught.value)


def test_a_long_list_of_differences_is_cut_short(inputs, tiny_backbone, killed, tmp_path):
    other = draw_folder(tmp_path / "other", 30)
    with pytest.raises(CheckpointError, match=r"\d+ more"):
        run((other, tiny_backbone), killed, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts, arrays: facts.update(taken=99),
        lambda facts, arrays: facts.update(best=40),
        lambda facts, arrays: facts.update(plan={"blocks": 1}),
        lambda facts, arrays: arrays.pop("network/0"),
        lambda facts, arrays: arrays.update({"moments/0": arrays["losses/0"]}),
    ],
)
def test_a_forged_checkpoint_is_refused_in_one_line(inputs, killed, change):
    forge_newest(killed, change)
    with pytest.raises(CheckpointError) as caught:
        run(inputs, killed, resume=True)
    assert "\n" not in str(caught.value)


def test_processes_that_share_a_run_save_no_checkpoints(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.features.workers.Workers.count", 2)
    with pytest.raises(SettingsError, match=r"checkpoint.* 2 "):
        run(inputs, tmp_path)


def test_the_command_saves_and_resumes(folder, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.backbones.candidates.load_backbone", lambda *_, **__: tiny_backbone)
    arguments = ["finetune", folder, "-o", tmp_path / "made.keras", "-q", "--cache", "off"]
    arguments += ["--unfreeze", 1, "--augment", "none", "--checkpoint", tmp_path / "states"]
    result = invoke(*arguments, "--checkpoint-every", 1, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["second_stage"]["blocks"] == 1
    first = (tmp_path / "made.keras").read_bytes()
    assert "--resume" in complaint(invoke(*arguments))
    assert invoke(*arguments, "--resume").exit_code == 0
    assert (tmp_path / "made.keras").read_bytes() == first
