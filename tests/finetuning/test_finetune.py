"""Fine-tuning from a folder to a classifier: one pass per image, an unbiased accuracy, the same
bytes."""

import dataclasses
import json
import os
import shutil
import zipfile

import keras
import numpy as np
import pytest
from labeled_images import draw_class, draw_folder, link_photographs
from PIL import Image

import nstk
from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.backbones.packaged import build_compact
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.run_records import read_record
from nstk.datasets.folders import scan_folder
from nstk.errors import BackboneError, FolderError, SettingsError, WeightsError
from nstk.finetuning.job import finetune
from nstk.finetuning.replay import save_manifest
from nstk.heads.metrics import wilson_interval
from nstk.settings import FinetuneSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of ten images each, and two files that are not images."""
    root = draw_folder(tmp_path_factory.mktemp("data"), 10)
    (root / "red" / "notes.txt").write_text("not an image")
    (root / "blue" / "cut.png").write_bytes((root / "blue" / "0.png").read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def events():
    """The progress events of `made`."""
    return []


@pytest.fixture(scope="module")
def made(folder, tiny_backbone, events):
    before = dataclasses.replace(tiny_backbone).digest
    result = finetune(folder, backbone=tiny_backbone, on_progress=events.append)
    assert dataclasses.replace(tiny_backbone).digest == before, "the backbone is frozen"
    return result


@pytest.fixture(scope="module")
def content(made, tmp_path_factory):
    """The bytes of its file."""
    return made.classifier.save(tmp_path_factory.mktemp("model") / "made.keras").read_bytes()


def head_of(result):
    return result.classifier.model.get_layer("head").get_weights()[0]


def test_every_image_passes_through_the_network_once(made):
    assert made.forward_passes == 20
    assert (made.train_images, made.validation_images, made.test_images) == (16, 4, 0)


def test_files_that_are_not_images_are_listed_and_left_out(made):
    assert sorted(file.path.name for file in made.skipped) == ["cut.png", "notes.txt"]
    assert all(file.reason for file in made.skipped)


def test_classes_that_differ_in_color_are_recognized(made):
    assert made.classes == ("blue", "red")
    assert made.accuracy == 1.0
    assert made.accuracy_interval == wilson_interval(4, 4)
    assert made.measured_on == "validation"


def test_the_accuracy_is_that_of_the_delivered_model(folder, made):
    classifier, correct = made.classifier, 0
    for score in made.evaluation.per_class:
        for path in sorted((folder / score.name).glob("[0-9].*")):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            probabilities = classifier.model(pixels[np.newaxis]).numpy()[0]
            correct += classifier.classes[probabilities.argmax()] == score.name
    assert correct == 20


def test_every_stage_is_reported_and_timed(made, events):
    assert [event.stage for event in events if event.step == 0] == ["scan", "features", "head"]
    assert list(made.seconds) == ["scan", "features", "head", "total"]
    assert all(seconds > 0 for seconds in made.seconds.values())
    assert sum(made.seconds.values()) <= 2 * made.seconds["total"] + 1e-9


def test_a_result_describes_itself_in_one_line_in_json_and_in_html(made):
    assert "100.0% on 4 validation" in repr(made)
    described = json.loads(json.dumps(made.to_dict()))
    assert described["accuracy"] == 1.0
    assert described["calibration"]["after"]["ece"] == made.reliability.ece
    assert [each["name"] for each in described["per_class"]] == ["blue", "red"]
    assert "<td>blue</td>" in made._repr_html_()


def test_the_same_input_gives_the_same_bytes_with_settings_as_keywords(
    folder, content, tiny_backbone, tmp_path
):
    again = nstk.finetune(folder, backbone=tiny_backbone, views=1, seed=0)
    assert again.classifier.save(tmp_path / "again.keras").read_bytes() == content


def test_settings_are_given_once_and_by_known_names(folder, tiny_backbone):
    with pytest.raises(SettingsError, match="views"):
        finetune(folder, backbone=tiny_backbone, settings=FinetuneSettings(), views=2)
    with pytest.raises(SettingsError, match="view"):
        finetune(folder, backbone=tiny_backbone, view=2)


def test_the_saved_card_says_how_it_was_made(made, tiny_backbone, tmp_path):
    with zipfile.ZipFile(made.classifier.save(tmp_path / "made.keras")) as archive:
        card = json.loads(archive.read("nstk.json"))
    assert card["classes"] == ["blue", "red"]
    assert card["size"] == tiny_backbone.input_size
    assert card["backbone"] == {
        "name": "tiny",
        "digest": tiny_backbone.digest,
        "input_size": 32,
        "source": "seeded",
    }
    assert card["settings"] == dataclasses.asdict(FinetuneSettings())
    assert card["results"]["images"] == {"train": 16, "validation": 4, "test": 0}
    assert card["results"]["accuracy"] == {"validation": 1.0}


def test_file_names_that_are_not_text_are_kept_in_the_card_and_in_the_record(
    tmp_path, tiny_backbone
):
    root = draw_folder(tmp_path / "data", 4)
    odd = (root / "red" / "0.png").rename(root / "red" / os.fsdecode(b"\xfc.png"))
    backbone = dataclasses.replace(tiny_backbone, source=os.fsdecode(b"\xfc.h5"))
    made = finetune(root, backbone=backbone)
    path = made.classifier.save(tmp_path / "model.keras")
    assert Classifier.load(path).backbone["source"] == backbone.source
    record = read_record(save_manifest(made, tmp_path / "model.json", backbone="tiny"))
    assert f"red/{odd.name}" in {file["path"] for file in record["files"]}


def test_size_is_the_side_of_the_crop_and_the_seed_decides_the_split(folder, tiny_backbone, made):
    other = finetune(folder, backbone=tiny_backbone, size=48, seed=1)
    assert other.classifier.size == 48
    assert other.classifier.model.get_layer("backbone").input_shape[1:3] == (None, None)
    assert {file.path for file in other.files if file.split == "validation"} != {
        file.path for file in made.files if file.split == "validation"
    }
    assert not np.array_equal(head_of(made), head_of(other))


def test_a_test_split_is_what_the_accuracy_is_measured_on_even_with_folds(tmp_path, tiny_backbone):
    for split, count in (("train", 8), ("val", 3), ("test", 5)):
        draw_folder(tmp_path / split, count, ("blue", "green", "red"))
    made = finetune(tmp_path, backbone=tiny_backbone)
    assert made.measured_on == "test"
    assert (made.train_images, made.validation_images, made.test_images) == (24, 9, 15)
    assert made.evaluation.images == 15
    assert made.evaluations["validation"].images == 9
    assert made.accuracy == made.evaluations["test"].accuracy
    folded = finetune(tmp_path, backbone=tiny_backbone, folds=3)
    assert folded.measured_on == "test"
    assert folded.evaluations["folds"].images == folded.train_images


def remove(*paths):
    """A reporter that removes files as soon as the folder is scanned."""

    def report(progress):
        if progress.stage == "features" and progress.step == 0:
            for path in paths:
                path.unlink()

    return report


def test_an_image_that_disappears_during_the_run_is_listed(tmp_path, tiny_backbone):
    folder = draw_folder(tmp_path, 6)
    gone = folder / "red" / "0.png"
    made = finetune(folder, backbone=tiny_backbone, on_progress=remove(gone))
    assert [file.path for file in made.skipped] == [gone]
    assert made.forward_passes == 11
    assert made.train_images + made.validation_images == 11


def test_a_class_that_disappears_during_the_run_is_an_error_that_names_it(tmp_path, tiny_backbone):
    folder = draw_folder(tmp_path, 3)
    red = list((folder / "red").iterdir())
    with pytest.raises(FolderError, match="red"):
        finetune(folder, backbone=tiny_backbone, on_progress=remove(*red))


def test_a_validation_split_that_disappears_during_the_run_is_an_error(tmp_path, tiny_backbone):
    draw_folder(tmp_path / "train", 3)
    held_out = [
        path for name in ("blue", "red") for path in draw_class(tmp_path / "val" / name, name, 1)
    ]
    with pytest.raises(FolderError, match="validation"):
        finetune(tmp_path, backbone=tiny_backbone, on_progress=remove(*held_out))


def test_weights_that_are_not_finite_are_refused(folder):
    keras.utils.set_random_seed(7)
    network = build_compact(widths=(4,), depths=(1,))
    bias = network.get_layer("block1_conv1").bias
    bias.assign(np.full(bias.shape, np.inf))
    broken = Backbone(name="broken", model=network, input_size=32, source="a torn file")
    with pytest.raises(WeightsError, match=r"'broken'.*a torn file"):
        finetune(folder, backbone=broken)


def test_an_unknown_backbone_is_an_error_before_the_folder_is_read(tmp_path):
    with pytest.raises(BackboneError):
        finetune(tmp_path / "missing", backbone="no-such-network")


@pytest.mark.parametrize("names", [(), ("red",)])
def test_a_folder_without_two_classes_is_refused(tmp_path, tiny_backbone, names):
    with pytest.raises(FolderError):
        finetune(draw_folder(tmp_path, 3, names), backbone=tiny_backbone)


def test_a_classifier_file_is_a_backbone(folder, made, tiny_backbone, tmp_path):
    path = made.classifier.save(tmp_path / "made.keras")
    again = finetune(folder, backbone=path)
    assert again.classifier.backbone["digest"] == tiny_backbone.digest
    assert head_of(made) == pytest.approx(head_of(again), abs=1e-5)


@pytest.mark.slow
def test_ants_and_bees_are_told_apart_with_one_pass_per_image(shared, tmp_path):
    weights = shared / "weights" / "mobilenet_0.75_224_notop.weights.h5"
    backbone = load_backbone("mobilenet-0.75", weights=weights)
    before = backbone.digest
    folder = link_photographs(shared / "data" / "hymenoptera", tmp_path, every=2)
    made = finetune(folder, backbone=backbone)
    assert made.forward_passes == made.train_images + made.validation_images == 200
    assert made.accuracy >= 0.92
    assert made.skipped == ()
    assert made.classifier.backbone["digest"] == before
    delivered = Backbone("delivered", made.classifier.model.get_layer("backbone"), 224, "")
    assert delivered.digest == before


def test_folds_predict_every_image_once_and_train_on_all(folder, tiny_backbone):
    events = []
    made = finetune(folder, backbone=tiny_backbone, folds=4, on_progress=events.append)
    assert (made.train_images, made.validation_images, made.folds) == (20, 0, 4)
    assert made.measured_on == "folds"
    assert made.evaluation.images == 20
    assert made.forward_passes == 20
    assert [event.step for event in events if event.stage == "folds"] == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def textures(tmp_path_factory):
    """Two classes with the same mean color: horizontal and vertical stripes."""
    root = tmp_path_factory.mktemp("textures")
    generator = np.random.default_rng(4)
    for name, axis in (("across", 0), ("along", 1)):
        (root / name).mkdir()
        for number in range(16):
            stripes = np.sin(np.arange(64) * generator.uniform(1.2, 1.8) + generator.uniform(0, 6))
            image = 0.5 + 0.3 * np.expand_dims(stripes, axis) + generator.normal(0, 0.1, (64, 64))
            levels = np.clip(255 * image, 0, 255).astype(np.uint8)
            Image.fromarray(levels).save(root / name / f"{number}.png")
    return root


def test_auto_chooses_the_features_with_the_best_cross_validation(textures, tiny_backbone):
    made = finetune(textures, backbone=tiny_backbone, features="auto")
    trials = made.selection.trials
    assert list(trials) == ["pooled", "pooled+statistics"]
    assert made.features == min(trials, key=lambda name: trials[name].log_loss)
    assert made.classifier.results["features"] == made.features
    assert made.forward_passes == 32


@pytest.mark.parametrize(("features", "views"), [("pooled", 3), ("pooled+statistics", 1)])
def test_the_delivered_model_scores_like_the_head(
    textures, tiny_backbone, tmp_path, features, views
):
    settings = FinetuneSettings(features=features, views=views)
    made = finetune(textures, backbone=tiny_backbone, settings=settings)
    loaded = keras.models.load_model(made.classifier.save(tmp_path / "textures.keras"))
    paths = [path for name in made.classes for path in sorted((textures / name).iterdir())]
    labels = [made.classes.index(path.parent.name) for path in paths]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    correct = (loaded(pixels).numpy().argmax(axis=1) == labels).sum()
    assert correct >= made.evaluations["validation"].accuracy * made.validation_images
    assert len(paths) == made.train_images + made.validation_images
    assert load_backbone(tmp_path / "textures.keras").digest == tiny_backbone.digest
    again = finetune(textures, backbone=tiny_backbone, settings=settings)
    saved = (tmp_path / "textures.keras").read_bytes()
    assert again.classifier.save(tmp_path / "again.keras").read_bytes() == saved


def test_a_cache_saves_all_forward_passes_and_changes_nothing(
    folder, content, tiny_backbone, tmp_path
):
    runs = [finetune(folder, backbone=tiny_backbone, cache=tmp_path / "cache") for _ in range(2)]
    assert [run.forward_passes for run in runs] == [20, 0]
    for number, run in enumerate(runs):
        assert run.classifier.save(tmp_path / f"{number}.keras").read_bytes() == content


def test_an_unwritable_cache_is_a_notice_and_not_an_error(folder, tiny_backbone, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    made = finetune(folder, backbone=tiny_backbone, cache=tmp_path / "cache")
    assert made.accuracy == 1
    assert any("memory" in notice for notice in made.notices)


def test_near_duplicates_are_in_the_same_split(textures, tiny_backbone, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(textures, root)
    for path in list(root.rglob("*.png")):
        Image.open(path).save(path.with_name(f"again-{path.stem}.jpg"), quality=90)
    made = finetune(root, backbone=tiny_backbone)
    scanned = scan_folder(root)
    held_out = {image.path for image in scanned.split("validation")}
    assert made.validation_images < len(held_out)
    assert made.train_images + made.validation_images == 64
    assert made.notices == ()


def test_test_images_that_are_also_training_images_are_a_notice(textures, tiny_backbone, tmp_path):
    shutil.copytree(textures, tmp_path / "train")
    for name in ("across", "along"):
        (tmp_path / "test" / name).mkdir(parents=True)
        shutil.copy(textures / name / "3.png", tmp_path / "test" / name / "copy.png")
    made = finetune(tmp_path, backbone=tiny_backbone)
    assert any("2 of the test images" in note for note in made.notices)


def test_balance_raises_the_bias_of_a_rare_class(tmp_path, tiny_backbone):
    draw_class(tmp_path / "blue", "blue", 30)
    draw_class(tmp_path / "red", "red", 4)
    biases = []
    for balance in (False, True):
        made = finetune(tmp_path, backbone=tiny_backbone, balance=balance)
        head = made.classifier.model.get_layer("head")
        logits = keras.Model(made.classifier.model.inputs[0], head.output)
        gray = np.full((1, 40, 40, 3), 128, np.uint8)
        blue, red = logits(gray).numpy()[0]
        biases.append(red - blue)
    assert biases[1] > biases[0]
