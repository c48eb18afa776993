"""Images in object storage, with a file system in memory: predicted, and listed in manifests."""

import json
import shutil
import sys

import pytest
from shell import complaint, invoke

fsspec = pytest.importorskip("fsspec")

from nstk.classifiers.classifier import Classifier
from nstk.datasets.folders import scan_folder
from nstk.errors import FolderError, ImageError
from nstk.storage.remote import RemotePath, as_path, list_remote


@pytest.fixture(scope="module")
def bucket(color_folder):
    """The images of `color_folder` at memory://photos, with a manifest and a text."""
    system = fsspec.filesystem("memory")
    rows = ["path,label"]
    for path in sorted(color_folder.glob("*/*")):
        name = f"{path.parent.name}/{path.name}"
        system.pipe_file(f"/photos/{name}", path.read_bytes())
        rows.append(f"{name},{path.parent.name}")
    system.pipe_file("/photos/labels.csv", "\n".join(rows).encode())
    yield "memory://photos"
    system.store.clear()


def test_a_url_keeps_its_two_slashes():
    url = as_path("s3://bucket/a b.jpg")
    assert isinstance(url, RemotePath)
    assert str(url) == str(as_path(url)) == str(as_path("s3:/bucket/a b.jpg"))
    assert str(url.parent / "c.png") == "s3://bucket/c.png"
    assert (url.name, url.suffix) == ("a b.jpg", ".jpg")
    assert not isinstance(as_path("C:/images/a.jpg"), RemotePath)


def test_folders_and_patterns_are_listed(bucket):
    assert len(list_remote(as_path(bucket))) == 25
    found = list_remote(as_path(f"{bucket}/red/*.png"))
    assert found
    assert all(str(path).startswith("memory://") and path.suffix == ".png" for path in found)
    with pytest.raises(ImageError, match="no such file"):
        list_remote(as_path("memory://elsewhere"))


def test_predictions_are_those_of_the_local_files(
    bucket, color_folder, color_model, color_classifier, tmp_path, monkeypatch
):
    monkeypatch.setattr(Classifier, "load", staticmethod(lambda _: color_classifier))
    remote = color_classifier.predict([f"{bucket}/blue", f"{bucket}/red"])
    local = color_classifier.predict([color_folder / "blue", color_folder / "red"])
    assert [each.top for each in remote] == [each.top for each in local]
    out = tmp_path / "labels.jsonl"
    command = ("predict", color_model, f"{bucket}/blue", "-o", out, "-q")
    assert invoke(*command).exit_code == 0
    paths = [json.loads(line)["path"] for line in out.read_text().splitlines()]
    assert all(path.startswith("memory://photos/blue/") for path in paths)
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    assert invoke(*command, "--resume").exit_code == 0
    assert out.read_bytes() == whole


@pytest.mark.parametrize("is_local", [True, False])
def test_a_manifest_may_be_remote_or_name_urls(bucket, color_folder, tmp_path, is_local):
    data = f"{bucket}/labels.csv"
    if is_local:
        rows = [
            f"{bucket}/{p.parent.name}/{p.name},{p.parent.name}" for p in color_folder.glob("*/*")
        ]
        data = tmp_path / "labels.csv"
        data.write_text("\n".join(["path,label", *rows]))
    scanned = scan_folder(data)
    local = scan_folder(color_folder)
    assert scanned.classes == local.classes
    assert sorted(scanned.digests().values()) == sorted(local.digests().values())


def test_a_remote_file_that_is_missing_is_one_line(bucket, tmp_path, color_model):
    manifest = tmp_path / "labels.csv"
    manifest.write_text(f"path,label\n{bucket}/none.png,red\n{bucket}/blue/0.png,blue\n")
    with pytest.raises(FolderError, match=r"none\.png"):
        scan_folder(manifest)
    assert "memory://none" in complaint(invoke("predict", color_model, "memory://none"))


def test_without_fsspec_the_error_names_the_extra(monkeypatch, color_model):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert "nstk[remote]" in complaint(invoke("predict", color_model, "s3://bucket/a.jpg"))


def test_parquet_has_the_columns_and_values_of_csv(
    color_folder, color_model, color_classifier, tmp_path, monkeypatch
):
    parquet, csv = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow.csv")
    monkeypatch.setattr(Classifier, "load", staticmethod(lambda _: color_classifier))
    shutil.copytree(color_folder / "red", tmp_path / "red")
    (tmp_path / "red" / "broken.jpg").write_text("no image")
    command = ("predict", color_model, tmp_path / "red", "-q", "--top", 2, "-o")
    for name in ("labels.csv", "labels.parquet"):
        assert invoke(*command, tmp_path / name).exit_code == 0
    table = parquet.read_table(tmp_path / "labels.parquet")
    expected = csv.read_csv(tmp_path / "labels.csv")
    assert table.column_names == expected.column_names
    assert table.column("label").to_pylist() == expected.column("label").to_pylist()
    shares = table.column("probability").to_pylist()
    assert shares == pytest.approx(expected.column("probability").to_pylist())
    assert not list(tmp_path.glob(".nstk-*"))
    assert "cannot be resumed" in complaint(
        invoke(*command, tmp_path / "labels.parquet", "--resume")
    )
