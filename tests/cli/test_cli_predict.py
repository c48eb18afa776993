"""`nstk predict` at scale: growing files, resumed runs, watched folders."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from labeled_images import draw_folder
from shell import complaint, environment, invoke
from typer.testing import CliRunner

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.results import ResultsFile
from nstk.errors import OutputError
from nstk.finetuning.job import finetune
from nstk.storage.locks import lock_folder
from nstk_cli.main import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 4)


@pytest.fixture(scope="module")
def model(folder, tiny_backbone, tmp_path_factory):
    made = finetune(folder, backbone=tiny_backbone)
    return made.classifier.save(tmp_path_factory.mktemp("model") / "colors.keras")


@pytest.fixture(scope="module")
def load_once():
    """`Classifier.load` with a cache: the same file is read and compiled once."""
    return functools.cache(Classifier.load)


@pytest.fixture(autouse=True)
def cached_classifiers(monkeypatch, load_once):
    monkeypatch.setattr(Classifier, "load", staticmethod(load_once))


def paths_in(output):
    return [json.loads(line)["path"] for line in output.read_text().splitlines()]


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_an_interrupted_run_resumes_to_the_same_bytes(model, folder, tmp_path, name):
    output = tmp_path / name
    command = ("predict", model, folder, "-o", output, "--top", 1)
    result = invoke(*command)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{output}: 8 images, ")
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) // 2])
    result = invoke(*command, "--resume", "--json")
    assert result.exit_code == 0, result.stderr
    assert output.read_bytes() == whole
    answered = json.loads(result.stdout)["predictions"]
    assert 0 < len(answered) < 8
    again = invoke(*command, "--resume")
    assert again.stdout.startswith(f"{output}: 0 images, 8 ")
    assert output.read_bytes() == whole


@pytest.mark.parametrize("options", [("--json",), ("-o", "labels.csv"), ()])
def test_checkpointed_predictions_are_repeated_exactly(
    model, folder, tmp_path, monkeypatch, options
):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "labels.csv"
    command = ("predict", model, folder, *options, "--quiet")
    whole = invoke(*command)
    labels = output.read_bytes() if output.exists() else b""
    states = (*command, "--checkpoint", "states", "--checkpoint-every", 2)
    assert invoke(*states).exit_code == 0
    kept = tmp_path / "states" / "predictions.jsonl"
    answers = kept.read_bytes()
    kept.write_bytes(answers[: len(answers) // 2])  # What a kill in the middle leaves.
    seen = count_passes(monkeypatch)
    again = invoke(*states, "--resume")
    assert again.exit_code == 0, again.stderr
    assert without_times(again.stdout) == without_times(whole.stdout)
    assert (output.read_bytes() if output.exists() else b"") == labels
    assert kept.read_bytes() == answers
    assert seen == [8]  # All in one batch, as the first time, for the sake of its second half.
    invoke(*states, "--resume")
    assert seen == [8]


def without_times(text):
    return re.sub(r"\d+ ms|\d+(\.\d+)? s", "", text)


def count_passes(monkeypatch):
    """Record how many images go through the network in each batch."""
    seen, split_outputs = [], Classifier.split_outputs

    def counting(self, outputs):
        seen.append(len(outputs))
        return split_outputs(self, outputs)

    monkeypatch.setattr(Classifier, "split_outputs", counting)
    return seen


def test_checkpoints_are_neither_overwritten_nor_used_with_other_options(model, folder, tmp_path):
    command = ("predict", model, folder, "--checkpoint", tmp_path / "states", "--quiet")
    assert invoke(*command).exit_code == 0
    answers = (tmp_path / "states" / "predictions.jsonl").read_bytes()
    for options, said in (
        ((), "--resume"),
        (("--resume", "--top", 1), "was 5"),
        (("--resume", "--abstain-below", 0.6), "0.6"),
    ):
        result = invoke(*command, *options)
        assert result.exit_code == 2
        assert said in complaint(result)
    assert (tmp_path / "states" / "predictions.jsonl").read_bytes() == answers


def test_a_checkpoint_folder_belongs_to_one_run(model, folder, tmp_path):
    states = tmp_path / "states"
    states.mkdir()
    lock = lock_folder(states)
    try:
        result = invoke("predict", model, folder, "--checkpoint", states)
    finally:
        lock.release()
    assert result.exit_code == 2
    assert "Another run is using" in complaint(result)


def test_a_checkpoint_that_cannot_be_written_does_not_stop_predictions(
    model, folder, tmp_path, monkeypatch
):
    def refuse(self, prediction):
        raise OutputError("No space left on device.")

    whole = invoke("predict", model, folder, "--json", "--quiet")
    monkeypatch.setattr(ResultsFile, "append", refuse)
    result = invoke("predict", model, folder, "--json", "--checkpoint", tmp_path / "states")
    assert result.exit_code == 0
    assert result.stdout == whole.stdout
    assert result.stderr.count("No space left") == 1


def test_unreadable_files_are_listed_and_tried_again(model, folder, tmp_path):
    place, output = tmp_path / "new", tmp_path / "labels.jsonl"
    shutil.copytree(folder, place)
    (place / "blue" / "0.png").write_text("not an image")
    result = invoke("predict", model, place, "-o", output)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-2].startswith(f"  {place}/blue/0.png: not an image")
    assert len(paths_in(output)) == 7
    shutil.copy(folder / "blue" / "0.png", place / "blue")
    result = invoke("predict", model, place, "-o", output, "--resume")
    assert "skipped" not in result.stdout
    assert len(paths_in(output)) == 8


@pytest.mark.parametrize("behind", ["\n", "\r\n", "\0"])
def test_paths_are_read_from_standard_input(model, folder, tmp_path, behind):
    names = [str(path) for path in sorted((folder / "red").iterdir())]
    others = shutil.copytree(folder / "blue", tmp_path / "blau, ü und\tTab")
    told = "".join(name + behind for name in [*names, str(others)])
    output = tmp_path / "labels.jsonl"
    arguments = ["predict", str(model), names[0], "-", "-o", str(output)]
    result = CliRunner().invoke(app, arguments, input=told.encode())
    assert result.exit_code == 0, result.stderr
    assert paths_in(output) == [*names, *map(str, sorted(others.iterdir()))]


def test_empty_standard_input_is_one_line(model):
    result = CliRunner().invoke(app, ["predict", str(model), "-"], input=b"")
    assert result.exit_code == 2
    assert "PATH is missing" in complaint(result)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "PATH is missing"),
        (("new", "--resume"), "--output"),
        (("new", "-o", "labels.txt"), ".jsonl"),
        (("new", "-o", "missing/labels.csv"), "missing"),
        (("--watch", "missing"), "missing"),
        (("--watch", "new", "--interval", "0"), "--interval"),
        (("new", "-o", "notes.csv", "--resume"), "notes.csv"),
        (("new/notes.txt", "-o", "labels.csv"), "notes.txt"),
    ],
)
def test_contradictory_arguments_are_one_line(model, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    for path in ("notes.csv", "new/notes.txt"):
        (tmp_path / path).write_text("notes of mine")
    before = sorted(tmp_path.rglob("*"))
    result = invoke("predict", model, *options, "-q")
    assert result.exit_code == 2
    assert said in complaint(result)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "notes.csv").read_text() == "notes of mine"


def test_new_files_are_predicted_until_ctrl_c(model, folder, tmp_path, act):
    place, output = tmp_path / "in", tmp_path / "labels.jsonl"
    (tmp_path / "in").mkdir()
    half = (folder / "red" / "0.png").read_bytes()[:500]
    act += [
        lambda: shutil.copy(folder / "blue" / "1.jpg", place),
        lambda: (place / "red.png").write_bytes(half),
        lambda: None,
        lambda: None,
        lambda: shutil.copy(folder / "red" / "0.png", place / "red.png"),
        lambda: None,
        lambda: None,
    ]
    words = ("predict", model, folder / "blue" / "0.png", "--watch", place, "-o", output)
    result = invoke(*words, "--json")
    assert result.exit_code == 130
    found = json.loads(result.stdout)
    assert [each["label"] for each in found["predictions"]] == ["blue", "blue", "red"]
    assert found["skipped"] == []
    assert f"{place / 'red.png'}: damaged" in result.stderr
    assert result.stderr.splitlines()[-1] == "nstk: interrupted."
    assert paths_in(output) == [
        str(folder / "blue" / "0.png"),
        f"{place}/1.jpg",
        f"{place}/red.png",
    ]


def test_the_output_may_be_in_the_watched_folder(model, folder, tmp_path, act):
    shutil.copy(folder / "red" / "0.png", tmp_path)
    output = tmp_path / "labels.csv"
    act += [lambda: None] * 5
    result = invoke("predict", model, "--watch", tmp_path, "-o", output)
    assert result.exit_code == 130
    assert result.stderr == "nstk: interrupted.\n"
    assert len(output.read_text().splitlines()) == 2


def test_predictions_of_new_files_are_printed_at_once(model, folder, act):
    act += [lambda: None]
    result = invoke("predict", model, "--watch", folder / "red", "-q")
    assert result.exit_code == 130
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["red"] * 4
    assert lines[0].startswith(f"{folder / 'red' / '0.png'}  red ")


@pytest.mark.slow
def test_sigterm_ends_a_silent_watcher_with_its_output_complete(model, folder, tmp_path):
    place, output = tmp_path / "in", tmp_path / "labels.jsonl"
    place.mkdir()
    shutil.copy(folder / "red" / "0.png", place)
    watch = ("--watch", place, "--interval", "0.05", "-o", output)
    command = [sys.executable, "-m", "nstk_cli", "predict", model, *watch]
    with subprocess.Popen(
        [*map(os.fspath, command)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not output.exists() or not output.read_text():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[-1] == "nstk: interrupted."
    assert all(line.startswith("nstk: ") for line in errors.splitlines())  # not TensorFlow's
    assert f"{output}: 1 images" in printed
    assert paths_in(output) == [f"{place}/0.png"]
