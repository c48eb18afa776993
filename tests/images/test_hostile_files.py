"""Malicious files: each is refused in one clear line, in time, without side effects."""

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shell import complaint, invoke
from untrusted_files import PATIENCE, open_and_read, soon

import nstk
from nstk.backbones.archives import read_archive
from nstk.classifiers.prediction.layouts import MAX_RECORD, CsvLayout
from nstk.classifiers.run_records import read_record
from nstk.datasets.listing import find_images, natural_key
from nstk.datasets.sources import open_catalog
from nstk.errors import FolderError, ImageError, printable
from nstk.images.decoding import identify, read_content
from nstk.images.loading import load_image, load_levels
from nstk.stylization.styles import load_style


def list_and_read(path):
    return open_catalog(path)


READERS = {
    "image.png": load_image,
    "levels.png": load_levels,
    "header.png": identify,
    "content.png": read_content,
    "style.nstyle": load_style,
    "weights.npz": open_and_read,
    "weights.h5": open_and_read,
    "model.keras": read_archive,
    "record.json": read_record,
    "table.csv": list_and_read,
    "table.jsonl": list_and_read,
    "images.zip": list_and_read,
}


@pytest.fixture
def pipe(tmp_path):
    """Makes a named pipe that is opened and closed at the other end once the test is late."""
    waiting = []

    def make(name):
        path = tmp_path / name
        os.mkfifo(path)

        def rescue():
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

        waiting.append(threading.Timer(PATIENCE, rescue))
        waiting[-1].start()
        return path

    yield make
    for timer in waiting:
        timer.cancel()


@pytest.mark.parametrize("name", READERS)
def test_a_named_pipe_is_refused_without_blocking(name, pipe):
    path = pipe(name)
    with soon(), pytest.raises(nstk.NstkError):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_an_endless_device_is_refused(name, tmp_path):
    path = tmp_path / name
    path.symlink_to("/dev/zero")
    with soon(), pytest.raises(nstk.NstkError):
        READERS[name](path)


@pytest.mark.parametrize("name", [name for name in READERS if name != "content.png"])
def test_an_empty_file_is_refused(name, tmp_path):
    path = tmp_path / name
    path.touch()
    with pytest.raises(nstk.NstkError):
        READERS[name](path)


BEGINNINGS = {
    "style.nstyle": b"PK\x03\x04",
    "weights.npz": b"PK\x03\x04",
    "weights.h5": b"\x89HDF\r\n\x1a\n",
    "model.keras": b"PK\x03\x04",
    "table.csv": b"path,label\n",
    "table.jsonl": b'{"path": "',
    "images.zip": b"PK\x03\x04",
    "record.json": b"{",
}


@pytest.mark.parametrize("name", READERS)
def test_a_sparse_file_of_five_gigabytes_is_refused_without_reading_it(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(BEGINNINGS.get(name, b"\x89PNG\r\n\x1a\n"))
    os.truncate(path, 5 * 2**30)
    with soon(), pytest.raises(nstk.NstkError):
        READERS[name](path)


def test_circular_links_end(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "back").symlink_to(tmp_path)
    (tmp_path / "itself.png").symlink_to(tmp_path / "itself.png")
    Image.new("RGB", (4, 4)).save(inner / "one.png")
    with soon():
        files, skipped = find_images([tmp_path])
    assert inner / "one.png" in files
    assert [file.path for file in skipped] == [inner / "back"]
    with pytest.raises(ImageError):
        load_image(tmp_path / "itself.png")


@pytest.mark.parametrize("name", ["../stray.png", "/etc/passwd", "a/../../stray.png", "C:\\x.png"])
@pytest.mark.parametrize("extension", [".csv", ".jsonl"])
def test_a_manifest_with_paths_outside_its_folder_is_refused(tmp_path, name, extension):
    path = tmp_path / f"table{extension}"
    line = (
        f"path,label\n{name},a\n" if extension == ".csv" else json.dumps({"path": name, "label": 1})
    )
    path.write_text(line, encoding="utf-8")
    with pytest.raises(FolderError, match=r"line \d"):
        open_catalog(path)


@pytest.mark.parametrize("label", ["[" * 100_000, "[" + "9" * 5000, "\x1b[2J"], ids=len)
def test_labels_that_look_like_other_types_are_text(tmp_path, label):
    path = tmp_path / "table.csv"
    path.write_text(f'path,label\na.png,"{label}"\n', encoding="utf-8")
    (tmp_path / "a.png").touch()
    with soon(), pytest.raises(FolderError) as caught:
        open_catalog(path)
    assert printable(caught.value) == str(caught.value)


def test_a_number_with_many_digits_is_sorted_like_others():
    assert natural_key("a" + "9" * 5000) < natural_key("a1" + "0" * 5000)
    assert natural_key("a007") < natural_key("a10")
    assert natural_key("a07") != natural_key("a7")


def test_an_unclosed_quote_does_not_make_a_record_of_gigabytes():
    lines = iter([b'"a\n', *[b"x" * 99 + b"\n"] * (MAX_RECORD // 100 + 1)])
    with soon(), pytest.raises(ValueError, match="longer than"):
        next(CsvLayout(1).split(lines))


NAMES = (
    "two\nlines",
    "\x1b[2Jclear",
    "a\x9bb",
    "\u202egnp.exe",
    "a\u061cb",
    os.fsdecode(b"\xff\xfe"),
)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_control_characters_in_names_are_escaped(tmp_path, scene, name):
    path = tmp_path / f"{name}.png"
    path.write_bytes(b"no image")
    good = tmp_path / "good.png"
    nstk.save_image(good, scene)
    line = complaint(invoke("stylize", path, good, "-o", tmp_path / "out.png"))
    assert printable(line) == line
    assert json.dumps(name).strip('"') in line or "xff" in line or "udcff" in line
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert printable(caught.value) == str(caught.value)
    assert caught.value.message_for(path).startswith("not an image")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_json_output_contains_names_unchanged(name):
    from nstk_cli.output import as_json

    told = as_json({"path": Path(name)})
    assert printable(told) == told
    assert json.loads(told) == {"path": name}


@given(st.text())
def test_printable_text_is_one_line_and_escaping_is_idempotent(words):
    told = printable(words)
    assert len(told.splitlines()) <= 1
    assert printable(told) == told
    told.encode("utf-8")


ROWS = st.dictionaries(
    st.sampled_from(["path", "label", "labels", "split", "other"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
)


@given(st.lists(ROWS, max_size=4))
def test_a_manifest_of_any_json_is_read_or_refused(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with suppress(FolderError):
        open_catalog(path)


@given(st.text(st.sampled_from('ab/.,;|"\t\n[]\\0'), max_size=60))
def test_a_manifest_of_any_table_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"path,label\n" + text.encode())
    with suppress(FolderError):
        open_catalog(path)


@pytest.mark.parametrize("signature", [b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"MM\0*"])
@given(content=st.binary(max_size=400))
def test_any_content_after_a_signature_is_read_or_refused(tmp_path_factory, signature, content):
    path = tmp_path_factory.getbasetemp() / "any.image"
    path.write_bytes(signature + content)
    with suppress(ImageError):
        load_image(path)
