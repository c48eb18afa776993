"""`nstk finetune` and `nstk predict` through the shell, on a tiny network."""

import csv
import json
import shutil

import numpy as np
import pytest
from shell import complaint, invoke

import nstk

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
    "folds",
    "features",
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
    "differences",
    "ece",
    "ece_interval",
    "temperature",
    "calibration",
    "calibration_left_out",
    "notices",
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
    monkeypatch.setattr("nstk.finetuning.job.load_backbone", lambda name, **_: tiny_backbone)


@pytest.fixture(scope="module")
def model(folder, tiny_backbone):
    made = nstk.finetune(folder / "data", backbone=tiny_backbone)
    return made.classifier.save(folder / "colors.keras")


@pytest.mark.usefixtures("tiny")
def test_json_is_one_object_with_exactly_the_fixed_keys(folder, tmp_path):
    result = invoke("finetune", folder / "data", "-o", tmp_path / "m.keras", "--json", "-q")
    assert result.exit_code == 0, result.stderr
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
    assert nstk.load_classifier(tmp_path / "m.keras").classes == ("blue", "red")
    assert result.stderr == ""


@pytest.mark.usefixtures("tiny")
def test_people_get_a_table_the_accuracy_with_its_interval_and_what_was_left_out(folder, tmp_path):
    result = invoke("finetune", folder / "data", "-o", tmp_path / "m.keras")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["class", "images", "recognized", "95", "%", "precision"]
    assert [line.split()[0] for line in lines[1:3]] == ["blue", "red"]
    assert "accuracy 100.0 % (" in result.stdout
    assert "on the 4 validation images, learned from 12" in result.stdout
    assert "left out (1):" in result.stdout
    assert "notes.jpg" in result.stdout
    assert lines[-1].startswith(f"{tmp_path / 'm.keras'}: 2 classes")


@pytest.mark.usefixtures("tiny")
def test_a_second_run_finds_what_the_first_one_saw(folder, tmp_path):
    words = ["finetune", folder / "data", "-o", tmp_path / "m.keras", "--json", "-q", "--views", 2]
    for cache, passes in (("cache", [32, 0]), ("off", [32, 32])):
        place = cache if cache == "off" else tmp_path / cache
        runs = [json.loads(invoke(*words, "--cache", place).stdout) for _ in range(2)]
        assert [run["forward_passes"] for run in runs] == passes
    assert list((tmp_path / "cache").rglob("*.rows"))


@pytest.mark.usefixtures("tiny")
def test_folds_and_a_choice_of_features_are_told(folder, tmp_path):
    options = ["--folds", 4, "--features", "auto", "--balance", "--learning-curve"]
    words = ["finetune", folder / "data", "-o", tmp_path / "m.keras", *options]
    result = invoke(*words)
    assert result.exit_code == 0, result.stderr
    assert "on the 16 images, each left out once in 4 folds" in result.stdout
    assert "(chosen)" in result.stdout
    assert "twice as many should bring" in result.stdout
    answer = json.loads(invoke(*words, "--json", "-q").stdout)
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
    invoke("finetune", data, "-o", output, "--seed", 3, "-q")
    assert record.read_bytes() == saved
    (data / "red" / "3.png").unlink()
    other = invoke("finetune", "--replay", record, "--json", "-q")
    assert other.exit_code == 1
    assert "Files that are gone: red/3.png." in json.loads(other.stdout)["differences"]


@pytest.mark.parametrize("content", ["{}", "not json", '{"format": 1}', "[1]"])
def test_what_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "m.json").write_text(content)
    result = invoke("finetune", "--replay", tmp_path / "m.json")
    assert result.exit_code == 2
    assert "m.json" in complaint(result)


def test_a_run_needs_data_and_a_place_for_its_result(folder):
    for words, missing in (((), "DATA"), ((folder / "data",), "--output")):
        result = invoke("finetune", *words)
        assert result.exit_code == 2
        assert f"{missing} is missing" in complaint(result)


def test_predictions_in_json_have_exactly_the_fixed_keys(folder, model):
    result = invoke("predict", model, folder / "new", "--json", "-q")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert list(answer) == ["predictions", "skipped", "deterministic"]
    assert [list(each) for each in answer["predictions"]] == [
        ["path", "label", "probability", "top", "ood_score", "strange"]
    ] * 2
    for each in answer["predictions"]:
        assert each["path"].endswith(f"{each['label']}.png")
        assert each["top"][0] == {"label": each["label"], "probability": each["probability"]}
        assert sum(place["probability"] for place in each["top"]) == pytest.approx(1)
    assert answer["skipped"] == []


def test_people_get_the_likeliest_classes_and_what_was_left_out(folder, model):
    broken = folder / "data" / "blue" / "notes.jpg"
    result = invoke("predict", model, folder / "new" / "red.png", broken, "--top", 1)
    assert result.exit_code == 0, result.stderr
    heading, row, *rest = result.stdout.splitlines()
    assert heading.split() == ["image", "label", "probability", "otherwise"]
    assert row.split()[:2] == [str(folder / "new" / "red.png"), "red"]
    assert "left out (1):" in rest
    assert str(broken) in rest[-1]


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


def test_predicting_nothing_is_bad_input(folder, model, tmp_path):
    broken = folder / "data" / "blue" / "notes.jpg"
    (tmp_path / "empty").mkdir()
    for path, said in [
        (broken, "notes.jpg"),
        (tmp_path / "empty", "No image was found"),
        (tmp_path / "missing.png", "missing.png"),
    ]:
        result = invoke("predict", model, path, "--csv", tmp_path / "labels.csv")
        assert result.exit_code == 2
        assert said in complaint(result)
    assert not (tmp_path / "labels.csv").exists()


def test_a_table_that_cannot_be_written_and_a_silly_top_are_bad_input(folder, model, tmp_path):
    for options in (["--csv", tmp_path / "missing" / "labels.csv"], ["--top", 0]):
        result = invoke("predict", model, folder / "new", *options)
        assert result.exit_code == 2
        complaint(result)
