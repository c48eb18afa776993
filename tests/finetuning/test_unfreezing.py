"""Unfreezing: from a solved head to trained blocks, kept only if they are better."""

import dataclasses
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from browsing import check_page
from labeled_images import draw_folder
from PIL import Image
from shell import invoke

from nstk.backbones.backbone import Backbone
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.explanation import explain
from nstk.classifiers.prediction.job import predict
from nstk.errors import OutputError
from nstk.exporting import reload
from nstk.exporting.onnx_file import write_onnx
from nstk.exporting.saved_model import write_saved_model
from nstk.exporting.tflite import write_tflite
from nstk.finetuning.job import finetune
from nstk.finetuning.replay import replay, save_manifest
from nstk.finetuning.unfreezing import stage
from nstk.finetuning.unfreezing.model import normalization_weights
from nstk.finetuning.unfreezing.planning import Deadline
from nstk.finetuning.unfreezing.training import Training
from nstk.heads.learning_curve import LearningCurve
from nstk.reports.classifier import write_classifier_report
from nstk.settings import FinetuneSettings

RATE = "nstk.finetuning.unfreezing.training.LEARNING_RATE"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 12)


@pytest.fixture(scope="module")
def backbone():
    """A small network with batch normalization."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(2.0, offset=-1.0, name="preprocessing")(image)
    for number, strides in enumerate((2, 2, 1)):
        y = layers.Conv2D(8, 3, strides, padding="same", name=f"conv{number}")(x)
        y = layers.BatchNormalization(name=f"norm{number}")(y)
        y = layers.ReLU(name=f"relu{number}")(y)
        x = layers.Add(name=f"add{number}")([x, y]) if strides == 1 else y
    return Backbone("residual", keras.Model(image, x), 32, "seeded")


@pytest.fixture(scope="module")
def probe(folder, backbone):
    return finetune(folder, backbone=backbone)


def unfreeze(folder, backbone, on_progress=lambda event: None, **settings):
    settings = FinetuneSettings(**{"unfreeze": 2, "augment": "mixup", **settings})
    return finetune(folder, backbone=backbone, settings=settings, on_progress=on_progress)


@pytest.fixture(scope="module", autouse=True)
def few_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nstk.finetuning.unfreezing.planning.EPOCHS", 4)
        patch.setattr("nstk.finetuning.unfreezing.planning.MAX_EPOCHS", 4)
        yield


def judge(patch, finetuned):
    """Let the head alone have a log-loss of 1, and the fine-tuned network this one."""
    losses = itertools.cycle((1.0, finetuned))
    classify = stage._judge
    patch.setattr(stage, "_judge", lambda *given: (classify(*given)[0], next(losses)))


def force(patch):
    """Take large steps, find every evaluation better than the last, and keep the result."""
    evaluate, better = Training.evaluate, itertools.count()
    patch.setattr(Training, "evaluate", lambda self: (-float(next(better)), *evaluate(self)[1:]))
    patch.setattr(RATE, 0.01)
    judge(patch, 0.5)


@pytest.fixture(scope="module")
def events():
    """The progress events of `rejected`."""
    return []


@pytest.fixture(scope="module")
def rejected(folder, backbone, events):
    """A run whose result is not better."""
    with pytest.MonkeyPatch.context() as patch:
        judge(patch, 1.5)
        return unfreeze(folder, backbone, events.append)


@pytest.fixture(scope="module")
def kept(folder, backbone):
    """A run whose result is kept."""
    with pytest.MonkeyPatch.context() as patch:
        force(patch)
        return unfreeze(folder, backbone)


def test_a_result_that_is_not_better_is_not_kept(rejected, probe):
    made = rejected.second_stage
    assert not made.kept
    assert "not kept" in repr(made)
    assert made.mcnemar.images == rejected.validation_images
    assert made.probe_accuracy == probe.accuracy == rejected.accuracy
    for one, other in zip(
        rejected.classifier.model.get_weights(), probe.classifier.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_stage_is_in_the_results_of_the_classifier(rejected):
    found = rejected.classifier.results["second_stage"]
    assert found["blocks"] == 2
    assert found["augmentation"] == "mixup"
    assert 1 <= found["taken"] <= found["steps"]
    assert found["kept"] == "probe"
    assert found["finetuned_log_loss"] > found["probe_log_loss"]
    assert 0 <= found["p_value"] <= 1
    assert found["log_losses"][found["best"]] == min(found["log_losses"])
    json.dumps(found, allow_nan=False)


def test_every_step_is_reported_with_its_loss(rejected, events):
    steps = [event for event in events if event.stage == "second stage"]
    assert [event.step for event in steps] == list(range(len(steps)))
    assert all(np.isfinite(event.loss) for event in steps[1:])
    assert steps[1].terms["learning rate"] > 0
    assert any("validation log-loss" in event.terms for event in steps)


def test_batch_normalization_is_bit_identical(kept, backbone):
    assert kept.second_stage.pinned == 12
    delivered = kept.classifier.model.get_layer("backbone")
    pairs = zip(
        normalization_weights(delivered), normalization_weights(backbone.model), strict=True
    )
    assert all(new.tobytes() == old.tobytes() for new, old in pairs)


def test_only_the_unfrozen_blocks_have_changed(kept, backbone):
    delivered = kept.classifier.model.get_layer("backbone")
    changed = [
        not np.array_equal(*(each.get_layer(f"conv{number}").get_weights()[0] for each in pair))
        for number in range(3)
        for pair in [(delivered, backbone.model)]
    ]
    assert changed == [False, True, True]


def read_batches(folder):
    images = [np.asarray(Image.open(path)) for path in sorted((folder / "red").glob("[0-3].*"))]
    return [pixels[np.newaxis] for pixels in images]


def test_validation_images_that_decided_are_said_to_be_optimistic(kept, rejected):
    assert len(kept.notices) == len(rejected.notices) + 1
    assert "validation" in kept.notices[-1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize(("format", "write"), [("tflite", write_tflite), ("onnx", write_onnx)])
def test_a_fine_tuned_network_is_exported(kept, probe, folder, tmp_path, format, write):
    path = tmp_path / f"made.{format}"
    write(kept.classifier, path)
    classes, [predict_one] = reload.OPENERS[format](str(path))
    assert tuple(classes) == kept.classes
    change = 0.0
    for batch in read_batches(folder):
        expected = kept.classifier.model(batch).numpy()
        assert np.asarray(predict_one(batch)) == pytest.approx(expected, abs=1e-4)
        change = max(change, np.abs(expected - probe.classifier.model(batch).numpy()).max())
    assert change > 1e-3  # the original network would fail


@pytest.mark.slow
def test_all_interfaces_give_the_same_probabilities(folder, backbone, tmp_path, monkeypatch):
    force(monkeypatch)
    made = unfreeze(folder, backbone, views=2, augment="none", features="pooled+statistics")
    classifier = made.classifier
    loaded = keras.models.load_model(classifier.save(tmp_path / "made.keras"))
    write_saved_model(classifier, tmp_path / "saved")
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    before = classifier.model.get_weights()
    for batch in read_batches(folder):
        expected = classifier.model(batch).numpy()
        assert classifier.model.predict(batch, verbose=0) == pytest.approx(expected, abs=1e-5)
        assert loaded(batch).numpy() == pytest.approx(expected, abs=1e-5)
        assert saved.serve(batch)["probabilities"].numpy() == pytest.approx(expected, abs=1e-5)
    assert all(map(np.array_equal, before, classifier.model.get_weights()))


def test_the_reported_accuracy_is_that_of_the_delivered_model(kept, folder):
    files = {file.path: file for file in kept.files if file.split == "validation"}
    predictions = predict(kept.classifier, [folder / path for path in files]).predictions
    correct = [
        each.label == files[each.path.relative_to(folder).as_posix()].label for each in predictions
    ]
    assert kept.accuracy == kept.second_stage.finetuned_accuracy == np.mean(correct)


@pytest.mark.parametrize("which", ["kept", "rejected"])
def test_the_report_shows_the_comparison(which, request, tmp_path):
    made = request.getfixturevalue(which)
    curve = LearningCurve((4, 8), (0.5, 0.75), 0.8, "red", 0.5)
    made = dataclasses.replace(made, learning_curve=curve)
    text = check_page(write_classifier_report(tmp_path, made).read_text(encoding="utf-8")).text
    assert f"{made.second_stage.mcnemar.gained} gained" in text
    record = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert record["second_stage"]["kept"] == ("finetuned" if which == "kept" else "probe")


def test_a_fine_tuned_classifier_is_explained_and_is_a_backbone(kept, folder, tmp_path):
    path = kept.classifier.save(tmp_path / "kept.keras")
    [explanation] = explain(Classifier.load(path), folder / "red" / "0.png")
    assert explanation.method == "class activation map"
    again = finetune(folder, backbone=path)
    assert again.classifier.backbone["digest"] == kept.second_stage.backbone.digest


def test_equal_runs_give_equal_bytes_and_another_seed_does_not(
    kept, folder, backbone, tmp_path, monkeypatch
):
    force(monkeypatch)
    again, other = unfreeze(folder, backbone), unfreeze(folder, backbone, seed=1)
    first, second = (
        each.classifier.save(tmp_path / f"{number}.keras").read_bytes()
        for number, each in enumerate((kept, again))
    )
    assert first == second
    assert other.second_stage.backbone.digest != kept.second_stage.backbone.digest


def test_light_augmentation_of_all_blocks_with_folds_is_compared_on_held_out_images(
    folder, backbone, monkeypatch
):
    judge(monkeypatch, 1.5)
    made = unfreeze(folder, backbone, augment="light", unfreeze="all", balance=True, folds=3)
    assert made.second_stage.plan.blocks == 3
    assert made.second_stage.plan.augmentation == "light"
    assert made.measured_on == "validation"
    assert made.evaluations["folds"].images == made.train_images
    assert made.second_stage.mcnemar.images == made.validation_images


def test_images_with_several_labels_are_fine_tuned_too(backbone, tmp_path, monkeypatch):
    force(monkeypatch)
    folder = draw_folder(tmp_path, 12)
    lines = ["path,labels"]
    for path in sorted(folder.rglob("*.*")):
        with Image.open(path) as image:
            small = image.size[0] < 50
        labels = [path.parent.name, *(["small"] if small else [])]
        lines.append(f"{path.relative_to(folder)},{'|'.join(labels)}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    made = unfreeze(tmp_path / "labels.csv", backbone)
    assert made.classes == ("blue", "red", "small")
    assert len(made.classifier.decision.thresholds) == 3
    assert made.accuracy == made.second_stage.finetuned_accuracy


def test_a_run_is_repeated_from_its_record(rejected, tmp_path, backbone, monkeypatch):
    judge(monkeypatch, 1.5)
    path = save_manifest(rejected, tmp_path / "made.json", backbone="compact")
    monkeypatch.setattr("nstk.finetuning.replay.load_backbone", lambda *_, **__: backbone)
    assert replay(path).differences == ()


def test_a_run_with_a_budget_is_repeated_without_a_clock(folder, tmp_path, backbone, monkeypatch):
    made = unfreeze(folder, backbone, budget=600.0, unfreeze="none")
    assert made.second_stage.plan.taken > 0
    path = save_manifest(made, tmp_path / "made.json", backbone="compact")
    monkeypatch.setattr("nstk.finetuning.replay.load_backbone", lambda *_, **__: backbone)
    again = replay(path)
    assert again.result.second_stage.plan == made.second_stage.plan
    assert again.differences == ()


def test_a_budget_that_the_head_uses_up_skips_unfreezing_also_in_a_repeated_run(
    folder, tmp_path, backbone, monkeypatch
):
    monkeypatch.setattr("nstk.finetuning.replay.load_backbone", lambda *_, **__: backbone)
    monkeypatch.setattr(Deadline, "remaining", -1.0)
    made = unfreeze(folder, backbone, budget=5.0)
    assert made.second_stage is None
    assert any("budget" in notice for notice in made.notices)
    path = save_manifest(made, tmp_path / "made.json", backbone="compact")
    monkeypatch.setattr(Deadline, "remaining", 1000.0)
    again = replay(path)
    assert again.result.second_stage is None
    assert again.differences == ()


def test_a_full_disk_is_one_line(folder, backbone, monkeypatch):
    def fail(*arguments):
        raise OutputError("no room")

    monkeypatch.setattr("nstk.features.activation_store.ActivationStore.write", fail)
    with pytest.raises(OutputError, match="no room"):
        unfreeze(folder, backbone)


def test_the_command_prints_the_comparison_and_writes_tensorboard_scalars(
    folder, backbone, tmp_path, monkeypatch
):
    monkeypatch.setattr("nstk.backbones.candidates.load_backbone", lambda *_, **__: backbone)
    judge(monkeypatch, 1.5)
    arguments = ["finetune", folder, "-o", tmp_path / "made.keras", "-q", "--cache", "off"]
    options = ["--unfreeze", 1, "--augment", "none"]
    runs = tmp_path / "runs" / "one"
    result = invoke(*arguments, *options, "--tensorboard", runs, "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["kept"] == "probe"
    assert answer["finetuned_accuracy"] is not None
    assert 0 <= answer["p_value"] <= 1
    assert answer["second_stage"]["blocks"] == 1
    [events] = runs.iterdir()
    tags = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    assert {"second stage/loss", "second stage/p-value", "accuracy/validation"} <= tags
    printed = invoke(*arguments, *options).stdout
    assert f"p = {answer['p_value']:.3g}" in printed


def test_a_wrong_option_is_one_line(folder, tmp_path):
    for options, named in (
        (("--unfreeze", "some"), "--unfreeze"),
        (("--unfreeze", "0"), "--unfreeze"),
        (("--budget", "soon"), "--budget"),
        (("--augment", "much"), "--augment"),
        (("--tensorboard", folder / "red" / "0.png"), "0.png"),
    ):
        result = invoke("finetune", folder, "-o", tmp_path / "made.keras", *options)
        assert result.exit_code == 2
        assert named in result.stderr
