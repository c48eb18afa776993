"""Fine-tuning from a folder to a classifier: one pass each, an honest number, the same bytes."""

import dataclasses
import json
import os
import shutil
import zipfile

import keras
import numpy as np
import pytest
from labeled_images import draw_class, draw_folder
from PIL import Image

from nstk.backbones.backbone import Backbone
from nstk.backbones.compact import build_compact
from nstk.backbones.loading import load_backbone
from nstk.classifiers.classifier import load_classifier
from nstk.classifiers.run_records import read_record, save_manifest
from nstk.datasets.folders import scan_folder
from nstk.errors import BackboneError, FolderError, WeightsError
from nstk.finetuning.job import finetune
from nstk.heads.metrics import wilson_interval
from nstk.settings import FinetuneSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of ten images each, and two files that are no images."""
    root = draw_folder(tmp_path_factory.mktemp("data"), 10)
    (root / "red" / "notes.txt").write_text("not an image")
    (root / "blue" / "cut.png").write_bytes((root / "blue" / "0.png").read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def made(folder, tiny_backbone):
    return finetune(folder, backbone=tiny_backbone)


def test_every_image_passes_through_the_network_once(made):
    assert made.forward_passes == 20
    assert (made.train_images, made.validation_images, made.test_images) == (16, 4, 0)


def test_what_is_no_image_is_listed_and_left_out(made):
    assert sorted(file.path.name for file in made.skipped) == ["cut.png", "notes.txt"]
    assert all(file.reason for file in made.skipped)


def test_colors_are_told_apart(made):
    assert made.classes == ("blue", "red")
    assert made.accuracy == 1.0
    assert made.accuracy_interval == wilson_interval(4, 4)
    assert made.measured_on == "validation"


def test_the_accuracy_is_that_of_the_delivered_model(folder, tiny_backbone):
    events = []
    made = finetune(folder, backbone=tiny_backbone, on_progress=events.append)
    assert [event.stage for event in events if event.step == 0] == ["scan", "features", "head"]
    classifier = made.classifier
    right = 0
    for score in made.evaluation.per_class:
        for path in sorted((folder / score.name).glob("[0-9].*")):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            answer = classifier.model(pixels[np.newaxis]).numpy()[0]
            right += classifier.classes[answer.argmax()] == score.name
    assert right == 20


def test_seconds_are_those_of_the_stages(made):
    assert list(made.seconds) == ["scan", "features", "head", "total"]
    assert all(seconds > 0 for seconds in made.seconds.values())
    assert sum(made.seconds.values()) <= 2 * made.seconds["total"] + 1e-9


def test_the_backbone_is_frozen(folder, tiny_backbone):
    before = dataclasses.replace(tiny_backbone).digest
    finetune(folder, backbone=tiny_backbone)
    assert dataclasses.replace(tiny_backbone).digest == before


def test_the_same_input_gives_the_same_bytes(folder, made, tiny_backbone, tmp_path):
    again = finetune(folder, backbone=tiny_backbone)
    first = made.classifier.save(tmp_path / "first.keras").read_bytes()
    assert again.classifier.save(tmp_path / "second.keras").read_bytes() == first


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


def test_names_of_files_that_are_no_text_stand_in_the_card_and_in_the_record(
    tmp_path, tiny_backbone
):
    root = draw_folder(tmp_path / "data", 4)
    odd = (root / "red" / "0.png").rename(root / "red" / os.fsdecode(b"\xfc.png"))
    backbone = dataclasses.replace(tiny_backbone, source=os.fsdecode(b"\xfc.h5"))
    made = finetune(root, backbone=backbone)
    path = made.classifier.save(tmp_path / "model.keras")
    assert load_classifier(path).backbone["source"] == backbone.source
    record = read_record(save_manifest(made, tmp_path / "model.json", backbone="tiny"))
    assert f"red/{odd.name}" in {file["path"] for file in record["files"]}


def test_size_is_the_side_that_the_network_sees(folder, tiny_backbone):
    made = finetune(folder, backbone=tiny_backbone, settings=FinetuneSettings(size=48))
    assert made.classifier.size == 48
    assert made.classifier.model.get_layer("backbone").input_shape[1:3] == (None, None)
    assert made.classifier.model.get_layer("square").output.shape[1:] == (48, 48, 3)


def test_the_seed_decides_the_split(folder, tiny_backbone, made, tmp_path):
    other = finetune(folder, backbone=tiny_backbone, settings=FinetuneSettings(seed=1))
    kernels = [each.classifier.model.get_layer("head").get_weights()[0] for each in (made, other)]
    assert not np.array_equal(*kernels)


def test_a_test_part_is_what_the_accuracy_is_measured_on(tmp_path, tiny_backbone):
    for split, count in (("train", 8), ("val", 3), ("test", 5)):
        draw_folder(tmp_path / split, count, ("blue", "green", "red"))
    made = finetune(tmp_path, backbone=tiny_backbone)
    assert made.measured_on == "test"
    assert (made.train_images, made.validation_images, made.test_images) == (24, 9, 15)
    assert made.evaluation.images == 15
    assert made.evaluations["validation"].images == 9
    assert made.accuracy == made.evaluations["test"].accuracy


def vanish(*paths):
    """Listen to a job, and remove files as soon as it has scanned the folder."""

    def listen(progress):
        if progress.stage == "features" and progress.step == 0:
            for path in paths:
                path.unlink()

    return listen


def test_a_image_that_goes_while_running_is_listed(tmp_path, tiny_backbone):
    folder = draw_folder(tmp_path, 6)
    gone = folder / "red" / "0.png"
    made = finetune(folder, backbone=tiny_backbone, on_progress=vanish(gone))
    assert [file.path for file in made.skipped] == [gone]
    assert made.forward_passes == 11
    assert made.train_images + made.validation_images == 11


def test_a_class_that_goes_while_running_is_an_error_that_names_it(tmp_path, tiny_backbone):
    folder = draw_folder(tmp_path, 3)
    red = list((folder / "red").iterdir())
    with pytest.raises(FolderError, match="red has no image left"):
        finetune(folder, backbone=tiny_backbone, on_progress=vanish(*red))


def test_a_part_to_check_with_that_goes_while_running_is_an_error(tmp_path, tiny_backbone):
    draw_folder(tmp_path / "train", 3)
    held_out = [
        path for name in ("blue", "red") for path in draw_class(tmp_path / "val" / name, name, 1)
    ]
    with pytest.raises(FolderError, match="the part to check with has no image left"):
        finetune(tmp_path, backbone=tiny_backbone, on_progress=vanish(*held_out))


def test_weights_that_are_no_numbers_are_refused(folder):
    keras.utils.set_random_seed(7)
    network = build_compact(widths=(4,), depths=(1,))
    bias = network.get_layer("block1_conv1").bias
    bias.assign(np.full(bias.shape, np.inf))
    broken = Backbone(name="broken", model=network, input_size=32, source="a torn file")
    with pytest.raises(WeightsError, match=r"'broken'.*a torn file"):
        finetune(folder, backbone=broken)


def test_a_wrong_name_is_found_out_before_the_folder_is_read(tmp_path):
    with pytest.raises(BackboneError):
        finetune(tmp_path / "missing", backbone="no-such-network")


@pytest.mark.parametrize("names", [(), ("red",)])
def test_a_folder_without_two_classes_is_refused(tmp_path, tiny_backbone, names):
    with pytest.raises(FolderError):
        finetune(draw_folder(tmp_path, 3, names), backbone=tiny_backbone)


def test_a_classifier_lends_its_backbone_to_the_next_one(folder, made, tiny_backbone, tmp_path):
    path = made.classifier.save(tmp_path / "made.keras")
    again = finetune(folder, backbone=path)
    assert again.classifier.backbone["digest"] == tiny_backbone.digest
    kernels = [each.classifier.model.get_layer("head").get_weights()[0] for each in (made, again)]
    assert kernels[0] == pytest.approx(kernels[1], abs=1e-5)


@pytest.mark.slow
def test_ants_and_bees_are_told_apart_in_one_pass_each(shared):
    weights = shared / "weights" / "mobilenet_0.75_224_notop.weights.h5"
    before = load_backbone("mobilenet-0.75", weights=weights).digest
    made = finetune(shared / "data" / "hymenoptera", backbone="mobilenet-0.75", weights=weights)
    assert (made.train_images, made.validation_images) == (244, 153)
    assert made.forward_passes == 397
    assert made.accuracy >= 0.92
    assert made.skipped == ()
    assert made.classifier.backbone["digest"] == before
    delivered = Backbone("delivered", made.classifier.model.get_layer("backbone"), 224, "")
    assert delivered.digest == before


def test_folds_leave_every_image_out_once_and_learn_from_all(folder, tiny_backbone):
    events = []
    settings = FinetuneSettings(folds=4)
    made = finetune(folder, backbone=tiny_backbone, settings=settings, on_progress=events.append)
    assert (made.train_images, made.validation_images, made.folds) == (20, 0, 4)
    assert made.measured_on == "folds"
    assert made.evaluation.images == 20
    assert made.forward_passes == 20
    assert [event.step for event in events if event.stage == "folds"] == [0, 1, 2, 3, 4]


def test_a_test_part_outweighs_folds(tmp_path, tiny_backbone):
    for split, count in (("train", 6), ("test", 4)):
        draw_folder(tmp_path / split, count)
    made = finetune(tmp_path, backbone=tiny_backbone, settings=FinetuneSettings(folds=3))
    assert made.measured_on == "test"
    assert made.evaluations["folds"].images == made.train_images == 12


@pytest.fixture(scope="module")
def textures(tmp_path_factory):
    """Two classes of one mean color: fine stripes this way and that."""
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


def test_what_the_head_sees_is_chosen_by_training_images_left_out(textures, tiny_backbone):
    settings = FinetuneSettings(features="auto")
    made = finetune(textures, backbone=tiny_backbone, settings=settings)
    trials = made.selection.trials
    assert list(trials) == ["pooled", "pooled+statistics"]
    assert made.features == min(trials, key=lambda name: trials[name].log_loss)
    assert made.classifier.results["features"] == made.features
    assert made.forward_passes == 32


@pytest.mark.parametrize("features", ["pooled", "pooled+statistics"])
@pytest.mark.parametrize("views", [1, 3])
def test_the_delivered_model_scores_as_the_head_did(
    textures, tiny_backbone, tmp_path, features, views
):
    settings = FinetuneSettings(features=features, views=views)
    made = finetune(textures, backbone=tiny_backbone, settings=settings)
    loaded = keras.models.load_model(made.classifier.save(tmp_path / "textures.keras"))
    right = total = 0
    for label, name in enumerate(made.classes):
        for path in sorted((textures / name).iterdir()):
            pixels = np.asarray(Image.open(path).convert("RGB"))[np.newaxis]
            right += loaded(pixels).numpy().argmax() == label
            total += 1
    of_all = made.evaluations["validation"].accuracy * made.validation_images
    assert right >= of_all
    assert total == made.train_images + made.validation_images
    assert load_backbone(tmp_path / "textures.keras").digest == tiny_backbone.digest
    again = finetune(textures, backbone=tiny_backbone, settings=settings)
    saved = (tmp_path / "textures.keras").read_bytes()
    assert again.classifier.save(tmp_path / "again.keras").read_bytes() == saved


def test_a_cache_changes_nothing_but_the_work(folder, tiny_backbone, tmp_path):
    without = finetune(folder, backbone=tiny_backbone)
    runs = [finetune(folder, backbone=tiny_backbone, cache=tmp_path / "cache") for _ in range(2)]
    assert [run.forward_passes for run in runs] == [20, 0]
    saved = [
        run.classifier.save(tmp_path / f"{number}.keras").read_bytes()
        for number, run in enumerate([without, *runs])
    ]
    assert saved[0] == saved[1] == saved[2]


def test_a_cache_that_cannot_be_written_is_told_and_no_error(folder, tiny_backbone, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    made = finetune(folder, backbone=tiny_backbone, cache=tmp_path / "cache")
    assert made.accuracy == 1
    assert any("memory only" in notice for notice in made.notices)


def test_images_that_are_nearly_the_same_stay_on_one_side(textures, tiny_backbone, tmp_path):
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


def test_test_images_that_were_learned_from_are_told(textures, tiny_backbone, tmp_path):
    shutil.copytree(textures, tmp_path / "train")
    for name in ("across", "along"):
        (tmp_path / "test" / name).mkdir(parents=True)
        shutil.copy(textures / name / "3.png", tmp_path / "test" / name / "copy.png")
    made = finetune(tmp_path, backbone=tiny_backbone)
    assert any("2 of the test images are nearly the same" in note for note in made.notices)


def test_balance_is_fair_to_a_rare_class(tmp_path, tiny_backbone):
    draw_class(tmp_path / "blue", "blue", 30)
    draw_class(tmp_path / "red", "red", 4)
    biases = []
    for balance in (False, True):
        settings = FinetuneSettings(balance=balance)
        made = finetune(tmp_path, backbone=tiny_backbone, settings=settings)
        head = made.classifier.model.get_layer("head")
        features = keras.Model(made.classifier.model.inputs[0], head.output)
        gray = np.full((1, 40, 40, 3), 128, np.uint8)
        blue, red = features(gray).numpy()[0]
        biases.append(red - blue)
    assert biases[1] > biases[0]
