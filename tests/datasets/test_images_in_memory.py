"""Images from memory: which labels they have, in whichever form they come."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from labeled_images import plant

from nstk.classifiers.evaluation.label_matching import match_classes
from nstk.datasets.catalogs import DataSettings
from nstk.datasets.folders import scan_folder
from nstk.datasets.sources import open_catalog
from nstk.errors import FolderError

IMAGES = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.full((5, 4, 3), 30, np.uint8)
LABELS = np.arange(8) % 2


class Dataset:
    """Images of 0 and 1 whose labels stand for names, as those of Keras's datasets do."""

    def __init__(self, labels, class_names=None):
        self.labels = labels
        if class_names is not None:
            self.class_names = class_names

    def __iter__(self):
        return iter([(IMAGES[number], label) for number, label in enumerate(self.labels)])


def labels_of(catalog, split="train"):
    """The names of the labels of each image, in the order in which they were given."""
    images = [image for image in catalog.images if image.split == split]
    images.sort(key=lambda image: image.path)
    return [[catalog.classes[label] for label in image.labels] for image in images]


# Names


def keras_dataset(root, *classes):
    plant(root, *(f"{name}/{number}.png" for name in classes for number in range(2)))
    return keras.utils.image_dataset_from_directory(
        root, image_size=(3, 4), shuffle=False, batch_size=3, verbose=False
    )


def test_labels_of_a_keras_dataset_are_matched_by_their_names(tmp_path):
    classes = [str(number) for number in range(11)]
    found = match_classes(keras_dataset(tmp_path / "all", *classes), classes)
    assert found.catalog.classes == tuple(sorted(classes))
    assert [classes[label] for _, (label,) in found.files] == sorted(classes * 2)
    lacks = keras_dataset(tmp_path / "lacks", *(name for name in classes if name != "1"))
    found = match_classes(lacks, classes)
    assert (found.missing, found.extra, found.catalog.notices) == (("1",), (), ())
    assert [classes[label] for _, (label,) in found.files][:6] == ["0", "0", "10", "10", "2", "2"]


def test_a_split_that_lacks_a_class_does_not_shift_the_others():
    data = {
        "train": Dataset([0, 1, 2, 0, 1, 2], ["ant", "bee", "fly"]),
        "test": Dataset([0, 1, 1], ["ant", "fly"]),
    }
    for settings, names in (
        (DataSettings(), ("ant", "bee", "fly")),
        (DataSettings(class_names=["A", "B", "F"]), ("A", "B", "F")),
    ):
        catalog = open_catalog(data, settings)
        assert catalog.classes == names
        assert labels_of(catalog, "test") == [[names[0]], [names[2]], [names[2]]]
        assert catalog.notices == ()
    with pytest.raises(FolderError, match="wasp"):
        open_catalog({"train": data["train"], "test": Dataset([0], ["wasp"])})
    with pytest.raises(FolderError, match="3 classes of their own"):
        open_catalog(data, DataSettings(class_names=["A", "B"]))


def test_what_was_assumed_about_labels_without_names_is_a_notice():
    named = Dataset([0, 1, 2], ["ant", "bee", "fly"])
    catalog = open_catalog({"train": named, "test": Dataset([0, 1])})
    assert labels_of(catalog, "test") == [["ant"], ["bee"]]
    [notice] = catalog.notices
    assert "ant, bee." in notice
    assert open_catalog({"train": Dataset([0, 1]), "test": Dataset([1, 0])}).notices == ()
    assert len(open_catalog({"train": Dataset([0, 1]), "test": Dataset([0])}).notices) == 1
    for classes, count in ((("ant", "bee"), 0), (("ant", "bee", "fly"), 1), (("2", "10"), 1)):
        found = match_classes(Dataset([0, 1]), classes)
        assert [labels for _, labels in found.files] == [(0,), (1,)]
        assert len(found.catalog.notices) == count
        given = DataSettings(class_names=classes)
        assert match_classes(Dataset([0, 1]), classes, given).catalog.notices == ()


def test_an_evaluation_takes_classes_that_the_classifier_lacks():
    found = match_classes(Dataset([0, 1, 1], ["wasp", "bee"]), ("ant", "bee"))
    assert (found.missing, found.extra) == (("ant",), ("wasp",))
    assert [labels for _, labels in found.files] == [(1,), (1,)]
    assert match_classes({"test": (IMAGES, LABELS)}, ("ant", "bee")).missing == ()


# Forms


def as_dataset(*columns):
    return tf.data.Dataset.from_tensor_slices(columns)


FORMS = {
    "arrays": (IMAGES, LABELS),
    "a list of arrays": [IMAGES, LABELS],
    "images of two sizes": ([*IMAGES[:7], IMAGES[7, :3]], LABELS),
    "eight pairs": list(zip(IMAGES, LABELS, strict=True)),
    "two batches": [(IMAGES[:5], LABELS[:5]), (IMAGES[5:], LABELS[5:])],
    "three batches": [(IMAGES[a:b], LABELS[a:b]) for a, b in ((0, 3), (3, 6), (6, 8))],
    "two batches of tensors": list(as_dataset(IMAGES, LABELS).batch(4)),
    "weights": (IMAGES, LABELS, np.ones(8)),
    "two weighted batches": [(IMAGES[a:b], LABELS[a:b], np.ones(4)) for a, b in ((0, 4), (4, 8))],
    "a mapping": {"image": IMAGES, "label": LABELS},
    "mappings": [{"image": i, "label": k, "id": "x"} for i, k in zip(IMAGES, LABELS, strict=True)],
    "a dataset of mappings": tf.data.Dataset.from_tensor_slices(
        {"image": IMAGES, "label": LABELS}).batch(3),
    "a weighted dataset": as_dataset(IMAGES, LABELS, np.ones(8)).batch(3),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_images_and_labels_come_in_many_forms(form):
    catalog = open_catalog(FORMS[form])
    assert labels_of(catalog) == [[str(label)] for label in LABELS]
    assert catalog.notices == ()


def test_two_single_pairs_are_two_images():
    pairs = [(IMAGES[0], 0), (IMAGES[1], 1)]
    assert labels_of(open_catalog(pairs)) == [["0"], ["1"]]
    rows = [(IMAGES[0], [0, 1]), (IMAGES[1], [1, 0])]
    assert labels_of(open_catalog(rows)) == [["1"], ["0"]]
    assert labels_of(open_catalog(([IMAGES[0], IMAGES[1]], [1, 0]))) == [["1"], ["0"]]


def test_two_datasets_are_training_and_validation():
    pair = [as_dataset(IMAGES[:6], LABELS[:6]), as_dataset(IMAGES[6:], LABELS[6:])]
    catalog = open_catalog(pair)
    assert labels_of(catalog, "validation") == [["0"], ["1"]]
    assert "validation" in catalog.notices[0]


def test_sample_weights_are_not_used_with_a_notice():
    [notice] = open_catalog(as_dataset(IMAGES, LABELS, np.linspace(1, 2, 8))).notices
    assert "weights" in notice


def test_forms_without_labels_are_refused():
    for data in (
        [IMAGES[0], IMAGES[1]],
        [IMAGES[0], IMAGES[1], IMAGES[2]],
        as_dataset(IMAGES),
        [{"image": IMAGES[0]}],
        (IMAGES, LABELS, LABELS, LABELS),
    ):
        with pytest.raises(FolderError, match="without labels"):
            open_catalog(data)
    for data, words in (((IMAGES, LABELS, [1.0]), "1 weights"), ((IMAGES, -LABELS), "label -1")):
        with pytest.raises(FolderError, match=words):
            open_catalog(data)


def test_a_small_class_from_memory_is_left_out_on_request():
    data = Dataset([0, 1, 2, 0, 2], ["ant", "bee", "fly"])
    folder = scan_folder(data, min_images=2)
    assert folder.classes == ("ant", "fly")
    assert sorted(image.label for image in folder.images) == [0, 0, 1, 1]
