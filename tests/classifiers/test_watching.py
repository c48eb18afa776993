"""A file has arrived when nobody writes to it any more, and arrives once."""

from contextlib import suppress

import pytest

from nstk.classifiers.prediction.watching import watch_folder
from nstk.errors import ImageError, SettingsError


def arrivals(folder):
    found = []
    with suppress(KeyboardInterrupt):
        for paths in watch_folder(folder):
            found.append([path.relative_to(folder).as_posix() for path in paths])
    return found


def nothing():
    pass


def test_what_is_there_arrives_once(tmp_path, act):
    for name in ("10.png", "9.png", ".hidden.png"):
        (tmp_path / name).write_text("a")
    act += [nothing] * 4
    assert arrivals(tmp_path) == [["9.png", "10.png"]]


def test_a_file_that_grows_is_waited_for(tmp_path, act):
    file = tmp_path / "a" / "slow.png"
    (tmp_path / "a").mkdir()
    act += [lambda: file.write_text("a"), lambda: file.write_text("ab")]
    act += [lambda: (tmp_path / "b.png").write_text("b"), nothing, nothing]
    assert arrivals(tmp_path) == [["a/slow.png"], ["b.png"]]


def test_a_file_that_changes_arrives_again(tmp_path, act):
    file = tmp_path / "a.png"
    act += [lambda: file.write_text("a"), nothing, lambda: file.write_text("ab"), nothing, nothing]
    assert arrivals(tmp_path) == [["a.png"], ["a.png"]]


def test_what_has_gone_is_forgotten_and_may_come_back(tmp_path, act):
    file, away = tmp_path / "in" / "a.png", tmp_path / "away.png"
    file.parent.mkdir()
    file.write_text("a")
    act += [nothing, lambda: file.rename(away), lambda: away.rename(file), nothing, nothing]
    assert arrivals(file.parent) == [["a.png"], ["a.png"]]


def test_the_folder_itself_may_go_and_come_back(tmp_path, act):
    folder = tmp_path / "in"
    folder.mkdir()
    act += [folder.rmdir, nothing, folder.mkdir]
    act += [lambda: (folder / "a.png").write_text("a"), nothing]
    assert arrivals(folder) == [["a.png"]]


def test_what_cannot_be_watched_is_refused_at_once(tmp_path):
    with pytest.raises(ImageError, match="no such folder"):
        watch_folder(tmp_path / "missing")
    with pytest.raises(SettingsError, match="--interval"):
        watch_folder(tmp_path, interval=0)
