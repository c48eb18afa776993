"""`nstk finetune` on bad data, or data that changes during the run: one line, or a notice."""

import errno
import json
import zipfile
from pathlib import Path

import pytest
from labeled_images import draw_class, draw_folder
from shell import complaint, invoke

from nstk.features import cache as cache_module
from nstk.features.cache import FeatureCache
from nstk.finetuning.job import finetune


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tiny_backbone):
    monkeypatch.setattr("nstk.backbones.candidates.load_backbone", lambda name, **_: tiny_backbone)


def run(data, place, *options):
    return invoke("finetune", data, "-o", place / "m.keras", "--cache", "off", "-q", *options)


def write_manifest(root: Path, *more: str, split: str = "") -> Path:
    """A manifest of six images and additional lines."""
    draw_folder(root, 3)
    paths = sorted(path.relative_to(root) for path in root.glob("*/*"))
    lines = ["path,label,split", *(f"{path},{path.parent.name},{split}" for path in paths), *more]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root / "labels.csv"


def omit_a_class_from_train(root):
    for name in ("blue", "red"):
        draw_class(root / "val" / name, name, 2)
    draw_class(root / "train" / "blue", "blue", 3)
    draw_class(root / "train" / "green", "green", 3)
    return root


def point_nowhere(root):
    return write_manifest(root, "red/missing.png,red,")


def point_outside(root):
    return write_manifest(root, "../red.png,red,")


def name_twice(root):
    return write_manifest(root, "red/0.png,red,")


def name_an_unknown_split(root):
    return write_manifest(root, "", split="exam")


def pack_a_bomb(root):
    with zipfile.ZipFile(root / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("red/0.png", bytes(50_000_000))
    return root / "bomb.zip"


def pack_a_traversal(root):
    with zipfile.ZipFile(root / "sly.zip", "w") as archive:
        archive.writestr("../red/0.png", b"image")
    return root / "sly.zip"


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (omit_a_class_from_train, "red"),
        (point_nowhere, "line 8"),
        (point_outside, "../red.png"),
        (name_twice, "red/0.png"),
        (name_an_unknown_split, "exam"),
        (pack_a_bomb, "bomb.zip"),
        (pack_a_traversal, "../red/0.png"),
    ],
)
def test_data_that_cannot_be_trusted_is_one_line_and_exit_2(tmp_path, spoil, named):
    result = run(spoil(tmp_path), tmp_path)
    assert result.exit_code == 2
    assert named in complaint(result)
    assert not (tmp_path / "m.keras").exists()


def test_a_class_without_validation_images_has_no_recall_and_is_a_notice(tmp_path):
    draw_folder(tmp_path / "train", 4)
    draw_class(tmp_path / "val" / "red", "red", 3)
    result = run(tmp_path, tmp_path, "--json")
    assert result.exit_code == 0, result.stderr
    blue, red = json.loads(result.stdout)["per_class"]
    assert (blue["support"], blue["recall"]) == (0, None)
    assert red["recall"] is not None
    made = finetune(tmp_path)
    assert any("blue" in notice for notice in made.notices)


def test_unreadable_images_in_a_zip_are_reported_with_the_path_in_the_zip(tmp_path):
    data = draw_folder(tmp_path / "data", 4)
    cut = data / "red" / "1.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in data.glob("*/*"):
            archive.write(path, path.relative_to(data))
    result = run(tmp_path / "data.zip", tmp_path, "--json")
    [skipped] = json.loads(result.stdout)["skipped"]
    assert skipped["path"] == str(tmp_path / "data.zip" / "red" / "1.jpg")
    for path in (data / "red").glob("*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with zipfile.ZipFile(tmp_path / "cut.zip", "w") as archive:
        for path in data.glob("*/*"):
            archive.write(path, path.relative_to(data))
    assert f"{tmp_path / 'cut.zip' / 'red'}" in complaint(run(tmp_path / "cut.zip", tmp_path))


def test_duplicates_alone_cannot_be_left_out(tmp_path):
    for name in ("blue", "red"):
        [first] = draw_class(tmp_path / "data" / name, name, 1)
        first.with_name("duplicate.png").write_bytes(first.read_bytes())
    result = run(tmp_path / "data", tmp_path, "--folds", 2)
    assert result.exit_code == 2
    assert "fold" in complaint(result)


def test_the_number_of_folds_used_is_printed(tmp_path):
    draw_folder(tmp_path / "data", 4)
    result = run(tmp_path / "data", tmp_path, "--folds", 50)
    assert "4-fold" in result.stdout


def test_a_missing_learning_curve_is_a_notice(tmp_path):
    lines = ["path,labels,split"]
    for path in sorted(draw_folder(tmp_path, 4, ("green",)).glob("*/*")):
        lines.append(f"{path.relative_to(tmp_path)},,train")
    for name in ("blue", "red"):
        for path, split in zip(draw_class(tmp_path / name, name, 2), ("train", "val"), strict=True):
            lines.append(f"{path.relative_to(tmp_path)},{name},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    result = run(tmp_path / "labels.csv", tmp_path, "--learning-curve", "--json")
    answer = json.loads(result.stdout)
    assert answer["learning_curve"] is None
    assert any("learning curve" in notice for notice in answer["notices"])


def test_an_image_that_is_replaced_during_the_run_is_left_out(tmp_path, tiny_backbone):
    data = draw_folder(tmp_path, 6)
    victim = data / "red" / "0.png"

    def replace(progress):
        if progress.stage == "features" and progress.step == 0:
            victim.write_text("something else")

    made = finetune(data, backbone=tiny_backbone, on_progress=replace)
    assert [file.path for file in made.skipped] == [victim]
    assert made.train_images + made.validation_images == 11


def test_a_full_disk_loses_the_cache_and_not_the_run(tmp_path, monkeypatch):
    data = draw_folder(tmp_path / "data", 4)
    plain = finetune(data)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "_write_rows", refuse)
    made = finetune(data, cache=tmp_path / "cache")
    assert made.selection.head.digest == plain.selection.head.digest
    [notice] = made.notices
    assert "No space left on device" in notice
    assert "memory" in notice
    assert FeatureCache(tmp_path / "cache").shard({}).find("0" * 64) is None
