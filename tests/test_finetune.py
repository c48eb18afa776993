"""Fine-tuning from a folder to a classifier: one pass each, an honest number, the same bytes."""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest
from labelled_pictures import draw_class, draw_folder
from PIL import Image

from nstk.backbones.backbone import Backbone
from nstk.backbones.compact import build_compact
from nstk.backbones.loading import load_backbone
from nstk.errors import BackboneError, FolderError, WeightsError
from nstk.finetuning.evaluation import wilson_interval
from nstk.finetuning.job import finetune
from nstk.settings import FinetuneSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of ten pictures each, and two files that are no pictures."""
    root = draw_folder(tmp_path_factory.mktemp("data"), 10)
    (root / "red" / "notes.txt").write_text("not a picture")
    (root / "blue" / "cut.png").write_bytes((root / "blue" / "0.png").read_bytes()[:200])
    return root


@pytest.fixture(scope="module")
def made(folder, tiny_backbone):
    return finetune(folder, backbone=tiny_backbone)


def test_every_picture_passes_through_the_network_once(made):
    assert made.forward_passes == 20
    assert (made.train_images, made.validation_images, made.test_images) == (16, 4, 0)


def test_what_is_no_picture_is_listed_and_left_out(made):
    assert sorted(file.path.name for file in made.skipped) == ["cut.png", "notes.txt"]
    assert all(file.reason for file in made.skipped)


def test_colours_are_told_apart(made):
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
    for part, count in (("train", 8), ("val", 3), ("test", 5)):
        draw_folder(tmp_path / part, count, ("blue", "green", "red"))
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


def test_a_picture_that_goes_while_running_is_listed(tmp_path, tiny_backbone):
    folder = draw_folder(tmp_path, 6)
    gone = folder / "red" / "0.png"
    made = finetune(folder, backbone=tiny_backbone, on_progress=vanish(gone))
    assert [file.path for file in made.skipped] == [gone]
    assert made.forward_passes == 11
    assert made.train_images + made.validation_images == 11


def test_a_class_that_goes_while_running_is_an_error_that_names_it(tmp_path, tiny_backbone):
    folder = draw_folder(tmp_path, 3)
    red = list((folder / "red").iterdir())
    with pytest.raises(FolderError, match="red has no picture left"):
        finetune(folder, backbone=tiny_backbone, on_progress=vanish(*red))


def test_a_part_to_check_with_that_goes_while_running_is_an_error(tmp_path, tiny_backbone):
    draw_folder(tmp_path / "train", 3)
    held_out = [
        path for name in ("blue", "red") for path in draw_class(tmp_path / "val" / name, name, 1)
    ]
    with pytest.raises(FolderError, match="the part to check with has no picture left"):
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
