"""Evaluation: classes are matched by name, and every metric has an interval."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled_images import COLORS, draw_image
from shell import complaint, invoke

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.job import evaluate
from nstk.classifiers.evaluation.label_matching import match_classes
from nstk.classifiers.evaluation.report import find_confused_pairs, find_top_losses
from nstk.errors import FolderError, SettingsError
from nstk.finetuning.replay import save_manifest
from nstk.heads.calibration import bin_by_confidence, expected_calibration_error
from nstk.heads.metrics import evaluate as compare

KEYS = [
    "accuracy",
    "accuracy_interval",
    "majority_share",
    "per_class",
    "confusion",
    "mean_average_precision",
    "ece",
    "images",
    "skipped",
    "seconds",
    "ece_interval",
    "temperature",
    "calibration",
    "ood_count",
    "coverage",
    "learned_images",
    "others",
    "missing",
    "extra",
    "confused_pairs",
    "top_losses",
    "notices",
    "report",
    "deterministic",
]
NAMES = tuple(COLORS)


@pytest.fixture(scope="module")
def folder(color_folder):
    return color_folder


@pytest.fixture(scope="module")
def classifier(color_classifier):
    return color_classifier


@pytest.fixture(scope="module")
def model(color_model):
    return color_model


@pytest.fixture
def data(folder, tmp_path):
    """A copy of the folder, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "data"))


def test_json_is_one_object_with_exactly_the_fixed_keys(model, folder):
    result = invoke("evaluate", model, folder, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert list(answer) == KEYS
    assert answer["images"] == 24
    assert answer["accuracy"] == 1
    assert answer["accuracy_interval"][0] < 1 == answer["accuracy_interval"][1]
    assert [row["class"] for row in answer["per_class"]] == list(NAMES)
    for row in answer["per_class"]:
        assert row["images"] == 8
        assert row["recall"] == row["precision"] == 1
        assert row["recall_interval"] == row["precision_interval"]
    assert answer["confusion"] == [[8, 0, 0], [0, 8, 0], [0, 0, 8]]
    assert 0 <= answer["ece"] < 0.5
    assert answer["skipped"] == []
    assert answer["seconds"] > 0
    assert (answer["missing"], answer["extra"], answer["confused_pairs"]) == ([], [], [])
    assert len(answer["top_losses"]) == 10


def test_classes_are_matched_by_name_and_never_shifted(model, data):
    shutil.rmtree(data / "blue")
    (data / "green").rename(data / "aardvark")
    (data / "red" / "notes.jpg").write_text("not an image")
    result = invoke("evaluate", model, data, "--json", "-q")
    answer = json.loads(result.stdout)
    assert answer["accuracy"] == 1
    assert answer["images"] == 8
    assert answer["confusion"] == [[0, 0, 0], [0, 0, 0], [0, 0, 8]]
    assert [row["recall"] for row in answer["per_class"]] == [None, None, 1]
    reasons = [file["reason"] for file in answer["skipped"]]
    assert sum("'aardvark'" in reason for reason in reasons) == 8
    assert len(reasons) == 9
    shown = invoke("evaluate", model, data).stdout
    assert "blue, green" in shown
    assert "aardvark" in shown


def test_wrong_labels_are_counted_and_listed(model, data):
    shutil.rmtree(data / "blue")
    (data / "red").rename(data / "blue")
    result = invoke("evaluate", model, data, "--losses", 10)
    assert result.exit_code == 0, result.stderr
    assert "accuracy 50.0 %" in result.stdout
    assert "8 (100.0 % of blue)" in result.stdout
    worst = [line for line in result.stdout.splitlines() if str(data) in line][:10]
    assert [str(data / "blue") in line for line in worst] == [True] * 8 + [False] * 2
    assert worst[7].endswith("red")
    assert worst[8].endswith(" %")


@pytest.fixture(scope="module")
def run(color_result, tmp_path_factory):
    """The result of a run, and its model with the record beside it."""
    model = color_result.classifier.save(tmp_path_factory.mktemp("run") / "colors.keras")
    save_manifest(color_result, model.with_suffix(".json"), backbone="compact")
    return color_result, model


def test_training_images_are_distinguished_from_others(run, folder):
    made, model = run
    classifier, record = Classifier.load(model), model.with_suffix(".json")
    found = evaluate(classifier, folder, record=record)
    assert found.evaluation.images == 24
    assert found.train_overlap == made.train_images == 24 - made.validation_images
    assert found.unseen == made.evaluation
    [notice] = found.notices
    for value in (
        f"{made.train_images} of these 24 images",
        f"the {made.validation_images} others",
    ):
        assert value in notice


def test_the_command_reads_the_record_beside_the_model(run, folder):
    made, model = run
    answer = json.loads(invoke("evaluate", model, folder, "--json", "-q").stdout)
    assert answer["learned_images"] == made.train_images
    assert answer["others"]["images"] == made.validation_images
    [notice] = answer["notices"]
    assert notice in invoke("evaluate", model, folder, "-q").stdout


def test_if_all_are_training_images_there_are_no_others(run, folder, tmp_path):
    made, model = run
    for file in made.files:
        if file.split == "train":
            (tmp_path / file.path).parent.mkdir(exist_ok=True)
            shutil.copy(folder / file.path, tmp_path / file.path)
    found = evaluate(made.classifier, tmp_path, record=model.with_suffix(".json"))
    assert (found.train_overlap, found.unseen) == (made.train_images, None)
    assert f"all {made.train_images} of these images" in found.notices[0]


def test_without_the_record_of_the_run_nothing_is_known_of_training(
    run, classifier, folder, tmp_path
):
    record = run[1].with_suffix(".json")
    other = replace(classifier, results={})
    for each, path in ((other, record), (classifier, None), (classifier, tmp_path)):
        found = evaluate(each, folder / "red" / "..", record=path)
        assert (found.train_overlap, found.unseen, found.notices) == (None, None, ())


@pytest.mark.parametrize(
    ("splits", "chosen"),
    [
        (("train", "val", "test"), "test"),
        (("Train", "Valid"), "Valid"),
        (("train",), "train"),
        (("test",), "test"),
    ],
)
def test_of_several_splits_the_test_split_is_used(tmp_path, splits, chosen):
    for split in splits:
        for name in ("ants", "bees"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "1.jpg").touch()
    found = match_classes(tmp_path, ("ants", "bees"))
    assert found.root == tmp_path / chosen
    assert [labels for _, labels in found.files] == [(0,), (1,)]


def test_a_class_named_like_a_split_is_a_class(tmp_path):
    for name in ("test", "train"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").touch()
    assert match_classes(tmp_path, ("exam", "test", "train")).files == (
        (tmp_path / "test" / "1.jpg", (1,)),
        (tmp_path / "train" / "1.jpg", (2,)),
    )


def test_accents_may_be_encoded_either_way(tmp_path):
    (tmp_path / "A\N{COMBINING DIAERESIS}meise").mkdir()
    (tmp_path / "A\N{COMBINING DIAERESIS}meise" / "1.jpg").touch()
    found = match_classes(tmp_path, ("Ämeise", "Biene"))
    assert [labels for _, labels in found.files] == [(0,)]
    assert found.missing == ("Biene",)
    assert found.extra == ()


def test_a_manifest_and_a_zip_are_read(tmp_path):
    for name in ("ants", "wasps"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.jpg").write_bytes(b"image")
    rows = "path,label,split\nants/1.jpg,ants,val\nwasps/1.jpg,wasps,val\n"
    for name in ("ants", "wasps"):
        (tmp_path / "data" / f"{name}.jpg").write_bytes(b"image")
        rows += f"{name}.jpg,{name},train\n"
    (tmp_path / "data" / "labels.csv").write_text(rows)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in (tmp_path / "data").glob("*/*.jpg"):
            archive.write(path, path.relative_to(tmp_path / "data"))
    for place in (tmp_path / "data" / "labels.csv", tmp_path / "data.zip"):
        found = match_classes(place, ("aardvark", "ants"))
        assert [(path.parent.name, labels) for path, labels in found.files] == [("ants", (1,))]
        assert found.files[0][0].read_bytes() == b"image"
        assert (found.missing, found.extra) == (("aardvark",), ("wasps",))
        assert [file.path.parent.name for file in found.skipped] == ["wasps"]


@pytest.mark.parametrize("split", ["test", "val"])
@pytest.mark.parametrize("classes", [("ants", "bees"), ("ants",)], ids=len)
def test_no_training_images_are_needed(tmp_path, split, classes):
    data, packed, rows = tmp_path / "data", tmp_path / "data.zip", "path,label,split\n"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in classes:
            (data / split / name).mkdir(parents=True)
            (data / split / name / "1.jpg").write_bytes(b"image")
            archive.write(data / split / name / "1.jpg", f"{split}/{name}/1.jpg")
            rows += f"{split}/{name}/1.jpg,{name},{split}\n"
    (data / "labels.csv").write_text(rows)
    for place in (data, data / "labels.csv", packed):
        found = match_classes(place, ("ants", "bees"))
        assert [labels for _, labels in found.files] == [(n,) for n in range(len(classes))]


def test_a_zip_of_images_without_labels_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("test/1.jpg", b"image")
    with pytest.raises(FolderError, match=r"data\.zip/test "):
        match_classes(tmp_path / "data.zip", ("ants", "bees"))


def test_data_without_usable_labels_are_refused(model, tmp_path, folder):
    (tmp_path / "other" / "wasps").mkdir(parents=True)
    (tmp_path / "other" / "wasps" / "1.jpg").touch()
    (tmp_path / "broken" / "red").mkdir(parents=True)
    (tmp_path / "broken" / "red" / "1.jpg").write_text("not an image")
    (tmp_path / "empty").mkdir()
    for place, said in [
        (tmp_path / "missing", "missing"),
        (model, model.name),
        (tmp_path / "other", "wasps"),
        (tmp_path / "broken", "broken"),
        (tmp_path / "empty", "empty"),
        (folder / "red", "red"),
    ]:
        result = invoke("evaluate", model, place)
        assert result.exit_code == 2
        assert said in complaint(result)


def test_a_negative_number_of_losses_is_refused(classifier, folder):
    with pytest.raises(SettingsError, match="losses"):
        evaluate(classifier, folder, losses=-1)
    with pytest.raises(FolderError):
        evaluate(classifier, folder / "missing")


def test_arrays_are_evaluated_by_the_rule_of_predict(classifier):
    images = np.stack([draw_image(color, 40, 30, seed=1) for color in COLORS.values()])
    labels = np.arange(3)
    levels = evaluate(classifier, (images, labels))
    unit = evaluate(classifier, (images / 255, labels), value_range=(0, 1))
    assert levels.evaluation.confusion == unit.evaluation.confusion
    assert levels.evaluation.images == 3
    with pytest.raises(FolderError, match="value_range"):
        evaluate(classifier, (images / 255, labels))


def test_a_report_is_one_line_and_a_dictionary(classifier, folder):
    found = classifier.evaluate(folder, losses=3)
    assert repr(found).count("\n") == 0
    assert "24 images" in repr(found)
    assert found._repr_html_().count("<tr>") == 4
    answer = found.to_dict()
    assert list(answer) == KEYS[:-2]
    assert json.loads(json.dumps(answer))["accuracy"] == found.accuracy == 1


@st.composite
def answers(draw):
    images, classes = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    probabilities = generator.dirichlet(np.ones(classes), images)
    return probabilities, generator.integers(classes, size=images)


@given(answers())
def test_bins_hold_every_image_once(answer):
    probabilities, labels = answer
    bins = bin_by_confidence(probabilities, labels)
    assert sum(each.images for each in bins) == len(labels)
    for each in bins:
        assert each.low < each.confidence <= each.high + 1e-12
        assert 0 <= each.accuracy <= 1
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    error = expected_calibration_error(bins)
    assert abs(accuracy - probabilities.max(axis=1).mean()) - 1e-9 <= error <= 1


def test_confident_and_correct_is_calibrated_and_confident_and_wrong_is_not():
    certain = np.eye(3)[[0, 1, 2, 1]]
    assert expected_calibration_error(bin_by_confidence(certain, np.array([0, 1, 2, 1]))) == 0
    assert expected_calibration_error(bin_by_confidence(certain, np.array([1, 2, 0, 0]))) == 1


def test_the_most_confused_pairs_come_first():
    given = [[5, 3, 0], [1, 9, 0], [4, 0, 0]]
    pairs = [
        (actual, predicted)
        for actual, row in enumerate(given)
        for predicted, count in enumerate(row)
        for _ in range(count)
    ]
    truth, said = np.eye(3, dtype=bool)[np.array(pairs).T]
    found = find_confused_pairs(compare(truth, said, said.astype(float), "abc"))
    assert [(each.actual, each.predicted, each.images) for each in found] == [
        ("c", "a", 4),
        ("a", "b", 3),
        ("b", "a", 1),
    ]
    assert [each.share for each in found] == [1, 3 / 8, 1 / 10]


@given(answers(), st.integers(0, 50))
def test_the_largest_losses_come_first(answer, count):
    probabilities, labels = answer
    paths = [Path(f"{index}.png") for index in range(len(labels))]
    of_truth = probabilities[np.arange(len(labels)), labels]
    found = find_top_losses(paths, of_truth, labels, probabilities.argmax(axis=1), count)
    assert len(found) == min(count, len(labels))
    losses = [each.loss for each in found]
    assert losses == sorted(losses, reverse=True)
    for each in found:
        index = int(each.path.stem)
        assert each.loss == pytest.approx(-np.log(probabilities[index, labels[index]]))


def test_a_certain_mistake_has_a_finite_loss():
    [found] = find_top_losses([Path("a")], np.array([0.0]), ["b"], ["a"], 5)
    assert np.isfinite(found.loss)
    assert (found.actual, found.predicted) == ("b", "a")
