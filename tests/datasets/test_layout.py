"""Class folders, alone or below train, validation and test."""

import numpy as np
import pytest
from labeled_images import names, plant, ten_each

from nstk.datasets.catalogs import SPLIT_ORDER
from nstk.datasets.folders import scan_folder
from nstk.errors import FolderError, SettingsError

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


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("train", "val", "validation"),
        ("train", "valid", "validation"),
        ("Train", "Validate", "validation"),
        ("train", "dev", "validation"),
        ("train", "eval", "validation"),
        ("trainset", "validation-set", "validation"),
        ("Training", "Testing", "test"),
        ("training_set", "test_set", "test"),
        ("train_images", "test_images", "test"),
        ("images_train", "images_test", "test"),
        ("seg_train", "seg_test", "test"),
        ("train2017", "val2017", "validation"),
    ],
)
def test_split_folders_are_known_by_their_usual_names(tmp_path, train, other, split):
    images = [f"{place}/{name}" for place in (train, other) for name in ten_each("a", "b")]
    folder = scan_folder(plant(tmp_path, *images))
    assert folder.classes == ("a", "b")
    assert (folder.validation_source == "folder") == (split == "validation")
    assert {name.split("/")[0] for name in names(folder.split(split), tmp_path)} == {other}
    assert len(folder.split(split)) == 20


def test_three_split_folders(tmp_path):
    images = [
        f"{place}/{name}" for place in ("train", "val", "test") for name in ten_each("a", "b")
    ]
    folder = scan_folder(plant(tmp_path, *images))
    assert [len(folder.split(split)) for split in SPLIT_ORDER] == [20, 20, 20]


def test_a_split_folder_may_stand_in_one_of_its_own_name(tmp_path):
    images = [f"{place}/{place}/{name}" for place in ("training_set", "test_set")
              for name in ten_each("cats", "dogs")]  # fmt: skip
    folder = scan_folder(plant(tmp_path, *images))
    assert folder.classes == ("cats", "dogs")
    assert len(folder.split("test")) == 20


def test_folders_that_all_hold_the_same_subfolders_are_not_taken_for_classes(tmp_path):
    images = [f"{place}/{name}" for place in ("2019", "2020") for name in ten_each("cats", "dogs")]
    plant(tmp_path, *images)
    with pytest.raises(FolderError, match="cats/, dogs/") as caught:
        scan_folder(tmp_path)
    assert "\n" not in str(caught.value)
    plant(tmp_path, "2019/1.png", "2020/1.png")
    assert scan_folder(tmp_path).classes == ("2019", "2020")


def test_system_folders_are_left_out_with_a_notice(tmp_path):
    junk = ("$RECYCLE.BIN", "System Volume Information", "lost+found", ".ipynb_checkpoints")
    images = [*ten_each("a", "b"), *(f"{name}/1.png" for name in junk), ".git/1.png"]
    folder = scan_folder(plant(tmp_path / "flat", *images))
    assert folder.classes == ("a", "b")
    [notice] = folder.notices
    assert all(name in notice for name in junk)
    folder = scan_folder(plant(tmp_path / "split", *(f"train/{name}" for name in images)))
    assert "lost+found/" in folder.notices[0]


def test_small_classes_are_left_out_on_request(tmp_path):
    plant(tmp_path, *ten_each("b", "d"), "a/", "c/1.png")
    for least in (0, 1, 11):
        with pytest.raises(FolderError, match="min_images"):
            scan_folder(tmp_path, min_images=least)
    folder = scan_folder(tmp_path, min_images=2)
    assert folder.classes == ("b", "d")
    assert all(folder.classes[each.label] == each.path.parent.name for each in folder.images)
    assert folder.notices[0].endswith("a, c.")
    assert [file.path for file in folder.skipped] == [tmp_path / "c/1.png"]


@pytest.mark.parametrize("pattern", [r"(.+)_\d+", r"^(?P<label>[a-z ]+)_", r"photos/(.+)_\d+\."])
def test_labels_are_found_in_the_names_of_files(tmp_path, pattern):
    places = [f"photos/{name}_{k}.png" for name in ("wild bee", "ant") for k in range(5)]
    folder = scan_folder(plant(tmp_path, *places, "photos/7.png"), label_pattern=pattern)
    assert folder.classes == ("ant", "wild bee")
    assert all(image.path.name.startswith(folder.classes[image.label]) for image in folder.images)
    assert [file.path.name for file in folder.skipped] == ["7.png"]


def test_labels_in_names_go_with_split_folders(tmp_path):
    places = [f"{s}/{name}_{k}.png" for s in ("train", "val") for name in "ab" for k in range(3)]
    folder = scan_folder(plant(tmp_path, *places), label_pattern=r"(.)_\d")
    assert [len(folder.split(split)) for split in SPLIT_ORDER] == [6, 6, 0]


def test_patterns_that_cannot_find_a_label_are_refused(tmp_path):
    plant(tmp_path, "a_1.png")
    for pattern in ("a_", "(a", 7):
        with pytest.raises(SettingsError, match="label_pattern"):
            scan_folder(tmp_path, label_pattern=pattern)
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na_1.png,a\n")
    for data in (tmp_path, table, [(np.zeros((4, 3, 3), np.uint8), 1)]):
        with pytest.raises(FolderError, match="label_pattern"):
            scan_folder(data, label_pattern="(dog)")


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
