"""Probabilities mean what they say, and an image from another world is told."""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled_images import draw_folder
from PIL import Image
from shell import complaint, invoke

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.job import evaluate
from nstk.classifiers.evaluation.metrics import measure_coverage
from nstk.classifiers.prediction.job import predict
from nstk.errors import ModelError, SettingsError
from nstk.finetuning.job import finetune
from nstk.heads.calibration import Calibration, calibrate
from nstk.heads.decisions import Thresholds
from nstk.heads.links import SIGMOID, SOFTMAX
from nstk.heads.out_of_distribution import OODDetector, fit_ood_detector
from nstk.heads.predictions import SplitPredictions
from nstk.heads.reliability import measure_reliability

SEEDS = st.integers(0, 999)


def predict_softmax(logits):
    return SOFTMAX.probabilities(logits)


def draw_logits(seed, images, classes=3, temperature=1.0):
    """Logits that are ``temperature`` times as large as calibrated ones, and the truth."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (images, classes))
    labels = [generator.choice(classes, p=row) for row in predict_softmax(logits)]
    return temperature * logits, np.eye(classes, dtype=bool)[labels]


def draw_several(seed, images, temperature):
    """The same where an image may have several labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (images, 3))
    targets = generator.random(logits.shape) < SIGMOID.probabilities(logits)
    return temperature * logits, targets


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 60), st.floats(0.1, 10), st.booleans())
def test_a_temperature_never_makes_left_out_images_worse(seed, images, scale, weighted):
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
def test_logits_that_are_too_large_or_too_small_are_found_out(temperature):
    found = calibrate(*draw_logits(0, 4000, temperature=temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.08)
    assert found.after.ece < 0.03 < found.before.ece
    assert found.images == 4000
    logits, targets = draw_several(0, 4000, temperature)
    decision = Thresholds((0.5, 0.5, 0.5))
    assert calibrate(logits, targets, decision=decision).temperature == pytest.approx(
        temperature, rel=0.08
    )


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=4), st.floats(0.5, 10), SEEDS)
def test_a_temperature_changes_no_label(thresholds, temperature, seed):
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


@pytest.mark.parametrize("seed", range(5))
def test_what_is_calibrated_is_left_alone(seed):
    assert calibrate(*draw_logits(seed, 200)).temperature == 1


def test_few_images_that_were_all_told_apart_do_not_ask_for_certainty():
    targets = np.eye(2, dtype=bool)[np.arange(12) % 2]
    assert calibrate(3.0 * targets, targets).temperature > 0.5


def test_images_that_no_head_can_do_without_do_not_count():
    logits, targets = draw_logits(1, 50, temperature=4)
    nothing, others = np.full((2, 3), np.nan), np.eye(3, dtype=bool)[:2]
    gaps = np.vstack([logits, nothing])
    assert calibrate(gaps, np.vstack([targets, others])) == calibrate(logits, targets)
    assert calibrate(nothing, others) == Calibration()


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 80))
def test_an_interval_holds_its_error(seed, images):
    logits, targets = draw_logits(seed, images)
    probabilities, labels = predict_softmax(logits), targets.argmax(axis=1)
    found = measure_reliability(probabilities, labels)
    low, high = found.ece_interval
    assert 0 <= low <= found.ece <= high <= 1
    assert found == measure_reliability(probabilities, labels)


@given(SEEDS, st.integers(1, 40), st.integers(1, 5))
def test_questions_about_one_image_are_drawn_together(seed, images, questions):
    logits, targets = draw_logits(seed, images)
    probabilities, labels = predict_softmax(logits), targets.argmax(axis=1)
    one = measure_reliability(probabilities, labels)
    same = measure_reliability(
        np.repeat(probabilities, questions, axis=0),
        np.repeat(labels, questions),
        images=images,
    )
    assert same.ece == pytest.approx(one.ece, abs=1e-9)
    assert same.ece_interval == pytest.approx(one.ece_interval, abs=1e-9)


def test_more_images_make_the_interval_shorter():
    widths = []
    for images in (50, 5000):
        logits, targets = draw_logits(2, images)
        found = measure_reliability(predict_softmax(logits), targets.argmax(axis=1))
        low, high = found.ece_interval
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def draw_vectors(seed, images, width=24):
    """Feature vectors of one world: a common direction, few directions of change, some noise."""
    generator = np.random.default_rng(seed)
    world = np.random.default_rng(99).normal(size=(5, width))
    wandering = generator.normal(size=(images, 4)) @ world[:4]
    noise = generator.normal(0, 0.3, (images, width))
    return (10 + 5 * world[4] + wandering + noise).astype(np.float32)


def learn(vectors, seed=0):
    count = len(vectors)
    return fit_ood_detector(vectors, np.arange(count) % 2, np.arange(count), seed)


def test_own_images_are_within_at_the_stated_rate_and_others_beyond():
    ood_detector = learn(draw_vectors(0, 400))
    own = ood_detector.ood_scores(draw_vectors(1, 4000))
    assert ood_detector.accepted == pytest.approx(0.99, abs=0.003)
    assert np.mean(own <= 1) == pytest.approx(ood_detector.accepted, abs=0.015)
    other = np.random.default_rng(3).uniform(0, 20, (200, 24)).astype(np.float32)
    assert np.mean(ood_detector.ood_scores(other) > 1) > 0.98


@given(SEEDS, st.integers(2, 40), st.integers(1, 70))
def test_any_vectors_can_be_learned_and_kept(seed, images, width):
    vectors = np.random.default_rng(seed).normal(size=(images, width)).astype(np.float32)
    vectors[:, 0] = 0
    ood_detector = learn(vectors)
    if ood_detector is None:  # a class of one image cannot do without it
        assert images < 4
        return
    card = json.loads(json.dumps(ood_detector.to_config()))
    kept = OODDetector.from_config(card, width)
    ood_score = ood_detector.ood_scores(vectors)
    assert np.isfinite(ood_score).all()
    assert np.array_equal(kept.ood_scores(vectors), ood_score)
    with pytest.raises(ValueError, match=r"\d"):
        OODDetector.from_config(card, width + 1)


def test_the_length_of_a_vector_does_not_count():
    ood_detector, vectors = learn(draw_vectors(0, 100)), draw_vectors(1, 20)
    assert ood_detector.ood_scores(3 * vectors) == pytest.approx(
        ood_detector.ood_scores(vectors), rel=1e-4
    )


def test_saying_nothing_about_doubtful_and_strange_images_is_counted():
    logits = np.log(np.array([[0.97, 0.03], [0.7, 0.3], [0.55, 0.45], [0.99, 0.01]]))
    targets = np.eye(2, dtype=bool)[[0, 0, 1, 1]]
    answers = SplitPredictions(
        paths=(),
        targets=targets,
        predicted=np.eye(2, dtype=bool)[[0, 0, 0, 0]],
        logits=logits,
        temperatures=np.ones(4),
        ood_score=np.array([0.3, 0.9, 0.5, 1.2]),
    )
    found = {each.abstain_below: each for each in measure_coverage(answers)}
    assert (found[0.0].images, found[0.0].accuracy) == (3, 2 / 3)
    assert (found[0.6].images, found[0.6].share, found[0.6].accuracy) == (2, 0.5, 1)
    assert (found[0.99].images, found[0.99].accuracy, found[0.99].accuracy_interval) == (
        *(0, None),
        None,
    )
    everyone = dataclasses.replace(answers, ood_score=None)
    assert measure_coverage(everyone)[0].images == 4


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
    """Images of another world: a chequerboard, noise and plain white."""
    root = tmp_path_factory.mktemp("elsewhere")
    rows, columns = np.mgrid[0:48, 0:48]
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3))
    for name, pixels in {
        "chequers": np.repeat((255 * ((rows // 4 + columns // 4) % 2))[..., None], 3, axis=2),
        "noise": noise,
        "white": np.full((48, 48, 3), 255),
    }.items():
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{name}.png")
    return root


def test_the_delivered_model_is_calibrated_inside(made, model):
    temperature = made.calibration.temperature
    kernel = made.selection.head.kernel
    delivered = keras.models.load_model(model).get_layer("head").get_weights()[0]
    assert delivered * temperature == pytest.approx(kernel, rel=1e-5)
    assert Classifier.load(model).temperature == temperature


def test_a_head_that_is_too_sure_is_calmed(made):
    sure = dataclasses.replace(made.selection, calibration=Calibration(temperature=4.0))
    features = np.random.default_rng(0).normal(size=(5, len(sure.head.kernel))).astype(np.float32)
    assert 4 * sure.calibrated.answer(features) == pytest.approx(
        sure.head.logits(features), rel=1e-4, abs=1e-5
    )


def test_images_of_another_world_are_strange_and_own_ones_are_not(made, model, folder, elsewhere):
    own = predict(made.classifier, folder).predictions
    assert np.mean([each.is_ood for each in own]) <= 0.1
    others = predict(Classifier.load(model), elsewhere).predictions
    assert [each.path.stem for each in others if each.is_ood] == ["chequers", "noise", "white"]
    assert all(each.ood_score > 1 for each in others)


def test_unsure_is_said_of_strange_and_of_doubtful_images(made, folder, elsewhere):
    plain = predict(made.classifier, [folder / "red", elsewhere]).predictions
    assert {each.label for each in plain} <= {"blue", "red"}
    asked = predict(made.classifier, [folder / "red", elsewhere], abstain_below=0).predictions
    assert [each.label == "unsure" for each in asked] == [each.is_ood for each in plain]
    asked = predict(made.classifier, folder / "red", abstain_below=1.0).predictions
    assert "unsure" in {each.label for each in asked}
    for each in asked:
        assert (each.label == "unsure") == (each.probability < 1 or each.is_ood)
    assert all(each.top[0][1] == each.probability for each in asked)
    with pytest.raises(SettingsError, match="unsure-below"):
        predict(made.classifier, folder, abstain_below=1.5)


def test_the_shell_says_unsure_and_why(model, folder, elsewhere, tmp_path):
    words = ["predict", model, folder / "red", elsewhere, "--abstain-below", 0]
    answer = json.loads(invoke(*words, "--json", "-q").stdout)["predictions"]
    assert [each["label"] == "unsure" for each in answer] == [each["strange"] for each in answer]
    strange = sum(each["strange"] for each in answer)
    assert strange >= 3
    shown = invoke(*words).stdout
    assert shown.count("like nothing in training") == shown.count(" unsure ") == strange
    invoke(*words, "--csv", tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text().count(",unsure,") == strange
    result = invoke("predict", model, folder, "--abstain-below", 2)
    assert result.exit_code == 2
    assert "--abstain-below is 2.0" in complaint(result)


def test_evaluating_tells_calibration_and_what_abstaining_brings(made, model, folder):
    found = evaluate(Classifier.load(model), folder)
    assert found.ece == found.reliability.ece
    assert found.coverage[0].images == found.evaluation.images - found.ood_count
    answer = json.loads(invoke("evaluate", model, folder, "--json", "-q").stdout)
    assert answer["temperature"] == made.calibration.temperature
    assert answer["calibration"]["after"]["ece"] == answer["ece"] == found.ece
    assert answer["ece_interval"] == list(found.reliability.ece_interval)
    assert answer["ood_count"] == found.ood_count
    assert len(answer["coverage"]) == len(found.coverage)


def test_a_temperature_can_be_taken_back(made, folder):
    calm = dataclasses.replace(made.classifier, temperature=3.0)
    found, plain = evaluate(calm, folder), evaluate(made.classifier, folder)
    assert found.reliability == plain.reliability
    logits = 3 * plain.answers.logits / made.classifier.temperature
    labels = plain.answers.targets.argmax(axis=1)
    before = measure_reliability(predict_softmax(logits), labels)
    assert found.reliability_before.ece == pytest.approx(before.ece, abs=1e-6)


def change(model, path, **changes):
    """A copy of a classifier file with other entries on its card."""
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "nstk.json":
                content = json.dumps(json.loads(content) | changes).encode()
            target.writestr(name, content)
    return path


def test_a_file_that_does_not_know_its_images_still_predicts(model, folder, tmp_path):
    older = Classifier.load(change(model, tmp_path / "older.keras", ood_detector=None))
    found = predict(older, folder / "red", abstain_below=0.0).predictions
    assert {(each.ood_score, each.is_ood) for each in found} == {(None, False)}
    assert {each.label for each in found} == {"red"}
    assert evaluate(older, folder).ood_count is None


@pytest.mark.parametrize("damage", [{}, [1], "no", {"mean": "?"}])
def test_a_damaged_memory_of_training_images_is_refused(model, tmp_path, damage):
    with pytest.raises(ModelError, match="training images look like"):
        Classifier.load(change(model, tmp_path / "damaged.keras", ood_detector=damage))


@pytest.mark.slow
def test_waste_is_strange_to_who_knows_insects(shared):
    weights = shared / "weights" / "mobilenet_0.75_224_notop.weights.h5"
    data = shared / "data"
    made = finetune(data / "hymenoptera", backbone="mobilenet-0.75", weights=weights)
    held_out = made.predictions["validation"]
    assert np.mean(~held_out.is_ood) >= 0.97
    waste = sorted((data / "trashnet").rglob("*.jpg"))[::20]
    paper = predict(made.classifier, waste).predictions
    known = np.median(held_out.ood_score)
    assert np.mean([each.ood_score > known for each in paper]) >= 0.95
    assert np.mean([each.is_ood for each in paper]) >= 0.25
