"""A folder of images becomes labels and splits, or one clear error."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled_images import names, plant, ten_each
from PIL import Image

from nstk.datasets.folders import hold_out, scan_folder
from nstk.datasets.listing import find_images, natural_key, natural_path_key
from nstk.errors import FolderError, ImageError, SettingsError
from nstk.storage.files import digest_file


def test_a_class_name_that_is_not_utf_8_is_refused_before_any_work(tmp_path):
    strange = os.fsdecode(b"r\xf6t")
    plant(tmp_path, "blue/1.png", "blue/2.png", f"{strange}/1.png", f"{strange}/2.png")
    with pytest.raises(FolderError, match=r"r\\udcf6t"):
        scan_folder(tmp_path)


# Order and names


def test_classes_and_images_are_sorted_by_numbers(tmp_path):
    folder = scan_folder(plant(tmp_path, *ten_each("10", "2", "1")))
    assert folder.classes == ("1", "2", "10")
    train = names(folder.split("train"), tmp_path)
    assert train == sorted(train, key=lambda name: [int(split) for split in name[:-4].split("/")])


@given(numbers=st.lists(st.integers(0, 10**20), unique=True))
def test_names_with_numbers_are_sorted_by_these(numbers):
    listed = sorted((f"class {number} x" for number in numbers), key=natural_key)
    assert listed == [f"class {number} x" for number in sorted(numbers)]


@given(listed=st.lists(st.text(alphabet="aAb01²٣ .é", max_size=6), unique=True), seed=st.randoms())
def test_the_order_does_not_depend_on_the_previous_order(listed, seed):
    shuffled = list(listed)
    seed.shuffle(shuffled)
    assert sorted(listed, key=natural_key) == sorted(shuffled, key=natural_key)


NAMES = st.lists(st.text("aB0179 _é.ß-", min_size=1, max_size=6), min_size=1, max_size=3)


@given(st.lists(NAMES, max_size=12))
def test_paths_are_ordered_part_by_part(names):
    paths = [Path("root", *(f"x{part}" for part in parts)) for parts in names]
    expected = sorted(paths, key=lambda path: [natural_key(part) for part in path.parts])
    assert sorted(paths, key=natural_path_key) == expected


def test_class_folders_are_searched_recursively_without_hidden_files(tmp_path):
    plant(tmp_path, "a/1.png", "a/deep/er/2.png", "b/1.png", "b/2.png")
    plant(tmp_path, "a/.hidden.png", "a/.thumbnails/3.png", ".git/objects/1.png", "b/.DS_Store")
    plant(tmp_path, "a/Thumbs.db", "b/desktop.ini", "a/@eaDir/1.png/SYNO.png", "__MACOSX/a/1.png")
    folder = scan_folder(tmp_path)
    assert sorted(names(folder.images, tmp_path)) == [
        "a/1.png",
        "a/deep/er/2.png",
        "b/1.png",
        "b/2.png",
    ]
    assert folder.skipped == ()


# What is left out


def test_files_that_are_not_images_are_listed_with_their_reasons(tmp_path):
    plant(tmp_path, *ten_each("a", "b"))
    whole = (tmp_path / "a/1.png").read_bytes()
    (tmp_path / "a/notes.txt").write_text("not an image")
    (tmp_path / "a/liar.jpg").write_text("not an image either")
    (tmp_path / "b/empty.png").touch()
    (tmp_path / "b/cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b/link.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b/image.txt").write_bytes(whole)
    (tmp_path / "README.md").write_text("about this folder")
    folder = scan_folder(tmp_path)
    assert {skipped.path.name: skipped.reason.split(";")[0] for skipped in folder.skipped} == {
        "README.md": "outside the class folders",
        "notes.txt": "not an image (it looks like text)",
        "liar.jpg": "not an image (it looks like text)",
        "empty.png": "an empty file (0 bytes)",
        "cut.png": "damaged or truncated (its header is invalid)",
        "link.png": "a broken link",
    }
    assert len(folder.images) == 21
    assert "b/image.txt" in names(folder.images, tmp_path)
    assert not {skipped.path for skipped in folder.skipped} & {
        image.path for image in folder.images
    }


def test_files_with_several_images_are_a_notice(tmp_path):
    plant(tmp_path, *ten_each("a", "b"))
    frames = [Image.new("L", (4, 3), shade) for shade in (10, 20, 30)]
    frames[0].save(tmp_path / "a/stack.tiff", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "a/single.tiff")
    for whole in (True, False):
        [notice] = scan_folder(tmp_path, whole=whole).notices
        assert notice.startswith("1 file holds several images")
        assert str(tmp_path / "a/stack.tiff") in notice
    frames[0].save(tmp_path / "b/film.gif", save_all=True, append_images=frames[1:])
    assert scan_folder(tmp_path).notices[0].startswith("2 files hold several images")


def test_circular_links_end_and_real_paths_win(tmp_path):
    plant(tmp_path, "a/1.png", "a/z/2.png", "b/1.png", "b/2.png")
    (tmp_path / "a/back").symlink_to(tmp_path / "a")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/also z").symlink_to(tmp_path / "a/z")
    folder = scan_folder(tmp_path)
    found = names(folder.images, tmp_path)
    assert "a/z/2.png" in found
    assert "a/also z/2.png" not in found
    assert "link" in folder.skipped[0].reason


def test_a_class_folder_may_be_a_link(tmp_path):
    plant(tmp_path / "elsewhere", "1.png", "2.png")
    plant(tmp_path / "data", "a/1.png", "a/2.png")
    (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere")
    assert scan_folder(tmp_path / "data").classes == ("a", "b")


def test_every_file_is_reported(tmp_path):
    events = []
    folder = scan_folder(plant(tmp_path, *ten_each("a", "b")), on_progress=events.append)
    assert [(event.stage, event.step, event.total) for event in events] == [
        ("scan", step, 20) for step in range(21)
    ]
    assert len(folder.images) == 20


def test_a_progress_callback_can_stop_the_scan(tmp_path):
    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_folder(plant(tmp_path, *ten_each("a", "b")), on_progress=stop)


# What is refused


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([], "is empty"),
        (["a/1.png", "a/2.png"], "one class, a"),
        (["set/a/1.png", "set/b/1.png"], "set, which has a/, b/"),
        (["1.png", "2.png"], "holds 2 files"),
        (["train/1.png", "val/2.png"], "train holds 1 files"),
        (["train/a/1.png", "train/b/1.png", "val/1.png"], "val holds 1 files"),
        (["a/1.png", "a/2.png", "b/1.png"], "class b has 1 "),
        (["a/", "b/1.png", "c/1.png", "c/2.png"], "class a has 0 .*, class b has 1 "),
        (["a/1.png", "a/2.png", "b/"], "class b has 0 "),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png"], "class b has 1 "),
        (["train/a/1.png", "train/b/", "val/a/1.png", "val/b/1.png"], "class b has 0 "),
        (["val/a/1.png", "test/a/1.png"], "no train/"),
        (["train/a/1.png", "train/b/1.png", "val/c/1.png"], ": c;"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"], "val/ and valid/"),
        (["train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png", "test/a/"],
         ": the test split"),
    ],
)  # fmt: skip
def test_unusable_folders_are_refused_in_one_line(tmp_path, places, words):
    with pytest.raises(FolderError, match=words) as caught:
        scan_folder(plant(tmp_path, *places))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_arguments_that_are_out_of_range_or_not_folders_are_refused(tmp_path):
    with pytest.raises(FolderError, match="missing"):
        scan_folder(tmp_path / "missing")
    plant(tmp_path, "a.png")
    with pytest.raises(FolderError, match=r"a\.png"):
        scan_folder(tmp_path / "a.png")
    with pytest.raises(SettingsError, match="validation_share"):
        scan_folder(tmp_path, validation_share=2)
    with pytest.raises(SettingsError, match="seed"):
        scan_folder(tmp_path, seed=-1)


# Holding out

paths = st.lists(
    st.text(alphabet="abc123", min_size=1, max_size=4), min_size=2, max_size=40, unique=True
).map(lambda listed: [Path("class") / name for name in listed])


@given(listed=paths, share=st.floats(0, 1), seed=st.integers(0, 2**31 - 1), mix=st.randoms())
def test_the_share_held_out_does_not_depend_on_the_order(listed, share, seed, mix):
    held_out = hold_out(listed, share, seed)
    assert held_out < set(listed)
    assert 1 <= len(held_out) <= len(listed) - 1
    assert abs(len(held_out) - share * len(listed)) <= 1
    shuffled = list(listed)
    mix.shuffle(shuffled)
    assert hold_out(shuffled, share, seed) == held_out


@given(listed=paths, share=st.floats(0, 1), seed=st.integers(0, 2**31 - 1))
def test_a_new_image_displaces_at_most_one_other(listed, share, seed):
    before = hold_out(listed, share, seed)
    after = hold_out([*listed, Path("class/new image")], share, seed)
    assert len(before - after) <= 1
    assert len((after - before) - {Path("class/new image")}) <= 1


@settings(max_examples=8)
@given(share=st.floats(0.05, 0.5), seed=st.integers(0, 1000))
def test_the_splits_of_a_scan_are_disjoint_complete_and_reproducible(tmp_path_factory, share, seed):
    root = tmp_path_factory.getbasetemp() / "split"
    if not root.exists():
        plant(root, *ten_each("a", "b"), "c/1.png", "c/2.png")
    folder = scan_folder(root, validation_share=share, seed=seed)
    train, validation = set(folder.split("train")), set(folder.split("validation"))
    assert len(train) + len(validation) == len(folder.images) == 22
    assert {image.path for image in train}.isdisjoint(image.path for image in validation)
    for split in (train, validation):
        assert {image.label for image in split} == {0, 1, 2}
    assert scan_folder(root, validation_share=share, seed=seed) == folder


def test_the_split_depends_on_the_seed_and_not_on_the_location(tmp_path):
    first = plant(tmp_path / "first", *ten_each("a", "b"))
    moved = plant(tmp_path / "moved", *ten_each("a", "b"))
    splits = [
        names(scan_folder(root, seed=seed).split("validation"), root)
        for root, seed in ((first, 0), (moved, 0), (first, 1))
    ]
    assert splits[0] == splits[1] != splits[2]


# Digests and loose images


def test_digests_are_those_of_the_files(tmp_path):
    folder = scan_folder(plant(tmp_path, *ten_each("a", "b")))
    digests = folder.digests()
    assert set(digests) == {image.path for image in folder.images}
    assert digests[tmp_path / "a/1.png"] == digest_file(tmp_path / "a/1.png")
    assert len(set(digests.values())) == 20
    (tmp_path / "a/1.png").unlink()
    with pytest.raises(FolderError, match=r"1\.png"):
        folder.digests()


def test_images_are_found_in_files_and_folders(tmp_path):
    plant(tmp_path, "z.png", "folder/10.png", "folder/9.png", "folder/below/1.png")
    (tmp_path / "folder/notes.txt").write_text("not an image")
    given_paths = [tmp_path / "z.png", tmp_path / "folder", tmp_path / "folder/9.png"]
    (tmp_path / "folder/below/round").symlink_to(tmp_path / "folder")
    found, skipped = find_images(given_paths)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "z.png",
        "folder/9.png",
        "folder/10.png",
        "folder/below/1.png",
        "folder/notes.txt",
    ]
    assert [each.path.name for each in skipped] == ["round"]
    assert find_images([]) == ((), ())


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"missing\.png"):
        find_images([tmp_path / "missing.png"])


def test_a_pipe_is_skipped_and_does_not_block(tmp_path):
    plant(tmp_path, *ten_each("ants", "bees"))
    os.mkfifo(tmp_path / "ants" / "pipe.png")
    [skipped] = scan_folder(tmp_path).skipped
    assert "a named pipe" in skipped.reason


def test_real_photographs_are_all_found(shared):
    folder = scan_folder(shared / "data" / "hymenoptera")
    assert folder.classes == ("ants", "bees")
    assert np.bincount([image.label for image in folder.split("train")]).tolist() == [123, 121]
    assert len(folder.split("validation")) == 153
    assert folder.skipped == ()


def test_a_scan_of_headers_accepts_truncated_images_but_no_other_files(tmp_path):
    plant(tmp_path, *ten_each("ants", "bees"))
    cut, text = tmp_path / "ants" / "cut.png", tmp_path / "ants" / "notes.jpg"
    cut.write_bytes((tmp_path / "ants" / "1.png").read_bytes()[:-30])
    text.write_text("not an image")
    quick, thorough = (scan_folder(tmp_path, whole=whole) for whole in (False, True))
    assert [file.path for file in quick.skipped] == [text]
    assert {file.path for file in thorough.skipped} == {cut, text}
    assert cut in {image.path for image in quick.images}
