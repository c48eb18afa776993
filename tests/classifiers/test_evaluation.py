"""Evaluating: classes are matched by name, and every figure says how sure it is."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled_images import COLORS, draw_folder
from shell import complaint, invoke

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.job import evaluate
from nstk.classifiers.evaluation.label_matching import match_classes
from nstk.classifiers.evaluation.metrics import find_confused_pairs, find_top_losses
from nstk.errors import FolderError, SettingsError
from nstk.finetuning.job import finetune
from nstk.finetuning.replay import save_manifest
from nstk.heads.metrics import evaluate as compare
from nstk.heads.reliability import bin_by_confidence, expected_calibration_error
from nstk.settings import FinetuneSettings

KEYS = [
    "accuracy",
    "accuracy_interval",
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
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 6, NAMES)


@pytest.fixture(scope="module")
def classifier(folder, tiny_backbone):
    return finetune(folder, backbone=tiny_backbone).classifier


@pytest.fixture(scope="module")
def model(classifier, tmp_path_factory):
    return classifier.save(tmp_path_factory.mktemp("model") / "colors.keras")


@pytest.fixture
def data(folder, tmp_path):
    """A copy of the folder, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "data"))


def test_json_is_one_object_with_exactly_the_fixed_keys(model, folder):
    result = invoke("evaluate", model, folder, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert list(answer) == KEYS
    assert answer["images"] == 18
    assert answer["accuracy"] == 1
    assert answer["accuracy_interval"][0] < 1 == answer["accuracy_interval"][1]
    assert [row["class"] for row in answer["per_class"]] == list(NAMES)
    for row in answer["per_class"]:
        assert row["images"] == 6
        assert row["recall"] == row["precision"] == 1
        assert row["recall_interval"] == row["precision_interval"]
    assert answer["confusion"] == [[6, 0, 0], [0, 6, 0], [0, 0, 6]]
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
    assert answer["images"] == 6
    assert answer["confusion"] == [[0, 0, 0], [0, 0, 0], [0, 0, 6]]
    assert [row["recall"] for row in answer["per_class"]] == [None, None, 1]
    reasons = [file["reason"] for file in answer["skipped"]]
    assert reasons.count("the classifier knows no class 'aardvark'") == 6
    assert len(reasons) == 7
    shown = invoke("evaluate", model, data).stdout
    assert "no image of: blue, green" in shown
    assert "unknown to the classifier, not counted: aardvark" in shown


def test_wrong_labels_are_counted_and_listed(model, data):
    shutil.rmtree(data / "blue")
    (data / "red").rename(data / "blue")
    result = invoke("evaluate", model, data, "--losses", 8)
    assert result.exit_code == 0, result.stderr
    assert "accuracy 50.0 %" in result.stdout
    assert "blue taken for red: 6 (100.0 % of blue)" in result.stdout
    worst = result.stdout.partition("worst images:\n")[2].splitlines()[:9]
    assert [str(data / "blue") in line for line in worst] == [True] * 6 + [False] * 3
    assert ["taken for" in line for line in worst] == [True] * 6 + [False] * 3
    assert "images a second" in result.stdout
    shown = invoke("evaluate", model, data).stdout.partition("worst images:\n")[2].splitlines()
    assert shown[5].endswith("taken for red")
    assert shown[6].endswith(" %")


@pytest.fixture(scope="module")
def run(folder, tiny_backbone, tmp_path_factory):
    """What a run made, and its model with the record beside it."""
    made = finetune(folder, backbone=tiny_backbone, settings=FinetuneSettings(seed=2))
    model = made.classifier.save(tmp_path_factory.mktemp("run") / "colors.keras")
    save_manifest(made, model.with_suffix(".json"), backbone="compact")
    return made, model


def test_images_that_it_has_learned_from_are_told_from_others(run, folder):
    made, model = run
    classifier, record = Classifier.load(model), model.with_suffix(".json")
    found = evaluate(classifier, folder, record=record)
    assert found.evaluation.images == 18
    assert found.train_overlap == made.train_images == 18 - made.validation_images
    assert found.unseen == made.evaluation
    [notice] = found.notices
    assert f"learned from {made.train_images} of these 18 images" in notice
    assert f"on the {made.validation_images} that it has not learned from" in notice


def test_the_shell_looks_for_the_record_beside_the_model(run, folder):
    made, model = run
    answer = json.loads(invoke("evaluate", model, folder, "--json", "-q").stdout)
    assert answer["learned_images"] == made.train_images
    assert answer["others"]["images"] == made.validation_images
    [notice] = answer["notices"]
    assert notice in invoke("evaluate", model, folder, "-q").stdout


def test_where_every_image_is_known_there_are_no_others(run, folder, tmp_path):
    made, model = run
    for file in made.files:
        if file.split == "train":
            (tmp_path / file.path).parent.mkdir(exist_ok=True)
            shutil.copy(folder / file.path, tmp_path / file.path)
    found = evaluate(made.classifier, tmp_path, record=model.with_suffix(".json"))
    assert (found.train_overlap, found.unseen) == (made.train_images, None)
    assert f"learned from all {made.train_images} of these images" in found.notices[0]


def test_without_the_record_of_this_very_run_nobody_knows(run, classifier, folder, tmp_path):
    record = run[1].with_suffix(".json")
    for asked, place in ((classifier, record), (run[0].classifier, None), (classifier, tmp_path)):
        found = evaluate(asked, folder, record=place)
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
def test_of_several_parts_the_one_kept_for_testing_is_taken(tmp_path, splits, chosen):
    for split in splits:
        for name in ("ants", "bees"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "1.jpg").touch()
    found = match_classes(tmp_path, ("ants", "bees"))
    assert found.root == tmp_path / chosen
    assert [labels for _, labels in found.files] == [(0,), (1,)]


def test_a_class_called_like_a_part_is_a_class(tmp_path):
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


def test_a_manifest_and_a_zip_will_do(tmp_path):
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
def test_nothing_to_learn_from_is_needed(tmp_path, split, classes):
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
    with pytest.raises(FolderError, match=r"no class folders in test/"):
        match_classes(tmp_path / "data.zip", ("ants", "bees"))


def test_data_that_says_nothing_is_bad_input(model, tmp_path, folder):
    (tmp_path / "other" / "wasps").mkdir(parents=True)
    (tmp_path / "other" / "wasps" / "1.jpg").touch()
    (tmp_path / "broken" / "red").mkdir(parents=True)
    (tmp_path / "broken" / "red" / "1.jpg").write_text("not an image")
    (tmp_path / "empty").mkdir()
    for place, said in [
        (tmp_path / "missing", "no such file or folder"),
        (model, "is a file"),
        (tmp_path / "other", "blue, green, red), only wasps"),
        (tmp_path / "broken", "no image that can be read"),
        (tmp_path / "empty", "empty"),
        (folder / "red", "no class folders"),
    ]:
        result = invoke("evaluate", model, place)
        assert result.exit_code == 2
        assert said in complaint(result)


def test_a_negative_number_of_losses_is_refused(classifier, folder):
    with pytest.raises(SettingsError):
        evaluate(classifier, folder, losses=-1)
    with pytest.raises(FolderError):
        evaluate(classifier, folder / "missing")


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


def test_who_is_sure_and_right_is_calibrated_and_who_is_sure_and_wrong_is_not():
    certain = np.eye(3)[[0, 1, 2, 1]]
    assert expected_calibration_error(bin_by_confidence(certain, np.array([0, 1, 2, 1]))) == 0
    assert expected_calibration_error(bin_by_confidence(certain, np.array([1, 2, 0, 0]))) == 1


def test_pairs_come_most_confused_first():
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
def test_losses_come_worst_first(answer, count):
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
