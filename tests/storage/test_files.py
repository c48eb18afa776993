"""Files are written completely or not at all."""

import hashlib
import os
import re
import stat
import sys
import tempfile
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstk.errors import OutputError
from nstk.reports.pages import GENERATOR, check_folder
from nstk.storage.files import (
    atomic_write,
    atomic_write_folder,
    check_replaceable,
    check_writable,
    digest_file,
    find_cache_folder,
    make_temporary_folder,
)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@settings(max_examples=20)
@given(content=st.binary(max_size=200))
def test_a_file_holds_exactly_what_was_written(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("whole") / "model.keras"
    assert atomic_write(path, lambda temporary: temporary.write_bytes(content)) == path
    assert path.read_bytes() == content
    assert names(path.parent) == ["model.keras"]
    assert digest_file(path) == hashlib.sha256(content).hexdigest()


def test_the_temporary_file_is_a_hidden_neighbor_with_the_same_extension(tmp_path):
    seen = []

    def write(temporary):
        seen.append(temporary)
        temporary.touch()

    atomic_write(tmp_path / "image.png", write)
    assert seen[0].parent == tmp_path
    assert seen[0].suffix == ".png"
    assert seen[0].name.startswith(".")


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "image.png"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("half of the n")
        raise failure

    with pytest.raises(failure):
        atomic_write(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["image.png"]


def test_a_full_disk_is_reported_in_one_line(tmp_path):
    def write(temporary):
        temporary.write_text("half of the n")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"image.png: No space left on device") as caught:
        atomic_write(tmp_path / "image.png", write)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(OutputError):
        atomic_write(tmp_path / "image.png", lambda temporary: None)


def test_a_failing_replacement_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    path.write_text("old")

    def refuse(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        atomic_write(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["image.png"]


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path):
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    real.write_text("old")
    link.symlink_to(real)
    atomic_write(link, lambda temporary: temporary.write_text("new"))
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_writing_to_a_dangling_link_creates_its_target(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    check_writable(tmp_path / "link.png")
    atomic_write(tmp_path / "link.png", lambda temporary: temporary.write_text("new"))
    assert (tmp_path / "real.png").read_text() == "new"


def test_a_link_into_a_missing_folder_is_refused_early(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "missing" / "real.png")
    with pytest.raises(OutputError, match="missing"):
        check_writable(tmp_path / "link.png")


def test_a_link_to_itself_is_replaced(tmp_path):
    path = tmp_path / "image.png"
    path.symlink_to(path)
    check_writable(path)
    atomic_write(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"
    assert names(tmp_path) == ["image.png"]


def test_permissions_follow_the_umask_and_are_kept_on_replacement(tmp_path):
    path, plain = tmp_path / "image.png", tmp_path / "plain.png"
    plain.touch()
    atomic_write(path, lambda temporary: temporary.write_text("new"))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    atomic_write(path, lambda temporary: temporary.write_text("newer"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_paths_where_no_file_can_be_written_are_refused_early(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    check_writable(tmp_path / "file")
    for path in ("", "missing/a.png", "file/a.png", "pipe"):
        with pytest.raises(OutputError, match=str(tmp_path / path)):
            check_writable(tmp_path / path)


def test_a_read_only_folder_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match=str(tmp_path)):
        check_writable(tmp_path / "a.png")


def test_the_cache_needs_a_home_folder_or_an_environment_variable(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_cache_path", refuse)
    with pytest.raises(OutputError, match="XDG_CACHE_HOME"):
        find_cache_folder()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other variables")
def test_the_cache_is_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert find_cache_folder() == tmp_path / "home" / ".cache" / "nstk"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_cache_folder() == tmp_path / "nstk"


def fill(folder):
    folder.mkdir()
    (folder / "model").write_text("whole")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can exchange two folders")
def test_a_folder_exists_at_every_moment_while_it_is_replaced(tmp_path):
    place, missing, done = tmp_path / "served", [], threading.Event()
    atomic_write_folder(place, fill)

    def watch():
        while not done.is_set():
            if not place.exists():
                missing.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(60):
        atomic_write_folder(place, fill)
    done.set()
    watcher.join()
    assert not missing
    assert names(tmp_path) == ["served"]


def test_without_a_temporary_folder_the_message_names_the_variable_to_set(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(OutputError, match="TMPDIR"):
        make_temporary_folder()
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path)])
    assert make_temporary_folder().parent == tmp_path


def test_only_files_that_nstk_wrote_are_replaced(tmp_path):
    path = tmp_path / "table.csv"
    check_replaceable(path, "nstk")
    for content in ("", "by nstk 1\n"):
        path.write_text(content)
        check_replaceable(path, "nstk", "1")
    for content in ("mine\n", "by nstk 2\n"):
        path.write_text(content)
        with pytest.raises(OutputError, match=r"table\.csv"):
            check_replaceable(path, "nstk", "1")
    with pytest.raises(OutputError):
        check_replaceable(tmp_path, "nstk")


@pytest.mark.parametrize("name", ["report.html", "trace.json"])
def test_a_report_replaces_only_pages_of_nstk_and_what_is_beside_them(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=re.escape(name)):
        check_folder(tmp_path, ("report.html", "trace.json"))
    (tmp_path / "report.html").write_text(f"<meta {GENERATOR}>")
    check_folder(tmp_path, ("report.html", "trace.json"))
