"""A zip of images is as good as a folder; one that is up to something is refused, and no trace
of either is left."""

import gc
import io
import os
import stat
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from nstk.datasets.folders import scan_folder
from nstk.datasets.sources import open_catalog, unpack_zip
from nstk.errors import FolderError

PLACES = [f"{name}/{number}.png" for name in ("ants", "bees") for number in range(1, 11)]


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    """The folder for temporary files, which is empty again in the end."""
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    yield private
    if any(private.iterdir()):  # a collection takes long where TensorFlow is loaded
        gc.collect()
    assert not list(private.iterdir())


def image(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (shade, 0, 7)).save(file, "PNG")
    return file.getvalue()


def pack(path: Path, places=PLACES, under: str = "", **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for shade, place in enumerate(places):
            archive.writestr(under + place, image(shade))
        for name, content in more.items():
            archive.writestr(name, content)
    return path


def names(folder):
    return [folder.display_path(each.path) for each in folder.images]


@pytest.mark.parametrize("under", ["", "insects/", "deep/insects/"])
def test_a_zip_is_as_good_as_its_folder(tmp_path, under):
    archive = pack(tmp_path / "insects.zip", under=under)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "unpacked")
    zipped, folder = scan_folder(archive), scan_folder(tmp_path / "unpacked" / under)
    assert zipped.classes == folder.classes == ("ants", "bees")
    assert names(zipped) == [
        archive / under / p.path.relative_to(folder.root) for p in folder.images
    ]
    assert [each.split for each in zipped.images] == [each.split for each in folder.images]
    assert list(zipped.digests().values()) == list(folder.digests().values())


def test_unpacked_files_are_private_and_deleted_with_the_result(tmp_path, private):
    folder = scan_folder(pack(tmp_path / "insects.zip"))
    [place] = private.iterdir()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.path.stat().st_mode) for each in folder.images} == {0o600}
    del folder
    gc.collect()
    assert not list(private.iterdir())


def test_splits_and_manifests_may_be_packed_too(tmp_path):
    splits = [f"{split}/{place}" for split in ("train", "val") for place in PLACES]
    assert scan_folder(pack(tmp_path / "splits.zip", splits)).validation_source == "folder"
    alone = [f"train/{place}" for place in PLACES]
    assert scan_folder(pack(tmp_path / "alone.zip", alone)).classes == ("ants", "bees")
    table = "\n".join(["path,label", *(f"{place},{place[0]}" for place in PLACES)])
    archive = pack(tmp_path / "table.zip", under="set/", **{"set/Labels.csv": table.encode()})
    folder = scan_folder(archive)
    assert folder.classes == ("a", "b")
    assert folder.root.name == "set"


def test_system_files_and_hidden_files_are_left_out(tmp_path):
    added = {"__MACOSX/ants/._1.png": b"?", "ants/.DS_Store": b"?", ".git/config": b"?"}
    folder = scan_folder(pack(tmp_path / "mac.zip", **added))
    assert folder.classes == ("ants", "bees")
    assert folder.skipped == ()
    assert "__MACOSX/" in folder.notices[0]


def pack_named(path: Path, *folders: bytes) -> Path:
    """A zip whose names have no flag that says that they are UTF-8."""
    stand_ins = [str(index) * len(name) for index, name in enumerate(folders)]
    pack(path, [f"{name}/{number}.png" for name in stand_ins for number in range(1, 5)])
    content = path.read_bytes()
    for stand_in, name in zip(stand_ins, folders, strict=True):
        content = content.replace(f"{stand_in}/".encode(), name + b"/")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_utf_8_need_no_flag(tmp_path, form):
    names = [unicodedata.normalize(form, name) for name in ("개미", "Käfer")]
    folder = scan_folder(pack_named(tmp_path / "a.zip", *(name.encode() for name in names)))
    assert folder.classes == ("Käfer", "개미")
    assert folder.notices == ()


def test_names_in_an_unknown_encoding_stay_apart_with_a_notice(tmp_path):
    unknown = ["개미".encode("cp949"), "ソ".encode("cp932"), "ソフト".encode("cp932")]
    folder = scan_folder(pack_named(tmp_path / "a.zip", *unknown, "Käfer".encode(), b"ants"))
    assert len(folder.classes) == 5
    assert {"ants", "Käfer"} < set(folder.classes)
    assert [len(folder.split(split)) for split in ("train", "validation")] == [15, 5]
    [notice] = folder.notices
    assert "12 of its names" in notice


def test_problems_inside_are_reported_with_paths_inside_the_zip(tmp_path):
    archive = pack(tmp_path / "insects.zip", **{"ants/notes.txt": b"not an image"})
    [skipped] = scan_folder(archive).skipped
    assert skipped.path == archive / "ants/notes.txt"
    archive = pack(tmp_path / "one.zip", [place for place in PLACES if "ants" in place])
    with pytest.raises(FolderError, match=r"ants") as caught:
        scan_folder(archive)
    assert str(archive) in str(caught.value)
    assert "private" not in str(caught.value)


def test_every_file_is_reported(tmp_path):
    events = []
    open_catalog(pack(tmp_path / "insects.zip"), on_progress=events.append)
    assert [(each.stage, each.step, each.total) for each in events] == [
        ("unpack", step, 20) for step in range(21)
    ]


def test_unpacking_that_is_interrupted_leaves_nothing(tmp_path):
    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack_zip(pack(tmp_path / "insects.zip"), on_progress=stop)


# What is refused


def with_member(path: Path, name: str, content: bytes = b"", mode: int = 0) -> Path:
    pack(path)
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, content)
    return path


@pytest.mark.parametrize("name", [
    "../evil.png", "ants/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png",
    "ants\\..\\..\\evil.png", "//server/evil.png",
])  # fmt: skip
def test_paths_outside_the_folder_are_refused(tmp_path, name):
    archive = with_member(tmp_path / "evil.zip", name, image(1))
    with pytest.raises(FolderError, match=r"evil\.zip holds .*evil\.png"):
        scan_folder(archive)
    assert not list(tmp_path.rglob("evil.png"))


@pytest.mark.parametrize(
    ("mode", "words"),
    [(stat.S_IFLNK | 0o777, "link 'ants/odd'"), (stat.S_IFIFO, "ants/odd"),
     (stat.S_IFCHR, "ants/odd")],
)  # fmt: skip
def test_links_and_devices_are_refused(tmp_path, mode, words):
    archive = with_member(tmp_path / "odd.zip", "ants/odd", b"/etc/passwd", mode)
    with pytest.raises(FolderError, match=words):
        scan_folder(archive)


def test_a_zip_bomb_is_refused(tmp_path):
    archive = pack(tmp_path / "bomb.zip", **{"ants/bomb.png": bytes(30_000_000)})
    assert archive.stat().st_size < 100_000
    with pytest.raises(FolderError, match=r"30\d{6} bytes"):
        scan_folder(archive)


def test_files_and_bytes_are_limited(tmp_path):
    archive = pack(tmp_path / "insects.zip")
    with pytest.raises(FolderError, match=r"20 .*19"):
        unpack_zip(archive, max_files=19)
    with pytest.raises(FolderError, match="100"):
        unpack_zip(archive, max_bytes=100)


def test_a_zip_that_is_larger_than_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda place: os.terminal_size((0, 0)))
    monkeypatch.setattr(os.terminal_size, "free", 10, raising=False)
    with pytest.raises(FolderError, match=r"10 .*TMPDIR"):
        unpack_zip(pack(tmp_path / "insects.zip"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_name_is_refused(tmp_path):
    archive = with_member(tmp_path / "twice.zip", "ants/1.png", image(99))
    with pytest.raises(FolderError, match=r"'ants/1.png' twice"):
        scan_folder(archive)


def test_no_more_is_written_than_a_header_claims(tmp_path):
    archive = pack(tmp_path / "liar.zip", ["ants/1.png"], **{"ants/2.png": bytes(5_000_000)})
    content = archive.read_bytes()
    archive.write_bytes(
        content.replace((5_000_000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    )
    with pytest.raises(FolderError, match=r"liar\.zip"):
        scan_folder(archive)


@pytest.mark.parametrize("change", [
    lambda content: b"not a zip at all",
    lambda content: b"",
    lambda content: content[: len(content) // 2],
    lambda content: content.replace(image(3)[-30:-12], b"?" * 18),
])  # fmt: skip
def test_damaged_zips_are_refused(tmp_path, change):
    archive = tmp_path / "damaged.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        for shade, place in enumerate(PLACES):
            opened.writestr(place, image(shade))
    archive.write_bytes(change(archive.read_bytes()))
    with pytest.raises(FolderError, match=r"damaged.zip .*\("):
        scan_folder(archive)


def test_encrypted_and_empty_zips_are_refused(tmp_path):
    archive = pack(tmp_path / "secret.zip")
    content = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        content[start + place] |= 1
    archive.write_bytes(content)
    with pytest.raises(FolderError, match=r"secret\.zip"):
        scan_folder(archive)
    with pytest.raises(FolderError, match=r"empty\.zip"):
        scan_folder(pack(tmp_path / "empty.zip", []))
