"""Multi-label data: a solved sigmoid head, thresholds and metrics."""

import csv
import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shell import complaint, invoke
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.job import evaluate as examine
from nstk.classifiers.explanation import explain
from nstk.classifiers.prediction.job import predict
from nstk.errors import FolderError, ModelError
from nstk.exporting.saved_model import _build_labeler
from nstk.finetuning.job import finetune
from nstk.finetuning.replay import replay, save_manifest
from nstk.heads.decisions import Argmax, Thresholds, choose_threshold
from nstk.heads.head import find_strata, fit_head
from nstk.heads.links import SIGMOID
from nstk.heads.logistic import solve
from nstk.heads.metrics import average_precision, evaluate, wilson_interval
from nstk.heads.ridge import decompose
from nstk.settings import FinetuneSettings

CHANNELS = {"blue": 2, "green": 1, "red": 0}


def draw_manifest(root, count: int = 48):
    """Images bright in any of three channels, and a manifest with these as labels."""
    (root / "photos").mkdir(parents=True)
    lines = ["path,labels"]
    for index in range(count):
        lit = [name for bit, name in enumerate(CHANNELS) if index >> bit & 1]
        grain = np.random.default_rng(index).normal(60, 12, (40, 40, 3))
        for name in lit:
            grain[..., CHANNELS[name]] += 120
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(root / f"photos/{index}.png")
        lines.append(f"photos/{index}.png,{'|'.join(lit)}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root / "labels.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw_manifest(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module")
def made(data, tiny_backbone):
    return finetune(data, backbone=tiny_backbone, settings=FinetuneSettings(learning_curve=True))


@pytest.fixture(scope="module")
def model(made, tmp_path_factory):
    return made.classifier.save(tmp_path_factory.mktemp("model") / "lit.keras")


def overlapping(images: int = 60, width: int = 8):
    """Features and three labels in all combinations."""
    generator = np.random.default_rng(5)
    targets = generator.random((images, 3)) < (0.5, 0.3, 0.15)
    return targets @ generator.normal(0, 1.5, (3, width)) + generator.normal(
        0, 1, (images, width)
    ), targets


def test_every_label_has_the_optimum_that_scikit_learn_finds_for_it_alone():
    features, targets = overlapping()
    l2_values = np.array([0.3, 5.0, 40.0])
    kernel, bias = solve(decompose(features), targets, l2_values, link=SIGMOID)
    values = (features - features.mean(axis=0)) / features.std(axis=0)
    for label, l2 in enumerate(l2_values):
        reference = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000)
        expected = reference.fit(values, targets[:, label]).decision_function(values)
        logits = features @ kernel[:, label].astype(float) + bias[label]
        assert logits == pytest.approx(expected, abs=1e-4)


def test_labels_are_fitted_independently():
    features, targets = overlapping(120)
    groups = np.arange(120)
    together = fit_head(features, targets, link=SIGMOID, groups=groups)
    assert together.l2_values.shape == (3,)
    assert len(set(together.l2_values)) > 1
    parts = decompose(features, targets)
    alone, bias = solve(parts, targets[:, :1], together.l2_values[:1], link=SIGMOID)
    assert together.kernel[:, :1] == pytest.approx(alone, abs=1e-4)
    assert together.bias[:1] == pytest.approx(bias, abs=1e-4)


def test_balance_gives_a_rare_label_the_same_weight_as_its_absence():
    features = np.ones((40, 2), np.float32)
    targets = (np.arange(40) < 4)[:, np.newaxis]
    plain, balanced = (fit_head(features, targets, link=SIGMOID, balance=b) for b in (False, True))
    assert plain.bias[0] == pytest.approx(np.log(4 / 36), abs=1e-3)
    assert balanced.bias[0] == pytest.approx(0, abs=1e-3)


def test_the_stratum_of_an_image_is_its_rarest_label():
    targets = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 0]], bool)
    assert find_strata(targets).tolist() == [1, 0, 2, -1, 1]
    one_each = np.eye(3, dtype=bool)[[2, 0, 1, 0]]
    assert find_strata(one_each).tolist() == [2, 0, 1, 0]


@st.composite
def scored(draw):
    """Scores, some of them equal, and the truth."""
    count = draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    scores = generator.integers(0, draw(st.integers(2, 50)), count) / 50
    return scores, generator.random(count) < draw(st.floats(0, 1))


@settings(max_examples=25)
@given(scored())
def test_no_threshold_has_a_larger_f1_than_the_chosen_one(example):
    scores, truth = example
    chosen = choose_threshold(scores, truth)
    assert 0 <= chosen <= 1
    if truth.any():
        reached = f1_score(truth, scores >= chosen)
        others = [f1_score(truth, scores >= level) for level in {*scores.tolist(), 0.5}]
        assert reached == pytest.approx(max(others))
    else:
        assert chosen == 0.5


def test_the_threshold_is_one_half_if_none_is_better():
    assert choose_threshold(np.array([0.9, 0.1]), np.array([True, False])) == 0.5
    assert choose_threshold(np.array([0.4, 0.1]), np.array([True, False])) == 0.25


@settings(max_examples=50)
@given(scored())
def test_average_precision_is_that_of_scikit_learn(example):
    scores, truth = example
    if truth.any():
        expected = average_precision_score(truth, scores)
        assert average_precision(truth, scores) == pytest.approx(expected)
    else:
        assert average_precision(truth, scores) is None


@settings(max_examples=50)
@given(scored(), st.floats(0, 1))
def test_the_interval_of_f1_is_that_of_the_jaccard_index(example, threshold):
    scores, truth = example
    given_ = scores >= threshold
    [score] = evaluate(truth[:, None], given_[:, None], scores[:, None], ["it"]).per_class
    if not (truth | given_).any():
        assert score.f1 is score.f1_interval is None
        return
    assert score.f1 == pytest.approx(f1_score(truth, given_, zero_division=0))
    low, high = wilson_interval(int((truth & given_).sum()), int((truth | given_).sum()))
    assert score.f1_interval == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert score.f1_interval[0] <= score.f1 <= score.f1_interval[1]


def test_an_image_is_correct_with_exactly_its_labels():
    targets = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], bool)
    predicted = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], bool)
    found = evaluate(targets, predicted, predicted.astype(float), ["a", "b"])
    assert found.accuracy == 0.5
    # One image was predicted as a instead of b; the other b was only missed.
    assert found.confusion == ((2, 0), (1, 0))


def test_channels_are_recognized_and_every_label_has_its_metrics(made):
    assert made.classes == ("blue", "green", "red")
    assert made.classifier.multi_label
    assert made.accuracy >= 0.9
    assert made.evaluation.mean_average_precision >= 0.95
    assert list(made.thresholds) == list(made.classes)
    assert all(0 < value < 1 for value in made.thresholds.values())
    for score in made.evaluation.per_class:
        assert score.f1_interval[0] <= score.f1 <= score.f1_interval[1]
    assert made.learning_curve.accuracy[-1] >= 0.8
    assert {file.label for file in made.files} >= {"", "blue", "blue|green|red"}


def test_folds_choose_their_own_thresholds_and_hold_out_every_image_once(data, tiny_backbone):
    options = FinetuneSettings(folds=3, balance=True, features="auto")
    made = finetune(data, backbone=tiny_backbone, settings=options)
    assert made.measured_on == "folds"
    assert made.evaluation.images == made.train_images == 48
    assert made.accuracy >= 0.8


def test_the_saved_model_is_plain_keras_with_thresholds_in_the_file(model, made, data):
    network = keras.models.load_model(model)
    pixels = np.asarray(Image.open(data.parent / "photos" / "5.png"))[np.newaxis]
    probabilities = network(pixels).numpy()[0]
    assert probabilities == pytest.approx(made.classifier.model(pixels).numpy()[0])
    with zipfile.ZipFile(model) as archive:
        card = json.loads(archive.read("nstk.json"))
    assert card["thresholds"] == list(made.thresholds.values())
    labels = np.array(card["classes"])[probabilities >= card["thresholds"]]
    assert labels.tolist() == ["blue", "red"]
    again = Classifier.load(model)
    assert again.decision == made.classifier.decision == Thresholds(tuple(card["thresholds"]))


def test_a_file_with_wrong_thresholds_is_refused(made, tmp_path):
    for thresholds in ((0.5,), ("a", "b", "c")):
        wrong = dataclasses.replace(made.classifier, decision=Thresholds(thresholds))
        with pytest.raises(ModelError, match="thresholds"):
            Classifier.load(wrong.save(tmp_path / "wrong.keras"))


def test_predictions_have_all_labels_and_files_have_them_like_a_manifest(model, data, tmp_path):
    photos = data.parent / "photos"
    dark, lit = predict(Classifier.load(model), [photos / "0.png", photos / "3.png"]).predictions
    assert dark.labels == ()
    assert sorted(lit.labels) == ["blue", "green"]
    assert lit.labels[0] == lit.label
    words = ["predict", model, photos / "0.png", photos / "3.png"]
    answer = json.loads(invoke(*words, "--json", "-q").stdout)
    assert [sorted(each["labels"]) for each in answer["predictions"]] == [[], ["blue", "green"]]
    assert invoke(*words, "--csv", tmp_path / "labels.csv").exit_code == 0
    heading, first, second = invoke(*words).stdout.splitlines()
    assert heading.split()[:2] == ["image", "labels"]
    assert first.split()[1] == "–"
    assert "blue" in second
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [sorted(filter(None, row["labels"].split("|"))) for row in rows] == [
        [],
        ["blue", "green"],
    ]


def test_an_evaluation_counts_the_labels_of_the_classifier(model, data, tmp_path):
    found = examine(Classifier.load(model), data)
    assert found.evaluation.images == 48
    assert found.evaluation.accuracy >= 0.9
    assert 0 <= found.ece <= 0.2
    assert sum(each.images for each in found.reliability.bins) == 3 * 48
    assert found.top_losses[0].loss >= found.top_losses[-1].loss
    other = data.parent / "other.csv"
    other.write_text("path,labels\nphotos/3.png,blue|green|old\nphotos/2.png,old\nphotos/0.png,\n")
    found = examine(Classifier.load(model), other)
    assert (found.evaluation.images, found.extra, found.missing) == (2, ("old",), ("red",))
    assert [file.path.name for file in found.skipped] == ["2.png"]
    answer = json.loads(invoke("evaluate", model, data, "--json", "-q").stdout)
    assert answer["mean_average_precision"] >= 0.95
    assert {"f1", "f1_interval", "average_precision"} <= answer["per_class"][0].keys()


def test_a_single_label_classifier_refuses_multi_label_data(data, tiny_backbone):
    lines = [f"photos/{index}.png,{('dark', 'lit')[index % 2]}" for index in range(12)]
    single = data.parent / "single.csv"
    single.write_text("\n".join(["path,label", *lines]))
    classifier = finetune(single, backbone=tiny_backbone).classifier
    assert classifier.decision == Argmax()
    with pytest.raises(FolderError, match=r"labels\.csv"):
        examine(classifier, data)


def test_evidence_for_a_label_is_its_logit_without_the_bias(made, data):
    path = data.parent / "photos" / "5.png"
    [found] = explain(made.classifier, path, label="red")
    head = made.classifier.model.get_layer("head")
    logits = keras.Model(made.classifier.model.inputs[0], head.output)
    logit = logits(np.asarray(Image.open(path))[np.newaxis]).numpy()[0, 2]
    assert found.method == "class activation map"
    assert found.evidence.mean() == pytest.approx(logit - head.get_weights()[1][2], abs=1e-3)


def test_a_saved_model_returns_label_names(made, data):
    photos = [np.asarray(Image.open(data.parent / "photos" / f"{i}.png")) for i in (0, 3, 4)]
    to_labels = tf.function(_build_labeler(made.classifier))  # saving takes five seconds
    labels = to_labels(made.classifier.model(np.stack(photos))).numpy()
    assert [label.decode() for label in labels] == ["", "blue|green", "red"]


@given(st.integers(1, 20), st.integers(0, 99))
def test_same_labels_compares_predictions_up_to_a_tolerance(images, seed):
    generator = np.random.default_rng(seed)
    one = generator.random((images, 3))
    decision = Thresholds((0.2, 0.5, 0.8))
    other = np.stack([one, 1 - one], axis=1)
    same = decision.same_labels(one, other, 0.0)
    assert same[:, 0].all()
    expected = (decision.predict(one) == decision.predict(1 - one)).all(axis=1)
    assert same[:, 1].tolist() == expected.tolist()
    assert decision.same_labels(one, other, 1.0).all()


def test_a_run_is_repeated_from_its_record(made, data, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.finetuning.replay.load_backbone", lambda name, **_: tiny_backbone)
    record = save_manifest(made, tmp_path / "lit.json", backbone="tiny")
    assert replay(record).differences == ()


def test_the_command_shows_thresholds_and_multi_label_metrics(
    data, tmp_path, tiny_backbone, monkeypatch
):
    monkeypatch.setattr("nstk.backbones.candidates.load_backbone", lambda name, **_: tiny_backbone)
    result = invoke("finetune", data, "-o", tmp_path / "m.keras", "--cache", "off")
    assert result.exit_code == 0, result.stderr
    assert "mean average precision" in result.stdout
    assert "threshold" in result.stdout
    answer = json.loads(invoke("finetune", data, "-o", tmp_path / "m.keras", "--json", "-q").stdout)
    assert list(answer["thresholds"]) == ["blue", "green", "red"]


def test_a_label_without_training_images_is_refused(data, tmp_path, tiny_backbone):
    lonely = data.parent / "lonely.csv"
    lonely.write_text("path,labels\nphotos/3.png,blue|green\nphotos/1.png,blue\nphotos/0.png,\n")
    result = invoke("finetune", lonely, "-o", tmp_path / "m.keras", "--cache", "off", "-q")
    assert result.exit_code == 2
    assert "green" in complaint(result)
