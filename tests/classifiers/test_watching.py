"""A file is new when it is completely written, and only once."""

from contextlib import suppress

import pytest

from nstk.classifiers.prediction.reading import watch_folder
from nstk.errors import ImageError, SettingsError


def arrivals(folder):
    found = []
    with suppress(KeyboardInterrupt):
        for paths in watch_folder(folder):
            found.append([path.relative_to(folder).as_posix() for path in paths])
    return found


def nothing():
    pass


def test_existing_files_are_new_once(tmp_path, act):
    for name in ("10.png", "9.png", ".hidden.png"):
        (tmp_path / name).write_text("a")
    act += [nothing] * 4
    assert arrivals(tmp_path) == [["9.png", "10.png"]]


def test_a_growing_file_is_new_when_it_is_complete(tmp_path, act):
    file = tmp_path / "a" / "slow.png"
    (tmp_path / "a").mkdir()
    act += [lambda: file.write_text("a"), lambda: file.write_text("ab")]
    act += [lambda: (tmp_path / "b.png").write_text("b"), nothing, nothing]
    assert arrivals(tmp_path) == [["a/slow.png"], ["b.png"]]


def test_a_changed_file_is_new_again(tmp_path, act):
    file = tmp_path / "a.png"
    act += [lambda: file.write_text("a"), nothing, lambda: file.write_text("ab"), nothing, nothing]
    assert arrivals(tmp_path) == [["a.png"], ["a.png"]]


def test_a_removed_file_may_come_back(tmp_path, act):
    file, away = tmp_path / "in" / "a.png", tmp_path / "away.png"
    file.parent.mkdir()
    file.write_text("a")
    act += [nothing, lambda: file.rename(away), lambda: away.rename(file), nothing, nothing]
    assert arrivals(file.parent) == [["a.png"], ["a.png"]]


def test_the_folder_may_disappear_and_come_back(tmp_path, act):
    folder = tmp_path / "in"
    folder.mkdir()
    act += [folder.rmdir, nothing, folder.mkdir]
    act += [lambda: (folder / "a.png").write_text("a"), nothing]
    assert arrivals(folder) == [["a.png"]]


def test_a_missing_folder_and_a_wrong_interval_are_refused_at_once(tmp_path):
    with pytest.raises(ImageError, match="missing"):
        watch_folder(tmp_path / "missing")
    with pytest.raises(SettingsError, match="interval"):
        watch_folder(tmp_path, interval=0)
