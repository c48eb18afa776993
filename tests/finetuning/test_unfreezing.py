"""The second stage: from a solved head to blocks that learned, kept only where that is better."""

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
from nstk.classifiers.classifier import load_classifier
from nstk.classifiers.explanation.job import explain
from nstk.classifiers.prediction.job import predict
from nstk.classifiers.run_records import replay, save_manifest
from nstk.errors import OutputError
from nstk.exporting import reload
from nstk.exporting.onnx_file import write_onnx
from nstk.exporting.saved_model import write_saved_model
from nstk.exporting.tflite import write_tflite
from nstk.finetuning.job import finetune
from nstk.finetuning.unfreezing import stage as second_stage
from nstk.finetuning.unfreezing.mcnemar import McNemarTest
from nstk.finetuning.unfreezing.model import normalization_weights
from nstk.finetuning.unfreezing.training import Training
from nstk.heads.learning_curve import LearningCurve
from nstk.reports.classifier import write_classifier_report
from nstk.settings import FinetuneSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 12)


@pytest.fixture(scope="module")
def backbone():
    """A small network with batch normalization that has something to learn."""
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


def unfreeze(folder, backbone, **settings):
    settings = FinetuneSettings(**{"unfreeze": 2, "augment": "mixup", **settings})
    return finetune(folder, backbone=backbone, settings=settings)


def keep(patch):
    """Find every check better than the last, and keep what came out."""
    check, better = Training.check, itertools.count()
    patch.setattr(Training, "check", lambda self: (-float(next(better)), *check(self)[1:]))
    patch.setattr(McNemarTest, "favors_second", True)


@pytest.fixture(scope="module")
def judged(folder, backbone):
    """What is not better by more than luck explains."""
    return unfreeze(folder, backbone)


@pytest.fixture(scope="module")
def kept(folder, backbone):
    """The same, kept all the same."""
    with pytest.MonkeyPatch.context() as patch:
        keep(patch)
        return unfreeze(folder, backbone)


@pytest.fixture(scope="module")
def moved(folder, backbone):
    """The same after steps so large that answers are others."""
    with pytest.MonkeyPatch.context() as patch:
        keep(patch)
        patch.setattr("nstk.finetuning.unfreezing.training_step.RATE", 0.01)
        return unfreeze(folder, backbone)


def test_what_is_not_better_is_not_kept_and_the_head_alone_is_returned(judged, probe):
    stage = judged.second_stage
    assert not stage.kept
    assert stage.pairing.images == judged.validation_images
    assert stage.probe_accuracy == probe.accuracy == judged.accuracy
    for one, other in zip(
        judged.classifier.model.get_weights(), probe.classifier.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_stage_says_what_it_did(judged):
    said = judged.classifier.results["second_stage"]
    assert said["blocks"] == 2
    assert said["augmentation"] == "mixup"
    assert 1 <= said["taken"] <= said["steps"]
    assert said["kept"] == "probe"
    assert 0 <= said["p_value"] <= 1
    assert said["log_losses"][said["best"]] == min(said["log_losses"])
    json.dumps(said, allow_nan=False)


def test_batch_normalization_is_bit_for_bit_as_it_was(kept, backbone):
    assert kept.second_stage.pinned == 12
    delivered = kept.classifier.model.get_layer("backbone")
    pairs = zip(
        normalization_weights(delivered), normalization_weights(backbone.model), strict=True
    )
    assert all(new.tobytes() == old.tobytes() for new, old in pairs)


def test_the_opened_blocks_have_learned_and_the_others_have_not(kept, backbone):
    delivered = kept.classifier.model.get_layer("backbone")
    moved = [
        not np.array_equal(*(each.get_layer(f"conv{number}").get_weights()[0] for each in pair))
        for number in range(3)
        for pair in [(delivered, backbone.model)]
    ]
    assert moved == [False, True, True]


def read_batch(folder):
    images = [np.asarray(Image.open(path)) for path in sorted((folder / "red").glob("[0-3].*"))]
    return [pixels[np.newaxis] for pixels in images]


def test_images_that_have_judged_are_said_to_flatter(kept, judged):
    assert any("may be a little too good" in notice for notice in kept.notices)
    assert not any("may be a little too good" in notice for notice in judged.notices)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize(("format", "write"), [("tflite", write_tflite), ("onnx", write_onnx)])
def test_blocks_that_learned_are_exported(moved, probe, folder, tmp_path, format, write):
    path = tmp_path / f"made.{format}"
    write(moved.classifier, path)
    classes, [ask] = reload.OPENERS[format](str(path))
    assert tuple(classes) == moved.classes
    learned = 0.0
    for batch in read_batch(folder):
        answer = moved.classifier.model(batch).numpy()
        assert np.asarray(ask(batch)) == pytest.approx(answer, abs=1e-4)
        learned = max(learned, np.abs(answer - probe.classifier.model(batch).numpy()).max())
    assert learned > 1e-3  # the network as it was before would be found out


@pytest.mark.slow
def test_every_way_to_ask_gives_the_same_answer(folder, backbone, tmp_path, monkeypatch):
    keep(monkeypatch)
    made = unfreeze(folder, backbone, views=2, augment="none", features="pooled+statistics")
    classifier = made.classifier
    loaded = keras.models.load_model(classifier.save(tmp_path / "made.keras"))
    write_saved_model(classifier, tmp_path / "saved")
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    before = classifier.model.get_weights()
    for batch in read_batch(folder):
        answer = classifier.model(batch).numpy()
        assert classifier.model.predict(batch, verbose=0) == pytest.approx(answer, abs=1e-5)
        assert loaded(batch).numpy() == pytest.approx(answer, abs=1e-5)
        assert saved.serve(batch)["probabilities"].numpy() == pytest.approx(answer, abs=1e-5)
    assert all(map(np.array_equal, before, classifier.model.get_weights()))


def test_the_reported_accuracy_is_that_of_the_delivered_model(kept, folder):
    splits = {file.path: file for file in kept.files if file.split == "validation"}
    said = predict(kept.classifier, [folder / path for path in splits]).predictions
    right = [each.label == splits[each.path.relative_to(folder).as_posix()].label for each in said]
    assert kept.accuracy == kept.second_stage.finetuned_accuracy == np.mean(right)


@pytest.mark.parametrize("which", ["kept", "judged"])
def test_the_page_says_what_it_brought_and_whose_the_learning_curve_is(
    which, request, tmp_path, monkeypatch
):
    made = request.getfixturevalue(which)
    monkeypatch.setattr(McNemarTest, "favors_second", which == "kept")
    curve = LearningCurve((4, 8), (0.5, 0.75), 0.8, "red", 0.5)
    made = dataclasses.replace(made, learning_curve=curve)
    text = check_page(write_classifier_report(tmp_path, made).read_text(encoding="utf-8")).text
    pairing = made.second_stage.pairing
    assert f"{pairing.gained} gained and {pairing.lost} lost" in text
    assert ("the network that learned is kept" in text) == made.second_stage.kept
    assert ("Measured with heads alone" in text) == made.second_stage.kept
    record = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert record["second_stage"]["kept"] == ("finetuned" if which == "kept" else "probe")


def test_what_learned_is_explained_and_lends_its_backbone(kept, folder, tmp_path):
    path = kept.classifier.save(tmp_path / "kept.keras")
    [explanation] = explain(load_classifier(path), folder / "red" / "0.png")
    assert explanation.method == "class activation map"
    again = finetune(folder, backbone=path)
    assert again.classifier.backbone["digest"] == kept.second_stage.backbone.digest


def test_equal_runs_give_equal_bytes(kept, folder, backbone, tmp_path, monkeypatch):
    keep(monkeypatch)
    again = unfreeze(folder, backbone)
    first, second = (
        each.classifier.save(tmp_path / f"{number}.keras").read_bytes()
        for number, each in enumerate((kept, again))
    )
    assert first == second


def test_another_seed_learns_something_else(kept, folder, backbone, monkeypatch):
    keep(monkeypatch)
    other = unfreeze(folder, backbone, seed=1)
    assert other.second_stage.backbone.digest != kept.second_stage.backbone.digest


def test_every_step_is_told_with_its_loss(folder, backbone):
    events = []
    finetune(
        folder,
        backbone=backbone,
        settings=FinetuneSettings(unfreeze=1, augment="none"),
        on_progress=events.append,
    )
    told = [event for event in events if event.stage == "second stage"]
    assert [event.step for event in told] == list(range(len(told)))
    assert all(np.isfinite(event.loss) for event in told[1:])
    assert told[1].terms["learning rate"] > 0
    assert any("log-loss of left-out images" in event.terms for event in told)


def test_a_run_with_images_changed_at_every_step_reaches_the_end(folder, backbone):
    made = unfreeze(folder, backbone, augment="light", unfreeze="all", balance=True)
    assert made.second_stage.plan.blocks == 3
    assert made.second_stage.plan.augmentation == "light"


def test_images_with_several_labels_learn_alike(backbone, tmp_path, monkeypatch):
    keep(monkeypatch)
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


def test_with_folds_the_held_out_share_is_still_the_judge(folder, backbone):
    made = unfreeze(folder, backbone, folds=3, augment="none", unfreeze=1)
    assert made.measured_on == "validation"
    assert made.evaluations["folds"].images == made.train_images
    assert made.second_stage.pairing.images == made.validation_images


def test_a_run_is_repeated_from_its_record(folder, tmp_path, backbone, monkeypatch):
    made = unfreeze(folder, backbone)
    path = save_manifest(made, tmp_path / "made.json", backbone="compact")
    monkeypatch.setattr("nstk.finetuning.job.load_backbone", lambda *_, **__: backbone)
    assert replay(path).differences == ()


def test_what_time_allowed_is_repeated_without_looking_at_the_clock(
    folder, tmp_path, backbone, monkeypatch
):
    made = unfreeze(folder, backbone, budget=20.0, unfreeze="none")
    assert made.second_stage.plan.taken > 0
    path = save_manifest(made, tmp_path / "made.json", backbone="compact")
    monkeypatch.setattr("nstk.finetuning.job.load_backbone", lambda *_, **__: backbone)
    again = replay(path)
    assert again.made.second_stage.plan == made.second_stage.plan
    assert again.differences == ()


def test_a_head_that_takes_all_of_the_time_is_all_there_is(folder, backbone, monkeypatch):
    monkeypatch.setattr(second_stage.Clock, "left", -1.0)
    made = unfreeze(folder, backbone, budget=1.0)
    assert made.second_stage is None
    assert any("took all of the time" in notice for notice in made.notices)


def test_a_run_without_a_second_stage_is_repeated_without_one(
    folder, tmp_path, backbone, monkeypatch
):
    monkeypatch.setattr("nstk.finetuning.job.load_backbone", lambda *_, **__: backbone)
    monkeypatch.setattr(second_stage.Clock, "left", -1.0)
    made = unfreeze(folder, backbone, budget=5.0)
    assert made.second_stage is None
    path = save_manifest(made, tmp_path / "made.json", backbone="compact")
    monkeypatch.setattr(second_stage.Clock, "left", 1000.0)
    again = replay(path)
    assert again.made.second_stage is None
    assert again.differences == ()


def test_a_disk_without_room_is_one_line(folder, backbone, monkeypatch):
    def fill_up(*arguments):
        raise OutputError("no room")

    monkeypatch.setattr("nstk.features.activation_store.ActivationStore.write", fill_up)
    with pytest.raises(OutputError, match="no room"):
        unfreeze(folder, backbone)


@pytest.mark.slow
def test_the_shell_says_what_it_brought(folder, tmp_path):
    arguments = ["finetune", folder, "-o", tmp_path / "made.keras", "--size", 32, "-q"]
    options = ["--unfreeze", 1, "--augment", "none", "--cache", "off"]
    result = invoke(*arguments, *options, "--json")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert {"probe_accuracy", "finetuned_accuracy", "p_value", "kept"} <= said.keys()
    assert said["kept"] == "probe"
    assert said["finetuned_accuracy"] is not None
    assert said["second_stage"]["blocks"] == 1
    told = invoke(*arguments, *options)
    assert "second stage, the last block for" in told.stdout
    assert "not kept, the head alone is written" in told.stdout


def test_losses_and_figures_are_written_for_tensorboard(folder, tmp_path):
    result = invoke(
        *("finetune", folder, "-o", tmp_path / "made.keras", "--size", 32, "-q", "--cache", "off"),
        *("--unfreeze", 1, "--augment", "none", "--tensorboard", tmp_path / "runs" / "one"),
    )
    assert result.exit_code == 0, result.stderr
    [events] = (tmp_path / "runs" / "one").iterdir()
    written = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    assert {"second stage/loss", "second stage/p-value", "accuracy/validation"} <= written


def test_a_wrong_wish_is_one_line(folder, tmp_path):
    for options, said in (
        (("--unfreeze", "some"), "--unfreeze"),
        (("--unfreeze", "0"), "--unfreeze"),
        (("--budget", "soon"), "--budget"),
        (("--augment", "much"), "--augment"),
        (("--tensorboard", folder / "red" / "0.png"), "0.png"),
    ):
        result = invoke("finetune", folder, "-o", tmp_path / "made.keras", *options)
        assert result.exit_code == 2
        assert said in result.stderr
