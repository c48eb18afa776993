"""A second stage that was ended anyhow and resumed makes the same classifier, byte for byte."""

import json
import signal

import pytest
from forgery import forge_newest
from labeled_images import draw_folder
from shell import complaint, invoke

import nstk
from nstk.finetuning.unfreezing.interruptions import postpone_interruptions


class Killed(BaseException):
    """Ends a run like SIGKILL: nobody catches it."""


def stop_at(step, error=Killed):
    """A reporter that ends the run after so many steps of the second stage."""

    def report(progress):
        if progress.stage == "second stage" and progress.step == step:
            raise error

    return report


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
    """A run that never ended."""
    return run(inputs)


@pytest.fixture(scope="module")
def whole(made, place):
    """Its file."""
    return read(made, place)


@pytest.fixture
def killed(inputs, tmp_path):
    """A folder of a run that was killed after its seventh step."""
    with pytest.raises(Killed):
        run(inputs, tmp_path / "states", on_progress=stop_at(7))
    return tmp_path / "states"


@pytest.mark.parametrize(("step", "every"), [(0, 1), (1, 1), (9, 4), (10, 1)])
def test_it_does_not_matter_when_a_run_is_ended(inputs, whole, place, tmp_path, step, every):
    with pytest.raises(Killed):
        run(inputs, tmp_path, every=every, on_progress=stop_at(step))
    assert read(run(inputs, tmp_path, resume=True), place) == whole


def test_steps_that_were_taken_are_not_taken_again(inputs, made, killed):
    events = []
    run(inputs, killed, resume=True, on_progress=events.append)
    assert [event.step for event in events if event.stage == "second stage"] == [
        *range(7, made.second_stage.plan.taken + 1)
    ]


def test_a_finished_run_makes_its_file_again_at_once(inputs, whole, place, killed):
    run(inputs, killed, resume=True)
    events = []
    made = run(inputs, killed, resume=True, on_progress=events.append)
    assert read(made, place) == whole
    assert sum(event.stage == "second stage" for event in events) == 1


@pytest.mark.parametrize("settings", [{"augment": "light", "views": 2}, {"balance": True}])
def test_all_that_is_random_goes_on_where_it_was(inputs, place, tmp_path, settings):
    expected = read(run(inputs, settings=settings), place)
    with pytest.raises(Killed):
        run(inputs, tmp_path, settings=settings, on_progress=stop_at(5))
    assert read(run(inputs, tmp_path, resume=True, settings=settings), place) == expected


def test_what_the_clock_decided_is_not_decided_anew(inputs, tmp_path):
    settings = {"unfreeze": "none", "budget": 600.0}
    told = []
    with pytest.raises(Killed):
        run(
            inputs,
            tmp_path,
            settings=settings,
            on_progress=nstk.broadcast(told.append, stop_at(3)),
        )
    planned = told[-1].total
    stage = run(inputs, tmp_path, resume=True, settings=settings).second_stage
    assert stage.plan.steps == planned


def test_an_interruption_is_kept_whatever_the_interval(inputs, whole, place, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(inputs, tmp_path, every=1000, on_progress=stop_at(6, KeyboardInterrupt))
    events = []
    made = run(inputs, tmp_path, resume=True, on_progress=events.append)
    assert next(event.step for event in events if event.stage == "second stage") == 6
    assert read(made, place) == whole


@pytest.fixture
def ctrl_c():
    """Ctrl-C interrupts, also where the tests run in the background and would not hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_signals_wait_until_a_step_is_whole(ctrl_c):
    steps = []

    def step():
        with postpone_interruptions():
            signal.raise_signal(signal.SIGINT)
            steps.append("whole")

    with pytest.raises(KeyboardInterrupt):
        step()
    assert steps == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_features_are_kept_with_the_state_where_there_is_no_cache(inputs, killed):
    assert run(inputs, killed, resume=True).forward_passes == 0


def test_other_settings_and_images_are_refused_with_what_differs(
    inputs, tiny_backbone, killed, tmp_path
):
    with pytest.raises(nstk.CheckpointError, match="--seed is 1 and was 0"):
        run(inputs, killed, resume=True, settings={"seed": 1})
    other = draw_folder(tmp_path / "other", 12)
    first, second, *_ = sorted((other / "red").glob("*.png"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with pytest.raises(nstk.CheckpointError) as caught:
        run((other, tiny_backbone), killed, resume=True)
    for path in (first, second):
        assert f"the image red/{path.name} changed" in str(caught.value)


def test_a_long_list_of_what_differs_is_cut_short(inputs, tiny_backbone, killed, tmp_path):
    other = draw_folder(tmp_path / "other", 30)
    with pytest.raises(nstk.CheckpointError, match=r"; and \d+ more\. Give"):
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
    with pytest.raises(nstk.CheckpointError, match="none that nstk wrote"):
        run(inputs, killed, resume=True)


def test_processes_that_work_together_keep_no_checkpoints(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.features.workers.Workers.count", 2)
    with pytest.raises(nstk.SettingsError, match="2 processes"):
        run(inputs, tmp_path)


def test_the_shell_keeps_and_resumes(folder, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.finetuning.job.load_backbone", lambda *_, **__: tiny_backbone)
    arguments = ["finetune", folder, "-o", tmp_path / "made.keras", "-q", "--cache", "off"]
    arguments += ["--unfreeze", 1, "--augment", "none", "--checkpoint", tmp_path / "states"]
    result = invoke(*arguments, "--checkpoint-every", 1, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["second_stage"]["blocks"] == 1
    first = (tmp_path / "made.keras").read_bytes()
    assert "holds the checkpoints of an earlier run" in complaint(invoke(*arguments))
    assert invoke(*arguments, "--resume").exit_code == 0
    assert (tmp_path / "made.keras").read_bytes() == first
