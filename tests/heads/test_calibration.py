"""Probabilities are calibrated, and images out of distribution are detected."""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled_images import draw_folder, link_photographs
from PIL import Image
from shell import complaint, invoke

from nstk.backbones.loading import load_backbone
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.job import evaluate
from nstk.classifiers.evaluation.report import measure_coverage
from nstk.classifiers.prediction.job import predict
from nstk.errors import ModelError, SettingsError
from nstk.finetuning.job import finetune
from nstk.heads.calibration import Calibration, calibrate, measure_reliability
from nstk.heads.decisions import Thresholds
from nstk.heads.links import SIGMOID, SOFTMAX
from nstk.heads.out_of_distribution import OODDetector, fit_ood_detector
from nstk.heads.selection import SplitPredictions

SEEDS = st.integers(0, 999)


def predict_softmax(logits):
    return SOFTMAX.probabilities(logits)


def draw_logits(seed, images, classes=3, temperature=1.0):
    """Logits that are ``temperature`` times as large as calibrated ones, and true labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (images, classes))
    labels = [generator.choice(classes, p=row) for row in predict_softmax(logits)]
    return temperature * logits, np.eye(classes, dtype=bool)[labels]


def draw_multi_label(seed, images, temperature):
    """The same for multi-label data."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (images, 3))
    targets = generator.random(logits.shape) < SIGMOID.probabilities(logits)
    return temperature * logits, targets


@settings(max_examples=15)
@given(SEEDS, st.integers(1, 60), st.floats(0.1, 10), st.booleans())
def test_a_temperature_never_increases_the_out_of_fold_loss(seed, images, scale, weighted):
    logits, targets = draw_logits(seed, images, temperature=scale)
    weights = np.ones((images, 1))
    if weighted:
        weights = np.random.default_rng(seed).uniform(0.2, 3, (images, 1))
    found = calibrate(logits, targets, weights)
    assert 0.05 <= found.temperature <= 20
    before, after = (
        float((weights * SOFTMAX.losses(targets, logits / each)).sum())
        for each in (1, found.temperature)
    )
    assert after <= before + 1e-9


@pytest.mark.parametrize("temperature", [0.4, 3.0])
def test_logits_that_are_too_large_or_too_small_are_rescaled(temperature):
    found = calibrate(*draw_logits(0, 3000, temperature=temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.after.ece < 0.03 < found.before.ece
    assert found.images == 3000
    logits, targets = draw_multi_label(0, 3000, temperature)
    decision = Thresholds((0.5, 0.5, 0.5))
    assert calibrate(logits, targets, decision=decision).temperature == pytest.approx(
        temperature, rel=0.1
    )


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=4), st.floats(0.5, 10), SEEDS)
def test_a_temperature_changes_no_prediction(thresholds, temperature, seed):
    decision = Thresholds(tuple(thresholds))
    logits = np.random.default_rng(seed).normal(0, 3, (20, len(thresholds)))
    before = decision.predict(SIGMOID.probabilities(logits))
    divided = SIGMOID.probabilities(logits / temperature)
    assert np.array_equal(decision.with_temperature(temperature).predict(divided), before)


@given(SEEDS)
def test_logits_come_back_from_probabilities(seed):
    logits = np.random.default_rng(seed).normal(0, 5, (6, 3))
    for link in (SOFTMAX, SIGMOID):
        probabilities = link.probabilities(logits)
        again = link.probabilities(link.logits(probabilities))
        assert again == pytest.approx(probabilities, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_calibrated_logits_keep_temperature_1(seed):
    assert calibrate(*draw_logits(seed, 200)).temperature == 1


def test_a_few_correct_images_do_not_lead_to_certainty():
    targets = np.eye(2, dtype=bool)[np.arange(12) % 2]
    assert calibrate(3.0 * targets, targets).temperature > 0.5


def test_images_without_out_of_fold_logits_are_ignored():
    logits, targets = draw_logits(1, 50, temperature=4)
    nothing, others = np.full((2, 3), np.nan), np.eye(3, dtype=bool)[:2]
    gaps = np.vstack([logits, nothing])
    assert calibrate(gaps, np.vstack([targets, others])) == calibrate(logits, targets)
    assert calibrate(nothing, others) == Calibration()


@settings(max_examples=8)
@given(SEEDS, st.integers(1, 80))
def test_an_interval_contains_its_error(seed, images):
    logits, targets = draw_logits(seed, images)
    probabilities, labels = predict_softmax(logits), targets.argmax(axis=1)
    found = measure_reliability(probabilities, labels)
    low, high = found.ece_interval
    assert 0 <= low <= found.ece <= high <= 1
    assert found == measure_reliability(probabilities, labels)


@settings(max_examples=8)
@given(SEEDS, st.integers(1, 40), st.integers(1, 5))
def test_the_problems_of_an_image_are_resampled_together(seed, images, problems):
    logits, targets = draw_logits(seed, images)
    probabilities, labels = predict_softmax(logits), targets.argmax(axis=1)
    one = measure_reliability(probabilities, labels)
    same = measure_reliability(
        np.repeat(probabilities, problems, axis=0),
        np.repeat(labels, problems),
        weights=np.ones((images, problems)),
    )
    assert same.ece == pytest.approx(one.ece, abs=1e-9)
    assert same.ece_interval == pytest.approx(one.ece_interval, abs=1e-9)


def test_with_balance_all_classes_weigh_alike_in_the_calibration_error():
    # Nine bees with 60 % for bee, which are right, and one ant with 100 % for bee.
    probabilities = np.array([[0.6, 0.4]] * 9 + [[1.0, 0.0]])
    targets = np.eye(2, dtype=bool)[[0] * 9 + [1]]
    split = SplitPredictions(
        paths=(),
        targets=targets,
        predicted=targets,
        logits=SOFTMAX.logits(probabilities),
        temperatures=np.ones(10),
    )
    assert split.reliability.ece == pytest.approx(0.9 * 0.4 + 0.1 * 1.0)
    balanced = dataclasses.replace(split, balance=True)
    assert balanced.reliability.ece == pytest.approx(0.5 * 0.4 + 0.5 * 1.0)


def test_more_images_make_the_interval_narrower():
    widths = []
    for images in (50, 2000):
        logits, targets = draw_logits(2, images)
        found = measure_reliability(predict_softmax(logits), targets.argmax(axis=1))
        low, high = found.ece_interval
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def draw_vectors(seed, images, width=24):
    """In-distribution vectors: a common direction, a few directions of variation, noise."""
    generator = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(5, width))
    variation = generator.normal(size=(images, 4)) @ directions[:4]
    noise = generator.normal(0, 0.3, (images, width))
    return (10 + 5 * directions[4] + variation + noise).astype(np.float32)


def fit(vectors, seed=0):
    count = len(vectors)
    return fit_ood_detector(vectors, np.arange(count) % 2, np.arange(count), seed)


def test_own_images_are_accepted_at_the_stated_rate_and_others_are_not():
    ood_detector = fit(draw_vectors(0, 400))
    own = ood_detector.ood_scores(draw_vectors(1, 4000))
    assert ood_detector.accepted == pytest.approx(0.99, abs=0.003)
    assert np.mean(own <= 1) == pytest.approx(ood_detector.accepted, abs=0.015)
    other = np.random.default_rng(3).uniform(0, 20, (200, 24)).astype(np.float32)
    assert np.mean(ood_detector.ood_scores(other) > 1) > 0.98


@settings(max_examples=25)
@given(SEEDS, st.integers(2, 40), st.integers(1, 70))
def test_a_detector_fits_any_vectors_and_is_restored(seed, images, width):
    vectors = np.random.default_rng(seed).normal(size=(images, width)).astype(np.float32)
    vectors[:, 0] = 0
    ood_detector = fit(vectors)
    if ood_detector is None:  # no image of a class with one image can be held out
        assert images < 4
        return
    config = json.loads(json.dumps(ood_detector.to_config()))
    restored = OODDetector.from_config(config, width)
    ood_score = ood_detector.ood_scores(vectors)
    assert np.isfinite(ood_score).all()
    assert np.array_equal(restored.ood_scores(vectors), ood_score)
    with pytest.raises(ValueError, match=r"\d"):
        OODDetector.from_config(config, width + 1)


def test_the_length_of_a_vector_does_not_matter():
    ood_detector, vectors = fit(draw_vectors(0, 100)), draw_vectors(1, 20)
    assert ood_detector.ood_scores(3 * vectors) == pytest.approx(
        ood_detector.ood_scores(vectors), rel=1e-4
    )


def test_coverage_excludes_uncertain_and_out_of_distribution_images():
    logits = np.log(np.array([[0.97, 0.03], [0.7, 0.3], [0.55, 0.45], [0.99, 0.01]]))
    targets = np.eye(2, dtype=bool)[[0, 0, 1, 1]]
    predictions = SplitPredictions(
        paths=(),
        targets=targets,
        predicted=np.eye(2, dtype=bool)[[0, 0, 0, 0]],
        logits=logits,
        temperatures=np.ones(4),
        ood_score=np.array([0.3, 0.9, 0.5, 1.2]),
    )
    found = {each.abstain_below: each for each in measure_coverage(predictions)}
    assert (found[0.0].images, found[0.0].accuracy) == (3, 2 / 3)
    assert (found[0.6].images, found[0.6].share, found[0.6].accuracy) == (2, 0.5, 1)
    assert (found[0.99].images, found[0.99].accuracy, found[0.99].accuracy_interval) == (
        *(0, None),
        None,
    )
    without = dataclasses.replace(predictions, ood_score=None)
    assert measure_coverage(without)[0].images == 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 12, ("blue", "red"))


@pytest.fixture(scope="module")
def made(folder, tiny_backbone):
    return finetune(folder, backbone=tiny_backbone)


@pytest.fixture(scope="module")
def model(made, tmp_path_factory):
    return made.classifier.save(tmp_path_factory.mktemp("model") / "colors.keras")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Images out of distribution: a checkerboard, noise and plain white."""
    root = tmp_path_factory.mktemp("elsewhere")
    rows, columns = np.mgrid[0:48, 0:48]
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3))
    for name, pixels in {
        "checkers": np.repeat((255 * ((rows // 4 + columns // 4) % 2))[..., None], 3, axis=2),
        "noise": noise,
        "white": np.full((48, 48, 3), 255),
    }.items():
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{name}.png")
    return root


def test_the_saved_model_includes_the_temperature(made, model):
    temperature = made.calibration.temperature
    kernel = made.selection.head.kernel
    saved = keras.models.load_model(model).get_layer("head").get_weights()[0]
    assert saved * temperature == pytest.approx(kernel, rel=1e-5)
    assert Classifier.load(model).temperature == temperature


def test_a_temperature_divides_the_logits(made):
    hot = dataclasses.replace(made.selection, calibration=Calibration(temperature=4.0))
    features = np.random.default_rng(0).normal(size=(5, len(hot.head.kernel))).astype(np.float32)
    assert 4 * hot.calibrated.logits(features) == pytest.approx(
        hot.head.logits(features), rel=1e-4, abs=1e-5
    )


def test_other_images_are_out_of_distribution_and_own_ones_are_not(made, model, folder, elsewhere):
    own = predict(made.classifier, folder).predictions
    assert np.mean([each.is_ood for each in own]) <= 0.1
    others = predict(Classifier.load(model), elsewhere).predictions
    assert [each.path.stem for each in others if each.is_ood] == ["checkers", "noise", "white"]
    assert all(each.ood_score > 1 for each in others)


def test_a_classifier_abstains_on_uncertain_and_out_of_distribution_images(made, folder, elsewhere):
    plain = predict(made.classifier, [folder / "red", elsewhere]).predictions
    assert {each.label for each in plain} <= {"blue", "red"}
    asked = predict(made.classifier, [folder / "red", elsewhere], abstain_below=0).predictions
    assert [each.label == "unsure" for each in asked] == [each.is_ood for each in plain]
    asked = predict(made.classifier, folder / "red", abstain_below=1.0).predictions
    assert "unsure" in {each.label for each in asked}
    for each in asked:
        assert (each.label == "unsure") == (each.probability < 1 or each.is_ood)
    assert all(each.top[0][1] == each.probability for each in asked)
    with pytest.raises(SettingsError, match="abstain_below"):
        predict(made.classifier, folder, abstain_below=1.5)


def test_the_command_shows_abstentions_and_their_reason(model, folder, elsewhere, tmp_path):
    words = ["predict", model, folder / "red", elsewhere, "--abstain-below", 0]
    answer = json.loads(invoke(*words, "--json", "-q").stdout)["predictions"]
    assert [each["label"] == "unsure" for each in answer] == [each["is_ood"] for each in answer]
    count = sum(each["is_ood"] for each in answer)
    assert count >= 3
    shown = invoke(*words).stdout
    assert shown.count("out of distribution") == shown.count(" unsure ") == count
    invoke(*words, "--csv", tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text().count(",unsure,") == count
    result = invoke("predict", model, folder, "--abstain-below", 2)
    assert result.exit_code == 2
    line = complaint(result)
    assert "--abstain-below" in line
    assert "2.0" in line


def test_an_evaluation_has_calibration_and_coverage(made, model, folder):
    found = evaluate(Classifier.load(model), folder)
    assert found.ece == found.reliability.ece
    assert found.coverage[0].images == found.evaluation.images - found.ood_count
    answer = json.loads(invoke("evaluate", model, folder, "--json", "-q").stdout)
    assert answer["temperature"] == made.calibration.temperature
    assert answer["calibration"]["after"]["ece"] == answer["ece"] == found.ece
    assert answer["ece_interval"] == list(found.reliability.ece_interval)
    assert answer["ood_count"] == found.ood_count
    assert len(answer["coverage"]) == len(found.coverage)


def test_the_reliability_before_is_without_the_temperature(made, folder):
    hot = dataclasses.replace(made.classifier, temperature=3.0)
    found, plain = evaluate(hot, folder), evaluate(made.classifier, folder)
    assert found.reliability == plain.reliability
    logits = 3 * plain.predictions.logits / made.classifier.temperature
    labels = plain.predictions.targets.argmax(axis=1)
    before = measure_reliability(predict_softmax(logits), labels)
    assert found.reliability_before.ece == pytest.approx(before.ece, abs=1e-6)


def change(model, path, **changes):
    """A copy of a classifier file with other entries in nstk.json."""
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "nstk.json":
                content = json.dumps(json.loads(content) | changes).encode()
            target.writestr(name, content)
    return path


def test_a_classifier_without_a_detector_predicts(model, folder, tmp_path):
    older = Classifier.load(change(model, tmp_path / "older.keras", ood_detector=None))
    found = predict(older, folder / "red", abstain_below=0.0).predictions
    assert {(each.ood_score, each.is_ood) for each in found} == {(None, False)}
    assert {each.label for each in found} == {"red"}
    assert evaluate(older, folder).ood_count is None


@pytest.mark.parametrize("damage", [{}, [1], "no", {"mean": "?"}])
def test_an_invalid_detector_is_refused(model, tmp_path, damage):
    with pytest.raises(ModelError, match="ood_detector"):
        Classifier.load(change(model, tmp_path / "damaged.keras", ood_detector=damage))


@pytest.mark.slow
def test_waste_is_out_of_distribution_for_a_classifier_of_insects(shared, tmp_path):
    weights = shared / "weights" / "mobilenet_0.75_224_notop.weights.h5"
    data = shared / "data"
    link_photographs(data / "hymenoptera", tmp_path, every=3)
    backbone = load_backbone("mobilenet-0.75", weights=weights)
    made = finetune(tmp_path, backbone=backbone)
    held_out = made.predictions["validation"]
    assert np.mean(~held_out.is_ood) >= 0.95
    waste = sorted((data / "trashnet").rglob("*.jpg"))[::60]
    others = predict(made.classifier, waste).predictions
    known = np.median(held_out.ood_score)
    assert np.mean([each.ood_score > known for each in others]) >= 0.95
    assert np.mean([each.is_ood for each in others]) >= 0.2
