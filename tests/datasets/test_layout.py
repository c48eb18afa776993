"""Class folders, alone or below train, validation and test."""

import pytest
from labeled_images import names, plant, ten_each

from nstk.datasets.folders import scan_folder

# Layouts


def test_one_folder_per_class(tmp_path):
    folder = scan_folder(plant(tmp_path, *ten_each("cat", "dog")))
    assert folder.root == tmp_path
    assert folder.classes == ("cat", "dog")
    assert folder.skipped == ()
    assert folder.notices == ()
    assert folder.validation_source == "split"
    assert len(folder.split("train")) == 16
    assert len(folder.split("validation")) == 4
    assert folder.split("test") == ()
    for image in folder.images:
        assert folder.classes[image.label] == image.path.parent.name


def test_splits_may_be_called_training_and_testing(tmp_path):
    images = [f"{place}/{each}" for place in ("Training", "Testing") for each in ten_each("a", "b")]
    folder = scan_folder(plant(tmp_path, *images))
    assert folder.classes == ("a", "b")
    assert len(folder.split("test")) == 20


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
@pytest.mark.parametrize("with_test", [False, True])
def test_split_folders(tmp_path, validation, with_test):
    places = ["train", validation, *(["test"] if with_test else [])]
    images = [f"{place}/{name}" for place in places for name in ten_each("a", "b")]
    folder = scan_folder(plant(tmp_path, *images))
    assert folder.classes == ("a", "b")
    assert folder.validation_source == "folder"
    assert len(folder.split("train")) == len(folder.split("validation")) == 20
    assert {path.split("/")[0] for path in names(folder.split("validation"), tmp_path)} == {
        validation
    }
    assert len(folder.split("test")) == (20 if with_test else 0)


def test_with_only_a_test_folder_the_validation_split_comes_from_train(tmp_path):
    images = [f"{place}/{name}" for place in ("train", "test") for name in ten_each("a", "b")]
    folder = scan_folder(plant(tmp_path, *images))
    assert folder.validation_source == "split"
    assert len(folder.split("train")) == 16
    assert all(name.startswith("train/") for name in names(folder.split("validation"), tmp_path))
    assert len(folder.split("validation")) == 4
    assert all(name.startswith("test/") for name in names(folder.split("test"), tmp_path))
    assert len(folder.split("test")) == 20


def test_a_train_folder_alone_is_split(tmp_path):
    folder = scan_folder(plant(tmp_path, *(f"train/{name}" for name in ten_each("a", "b"))))
    assert folder.classes == ("a", "b")
    assert len(folder.split("validation")) == 4


def test_train_among_other_classes_is_a_class(tmp_path):
    folder = scan_folder(plant(tmp_path, *ten_each("bus", "car", "train")))
    assert folder.classes == ("bus", "car", "train")


def test_a_folder_that_is_not_a_split_is_left_out_with_a_notice(tmp_path):
    images = [
        f"{place}/{name}" for place in ("train", "val", "extra") for name in ten_each("a", "b")
    ]
    folder = scan_folder(plant(tmp_path, *images))
    assert len(folder.images) == 40
    assert "extra/" in folder.notices[0]


def test_a_test_folder_without_classes_is_left_out_with_a_notice(tmp_path):
    images = [f"train/{name}" for name in ten_each("a", "b")]
    folder = scan_folder(plant(tmp_path, *images, "test/1.png", "test/2.png"))
    assert folder.split("test") == ()
    assert "no labels" in folder.notices[0]


def test_a_class_that_is_missing_in_a_split_is_a_notice(tmp_path):
    images = [f"train/{name}" for name in ten_each("a", "b")]
    folder = scan_folder(plant(tmp_path, *images, "val/a/1.png", "test/a/1.png", "test/b/"))
    assert [image.label for image in folder.split("validation")] == [0]
    assert "validation split has no image of b" in folder.notices[0]
    assert "test split has no image of b" in folder.notices[1]


def test_accents_may_be_encoded_differently_in_each_split(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    images = [*(f"train/{name}" for name in ten_each(composed, "tea"))]
    folder = scan_folder(plant(tmp_path, *images, f"val/{decomposed}/1.png", "val/tea/1.png"))
    assert folder.classes == (composed, "tea")
    assert len(folder.split("validation")) == 2
