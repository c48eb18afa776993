"""`nstk finetune` and `nstk predict` through the command line, with a tiny network."""

import csv
import functools
import json
import shutil

import numpy as np
import pytest
from shell import complaint, invoke

import nstk
from nstk.classifiers.classifier import Classifier

KEYS = [
    "model",
    "classes",
    "train_images",
    "validation_images",
    "skipped",
    "accuracy",
    "forward_passes",
    "seconds",
    "accuracy_interval",
    "majority_share",
    "folds",
    "features",
    "backbone",
    "backbone_trials",
    "executor",
    "size",
    "probe_accuracy",
    "finetuned_accuracy",
    "p_value",
    "kept",
    "second_stage",
    "trials",
    "mean_average_precision",
    "thresholds",
    "per_class",
    "confusion",
    "learning_curve",
    "ece",
    "ece_interval",
    "temperature",
    "calibration",
    "calibration_out_of_fold",
    "notices",
    "differences",
    "report",
    "deterministic",
]


def paint(path, color, seed):
    grain = np.random.default_rng(seed).normal(0, 0.05, (40, 48, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    nstk.save_image(path, np.clip(np.array(color) + grain, 0, 1).astype(np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """data/ with two classes that color tells apart and one broken file; new/ with two others."""
    folder = tmp_path_factory.mktemp("images")
    for seed in range(8):
        paint(folder / "data" / "red" / f"{seed}.png", (0.8, 0.2, 0.2), seed)
        paint(folder / "data" / "blue" / f"{seed}.png", (0.2, 0.2, 0.8), 50 + seed)
    (folder / "data" / "blue" / "notes.jpg").write_text("not an image")
    paint(folder / "new" / "red.png", (0.8, 0.2, 0.2), 100)
    paint(folder / "new" / "blue.png", (0.2, 0.2, 0.8), 101)
    return folder


@pytest.fixture
def tiny(monkeypatch, tiny_backbone):
    for module in ("backbones.candidates", "finetuning.replay"):
        monkeypatch.setattr(f"nstk.{module}.load_backbone", lambda name, **_: tiny_backbone)


@pytest.fixture(scope="module")
def made(folder, tiny_backbone):
    return nstk.finetune(folder / "data", backbone=tiny_backbone)


@pytest.fixture(scope="module")
def model(folder, made):
    return made.classifier.save(folder / "colors.keras")


@pytest.fixture
def finetune(monkeypatch, folder, tmp_path):
    """Run the command, with a result in place of the job; return the settings that it got, too."""

    def run(made, *options):
        seen = []
        monkeypatch.setattr(
            "nstk.finetuning.job.finetune",
            lambda data, *, settings, **_: (seen.append(settings), made)[1],
        )
        result = invoke("finetune", folder / "data", "-o", tmp_path / "m.keras", *options)
        assert result.exit_code == 0, result.stderr
        return result, *seen

    return run


def test_json_is_one_object_with_exactly_the_fixed_keys(finetune, made, tmp_path):
    result, _ = finetune(made, "--json", "-q")
    answer = json.loads(result.stdout)
    assert list(answer) == KEYS
    assert answer["model"] == str(tmp_path / "m.keras")
    assert answer["classes"] == ["blue", "red"]
    assert answer["train_images"] + answer["validation_images"] == answer["forward_passes"] == 16
    assert [set(file) for file in answer["skipped"]] == [{"path", "reason"}]
    low, high = answer["accuracy_interval"]
    assert 0 <= low <= answer["accuracy"] <= high <= 1
    assert (answer["probe_accuracy"], answer["kept"]) == (answer["accuracy"], "probe")
    assert (answer["finetuned_accuracy"], answer["p_value"], answer["folds"]) == (None, None, 0)
    assert (answer["features"], list(answer["trials"])) == ("pooled", ["pooled"])
    assert np.sum(answer["confusion"]) == answer["validation_images"]
    assert [score["name"] for score in answer["per_class"]] == answer["classes"]
    assert list(answer["seconds"]) == ["scan", "features", "head", "total"]
    assert nstk.Classifier.load(tmp_path / "m.keras").classes == ("blue", "red")
    assert result.stderr == ""


def test_a_table_the_accuracy_and_skipped_files_are_printed(finetune, made, tmp_path):
    result, _ = finetune(made)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["class", "images", "recall", "95", "%", "precision"]
    assert [line.split()[0] for line in lines[1:3]] == ["blue", "red"]
    assert "accuracy 100.0 % (" in result.stdout
    assert "on 4 validation images, trained on 12" in result.stdout
    assert "skipped (1):" in result.stdout
    assert "notes.jpg" in result.stdout
    assert lines[-1].startswith(f"{tmp_path / 'm.keras'}: 2 classes")


def test_images_unlike_the_training_images_are_counted(finetune, made):
    result, _ = finetune(made)
    [line] = [line for line in result.stdout.splitlines() if line.startswith("unlike")]
    assert f"{made.predictions['validation'].ood_count} of these" in line


@pytest.mark.usefixtures("tiny")
def test_a_second_run_uses_cached_features(folder, tmp_path):
    words = ["finetune", folder / "data", "-o", tmp_path / "m.keras", "--json", "-q", "--views", 2]
    passes = [
        json.loads(invoke(*words, "--cache", cache).stdout)["forward_passes"]
        for cache in (tmp_path / "cache", tmp_path / "cache")
    ]
    assert passes == [32, 0]
    assert list((tmp_path / "cache").rglob("*.rows"))


def test_folds_features_and_the_learning_curve_are_printed(finetune, folder, tiny_backbone):
    chosen = {"folds": 4, "features": "auto", "balance": True, "learning_curve": True}
    made = nstk.finetune(folder / "data", backbone=tiny_backbone, **chosen)
    options = ["--folds", 4, "--features", "auto", "--balance", "--learning-curve"]
    result, settings = finetune(made, *options)
    assert settings == nstk.FinetuneSettings(**chosen)
    assert "16 images by 4-fold cross-validation" in result.stdout
    assert "(chosen)" in result.stdout
    assert "learning curve: " in result.stdout
    answer = json.loads(finetune(made, "--json", "-q")[0].stdout)
    assert (answer["folds"], answer["train_images"], answer["validation_images"]) == (4, 16, 0)
    assert list(answer["trials"]) == ["pooled", "pooled+statistics"]


@pytest.mark.usefixtures("tiny")
def test_a_run_is_repeated_from_its_record(folder, tmp_path):
    output, record = tmp_path / "m.keras", tmp_path / "m.json"
    data = shutil.copytree(folder / "data", tmp_path / "data")
    invoke("finetune", data, "-o", output, "--seed", 3, "-q")
    saved = record.read_bytes()
    result = invoke("finetune", "--replay", record, "-o", tmp_path / "again.keras")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "the numbers match"
    assert (tmp_path / "again.keras").read_bytes() == output.read_bytes()
    assert record.read_bytes() == saved
    (data / "red" / "3.png").unlink()
    other = invoke("finetune", "--replay", record, "--json", "-q")
    assert other.exit_code == 1
    assert any("red/3.png" in each for each in json.loads(other.stdout)["differences"])


@pytest.mark.usefixtures("small_compact")
def test_the_backbone_is_chosen_and_the_choice_repeated(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    output = tmp_path / "m.keras"
    result = invoke("finetune", folder / "data", "-o", output, "--backbone", "auto", "--json", "-q")
    assert result.exit_code == 0, result.stderr
    trials = json.loads(result.stdout)["backbone_trials"]
    assert {trial["name"] for trial in trials} == {"compact", "efficientnet-lite0"}
    [chosen] = [trial["name"] for trial in trials if trial["chosen"]]
    assert json.loads((tmp_path / "m.json").read_text())["given"]["backbone"] == chosen
    again = invoke("finetune", "--replay", tmp_path / "m.json")
    assert again.stdout.splitlines()[-1] == "the numbers match"


def test_several_weights_are_for_auto_only(folder, tmp_path):
    output, file = tmp_path / "m.keras", tmp_path / "some.h5"
    options = ["--weights", file, "--weights", file]
    line = complaint(invoke("finetune", folder / "data", "-o", output, *options))
    assert "--weights" in line
    assert "--backbone auto" in line


@pytest.mark.parametrize("content", ["{}", "not json", '{"format": 1}', "[1]"])
def test_an_invalid_record_is_refused(tmp_path, content):
    (tmp_path / "m.json").write_text(content)
    result = invoke("finetune", "--replay", tmp_path / "m.json")
    assert result.exit_code == 2
    assert "m.json" in complaint(result)


def test_a_run_needs_data_and_an_output(folder):
    for words, missing in (((), "DATA"), ((folder / "data",), "--output")):
        result = invoke("finetune", *words)
        assert result.exit_code == 2
        assert f"{missing} is missing" in complaint(result)


@pytest.fixture(scope="module")
def load_once():
    """`Classifier.load` with a cache: the same file is read and compiled once."""
    return functools.cache(Classifier.load)


@pytest.fixture
def cached_classifiers(monkeypatch, load_once):
    monkeypatch.setattr(Classifier, "load", staticmethod(load_once))


@pytest.mark.usefixtures("cached_classifiers")
def test_predictions_in_json_have_exactly_the_fixed_keys(folder, model):
    result = invoke("predict", model, folder / "new", "--json", "-q")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert list(answer) == ["predictions", "skipped", "deterministic"]
    assert [list(each) for each in answer["predictions"]] == [
        ["path", "label", "probability", "top", "ood_score", "is_ood"]
    ] * 2
    for each in answer["predictions"]:
        assert each["path"].endswith(f"{each['label']}.png")
        assert each["top"][0] == {"label": each["label"], "probability": each["probability"]}
        assert sum(place["probability"] for place in each["top"]) == pytest.approx(1)
    assert answer["skipped"] == []


@pytest.mark.usefixtures("cached_classifiers")
def test_the_most_likely_classes_and_skipped_files_are_printed(folder, model):
    broken = folder / "data" / "blue" / "notes.jpg"
    result = invoke("predict", model, folder / "new" / "red.png", broken, "--top", 1)
    assert result.exit_code == 0, result.stderr
    heading, row, *rest = result.stdout.splitlines()
    assert heading.split() == ["image", "label", "probability", "alternatives"]
    assert row.split()[:2] == [str(folder / "new" / "red.png"), "red"]
    assert "skipped (1):" in rest
    assert str(broken) in rest[-1]


@pytest.mark.usefixtures("cached_classifiers")
def test_csv_has_one_row_for_each_image(folder, model, tmp_path):
    result = invoke("predict", model, folder / "new", "--csv", tmp_path / "labels.csv")
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("path", "label", "probability", "label_2", "probability_2"),
        *("ood_score", "sha256", "classifier"),
    ]
    assert [row["label"] for row in rows] == ["blue", "red"]
    assert float(rows[0]["probability"]) > float(rows[0]["probability_2"])


@pytest.mark.usefixtures("cached_classifiers")
def test_predicting_nothing_is_bad_input(folder, model, tmp_path):
    broken = folder / "data" / "blue" / "notes.jpg"
    (tmp_path / "empty").mkdir()
    for path, said in [
        (broken, "notes.jpg"),
        (tmp_path / "empty", "image"),
        (tmp_path / "missing.png", "missing.png"),
    ]:
        result = invoke("predict", model, path, "--csv", tmp_path / "labels.csv")
        assert result.exit_code == 2
        assert said in complaint(result)
    assert not (tmp_path / "labels.csv").exists()


@pytest.mark.usefixtures("cached_classifiers")
def test_an_unwritable_table_and_an_invalid_top_are_bad_input(folder, model, tmp_path):
    for options in (["--csv", tmp_path / "missing" / "labels.csv"], ["--top", 0]):
        result = invoke("predict", model, folder / "new", *options)
        assert result.exit_code == 2
        complaint(result)
