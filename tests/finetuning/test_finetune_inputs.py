"""Images in memory give the result of images in folders; invalid ones are refused."""

import dataclasses
import gc
import json
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from labeled_images import COLORS, SIZES, draw_image
from PIL import Image as PILImage

from nstk.auditing.job import audit
from nstk.classifiers.evaluation.job import evaluate
from nstk.datasets.arrays import catalog_arrays
from nstk.datasets.folders import scan_folder
from nstk.errors import FolderError, ModelError
from nstk.features.crops import choose_size
from nstk.finetuning.job import finetune
from nstk.finetuning.replay import replay, save_manifest
from nstk.settings import FinetuneSettings

NAMES = ("blue", "red")


def draw(count: int = 10, sizes=((40, 40),)):
    """Images of two colors in the order of class folders, and their labels."""
    labels = np.repeat([0, 1], count // 2)
    images = [
        draw_image(COLORS[NAMES[label]], *sizes[index % len(sizes)], seed=index + 100 * count)
        for index, label in enumerate(labels)
    ]
    return images, labels


@pytest.fixture(scope="module")
def splits():
    """Images of several sizes for training and validation."""
    return {"train": draw(12, SIZES), "validation": draw(8, SIZES)}


@pytest.fixture(scope="module")
def from_folder(splits, tiny_backbone, tmp_path_factory):
    """The result of the same images in a folder."""
    root = tmp_path_factory.mktemp("folder")
    for split, (images, labels) in splits.items():
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = root / split / NAMES[label] / f"{index}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            PILImage.fromarray(image).save(place)
    return finetune(root, backbone=tiny_backbone)


def stream(images, labels, kind=tf.uint8):
    """A dataset that yields one image of its own size after the other."""
    return tf.data.Dataset.from_generator(
        lambda: zip(images, labels, strict=True),
        output_signature=(tf.TensorSpec((None, None, 3), kind), tf.TensorSpec((), tf.int64)),
    )


def to_floats(images, labels):
    return stream([image.astype(np.float32) for image in images], labels, tf.float32)


def to_rows(images, labels):
    return images, np.eye(2)[labels]


def to_pairs(images, labels):
    return list(zip(images, labels, strict=True))


@pytest.mark.parametrize("convert", [stream, to_floats, to_rows, to_pairs])
def test_images_in_memory_give_the_head_of_a_folder(splits, from_folder, tiny_backbone, convert):
    data = {split: convert(*images) for split, images in splits.items()}
    made = finetune(data, class_names=NAMES, backbone=tiny_backbone)
    assert made.selection.head.digest == from_folder.selection.head.digest
    assert made.evaluation == from_folder.evaluation
    assert made.classes == NAMES
    assert isinstance(made.classifier.model, keras.Model)


@pytest.mark.parametrize("batch", [None, 3])
def test_batches_change_nothing(tiny_backbone, batch):
    images, labels = draw()
    data = tf.data.Dataset.from_tensor_slices((np.stack(images), labels))
    made = finetune(data.batch(batch) if batch else data, backbone=tiny_backbone)
    alone = finetune((images, labels), class_names=["0", "1"], backbone=tiny_backbone)
    assert made.classes == ("0", "1")
    assert made.selection.head.digest == alone.selection.head.digest
    assert (made.train_images, made.validation_images) == (8, 2)


@pytest.mark.parametrize("mode", ["int", "categorical", "binary"])
def test_a_keras_dataset_has_class_names_and_three_label_modes(tmp_path, tiny_backbone, mode):
    images, labels = draw()
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / NAMES[label] / f"{index}.png"
        place.parent.mkdir(exist_ok=True)
        PILImage.fromarray(image).save(place)
    data = keras.utils.image_dataset_from_directory(
        tmp_path, label_mode=mode, image_size=(40, 40), batch_size=4, shuffle=False, verbose=False
    )
    made = finetune(data, backbone=tiny_backbone, settings=FinetuneSettings(folds=2))
    assert made.classes == NAMES
    assert made.accuracy == 1


def test_rows_with_several_ones_are_several_labels(tiny_backbone):
    images, labels = draw(20)
    rows = np.stack([labels == 0, labels == 1, np.arange(20) % 2 == 0], axis=1)
    names = [*NAMES, "even"]
    made = finetune((images, rows), class_names=names, backbone=tiny_backbone)
    assert made.classifier.multi_label
    assert list(made.thresholds) == names


def test_only_one_batch_is_in_memory_at_a_time():
    alive = 0
    most = 0

    class Image(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def images():
        nonlocal alive, most
        for index in range(60):
            image = np.full((32, 32, 3), index, np.uint8).view(Image)
            alive += 1
            most = max(most, alive)
            yield image, index % 2

    catalog = catalog_arrays(images())
    gc.collect()
    assert len(catalog.images) == 60
    assert most <= 3


def test_the_private_folder_is_deleted_with_its_catalog():
    catalog = catalog_arrays(draw())
    place = catalog.unpacked.path
    assert place.stat().st_mode & 0o077 == 0
    stored = np.asarray(PILImage.open(catalog.images[0].path))
    assert np.array_equal(stored, draw()[0][0])
    del catalog
    gc.collect()
    assert not place.exists()


def test_audit_and_evaluate_take_images_in_memory(splits, from_folder, tiny_backbone):
    found = audit(splits["train"], class_names=NAMES, backbone=tiny_backbone)
    assert found.images == 12
    measured = evaluate(from_folder.classifier, splits["validation"])
    assert measured.evaluation == from_folder.evaluation
    assert str(measured.top_losses[0].path).startswith("images from memory")
    assert measured.notices == ()
    images, labels = splits["validation"]
    [notice] = evaluate(from_folder.classifier, (images[:3], labels[:3])).notices
    assert "class names" in notice


def test_labels_in_the_names_of_files_are_learned_evaluated_and_audited(tmp_path, tiny_backbone):
    images, labels = draw()
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        PILImage.fromarray(image).save(tmp_path / f"{NAMES[label]}_{index}.png")
    PILImage.fromarray(images[0]).save(tmp_path / "green_0.png")
    pattern = r"(.+)_\d"
    made = finetune(tmp_path, label_pattern=pattern, min_images=2, backbone=tiny_backbone)
    assert made.classes == NAMES
    assert any("green" in notice for notice in made.notices)
    measured = evaluate(made.classifier, tmp_path, label_pattern=pattern)
    assert (measured.evaluation.images, measured.extra) == (10, ("green",))
    assert audit(tmp_path, label_pattern=pattern, backbone=tiny_backbone).images == 11


def test_a_run_on_images_in_memory_is_repeated_with_the_same_images(
    splits, tiny_backbone, tmp_path, monkeypatch
):
    monkeypatch.setattr("nstk.finetuning.replay.load_backbone", lambda name, **_: tiny_backbone)
    made = finetune(splits, class_names=NAMES, backbone=tiny_backbone)
    record = save_manifest(made, tmp_path / "m.json", backbone="tiny")
    assert json.loads(record.read_text())["given"]["data"] is None
    assert replay(record, data=splits, class_names=NAMES).differences == ()
    halves = {
        split: ([2 * image.astype(np.float32) for image in images], labels)
        for split, (images, labels) in splits.items()
    }
    again = replay(record, data=halves, class_names=NAMES, value_range=(0, 510))
    assert again.result.selection.head.digest == made.selection.head.digest
    with pytest.raises(ModelError, match=r"m\.json"):
        replay(record)


def endless(images, labels):
    return tf.data.Dataset.from_tensor_slices((np.stack(images), labels)).repeat()


ODD = [
    (lambda images, labels: (images, labels[:-1]), "10 with 9 labels"),
    (lambda images, labels: (np.stack(images) / 255, labels), "no greater than 1"),
    (lambda images, labels: (np.stack(images) * 2.0, labels), "value_range"),
    (lambda images, labels: (np.stack(images) * np.nan, labels), "value_range"),
    (lambda images, labels: (np.stack(images)[..., :1], labels), r"\(40, 40, 1\)"),
    (lambda images, labels: (images, labels + 0.5), "whole numbers"),
    (lambda images, labels: (images, labels - 1), "the label -1"),
    (lambda images, labels: (images, labels + 1), "labels up to 2"),
    (lambda images, labels: (images, np.eye(3)[labels]), "labels up to 2"),
    (lambda images, labels: (images, np.eye(2)[labels] * 2), "only 0 and 1"),
    (lambda images, labels: (images, ["blue"] * 10), "whole numbers"),
    (lambda images, labels: [], "are none"),
    (lambda images, labels: tf.data.Dataset.from_tensor_slices(np.stack(images)), "without labels"),
    (lambda images, labels: {"valid": (images, labels)}, "train is required"),
    (lambda images, labels: {"train": (images, labels), "exam": 0}, "train, exam"),
    (
        lambda images, labels: dict.fromkeys(["train", "val", "Valid"], (images, labels)),
        "each once",
    ),
    (lambda images, labels: 7, "of type int"),
    (endless, "infinite"),
    (lambda images, labels: (images, labels * 0), "class red has 0 usable images"),
]


def test_split_names_are_case_insensitive():
    given = draw()
    assert catalog_arrays({"Train": given, "VAL": given}).splits == {"train", "validation"}
    assert catalog_arrays({"train": given, "Test": given}).splits == {"train", "test"}


@pytest.mark.parametrize(("make", "named"), ODD, ids=[named for _, named in ODD])
def test_invalid_images_and_labels_are_refused_in_one_line(make, named):
    with pytest.raises(FolderError, match=named) as caught:
        scan_folder(make(*draw()), class_names=NAMES)
    assert "\n" not in str(caught.value)
    assert tempfile.gettempdir() not in str(caught.value)


def test_class_names_are_only_for_images_in_memory(tmp_path):
    with pytest.raises(FolderError, match="class_names"):
        scan_folder(tmp_path, class_names=NAMES)


def test_a_full_disk_is_an_error_that_names_tmpdir(monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PILImage.Image, "save", refuse)
    with pytest.raises(FolderError, match="TMPDIR"):
        catalog_arrays(draw())


@pytest.mark.parametrize(
    ("side", "trained", "chosen"),
    [(64, 224, 160), (32, 224, 160), (90, 224, 224), (500, 224, 224), (20, 96, 64), (9, 32, 32)],
)
def test_auto_size_is_smaller_for_small_images(tmp_path, tiny_backbone, side, trained, chosen):
    for index in range(5):
        image = np.zeros((side, side + index, 3), np.uint8)
        PILImage.fromarray(image).save(tmp_path / f"{index}.png")
    paths = [*sorted(tmp_path.iterdir()), tmp_path / "missing.png"]
    backbone = dataclasses.replace(tiny_backbone, input_size=trained)
    assert choose_size(backbone, paths) == chosen
    assert choose_size(backbone, []) == trained


def test_the_chosen_size_is_that_of_the_classifier(tiny_backbone):
    backbone = dataclasses.replace(tiny_backbone, input_size=160)
    made = finetune(draw(), backbone=backbone)
    assert made.classifier.size == 128
    chosen = finetune(draw(), backbone=backbone, settings=FinetuneSettings(size=48))
    assert chosen.classifier.size == 48
