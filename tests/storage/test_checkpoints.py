"""A folder of checkpoints gives back the newest whole state of the same run, and nothing else."""

import multiprocessing
import os
import signal
import time
import zipfile
from functools import partial

import numpy as np
import pytest

from nstk.errors import CheckpointError, OutputError, SettingsError
from nstk.settings import CheckpointSettings
from nstk.storage.checkpoints import CheckpointFolder, Recipe, State

RECIPE = Recipe("stylize", {"--size": 64, "--color": "style"}, {"content": "a", "style 1": "b"})


def state(number):
    return State({"number": number}, {"x": np.full((2, 3), number, np.float32)})


def chosen(folder, **changes):
    return CheckpointSettings(**{"checkpoint": folder, "checkpoint_every": 1, **changes})


@pytest.fixture
def folder(tmp_path):
    """A folder with the states of steps 1, 2 and 3, as far as they are kept."""
    path = tmp_path / "states"
    with CheckpointFolder(chosen(path)) as checkpoints:
        assert checkpoints.find(RECIPE) is None
        for number in (1, 2, 3):
            checkpoints.keep(number, partial(state, number))
    return path


def find(folder, recipe=RECIPE):
    with CheckpointFolder(chosen(folder, resume=True)) as checkpoints:
        return checkpoints.find(recipe)


def names(folder):
    return sorted(path.name for path in folder.glob("*.checkpoint"))


def test_the_last_two_are_kept_and_the_newest_is_found(folder):
    assert names(folder) == ["step-00000002.checkpoint", "step-00000003.checkpoint"]
    found = find(folder)
    assert found.facts == {"number": 3}
    np.testing.assert_array_equal(found.arrays["x"], state(3).arrays["x"])


@pytest.mark.parametrize("damage", [lambda old: old[:-40], lambda old: b"", lambda old: b"a" * 99])
def test_a_damaged_newest_one_falls_back_to_the_one_before_and_says_so(folder, damage, caplog):
    newest = folder / "step-00000003.checkpoint"
    newest.write_bytes(damage(newest.read_bytes()))
    assert find(folder).facts == {"number": 2}
    assert "step-00000003.checkpoint is damaged" in caplog.text
    assert names(folder) == ["step-00000002.checkpoint"]


def test_a_flipped_bit_is_noticed(folder, caplog):
    newest = folder / "step-00000003.checkpoint"
    content = newest.read_bytes()
    place = content.index(np.float32(3).tobytes())
    newest.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    assert find(folder).facts == {"number": 2}
    assert "damaged" in caplog.text


def test_a_state_that_was_exchanged_is_noticed_by_its_digest(folder, caplog):
    newest, before = (folder / f"step-0000000{number}.checkpoint" for number in (3, 2))
    with zipfile.ZipFile(newest) as one, zipfile.ZipFile(before) as other:
        parts = {"checkpoint.json": one.read("checkpoint.json"), "x.npy": other.read("x.npy")}
    with zipfile.ZipFile(newest, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert find(folder).facts == {"number": 2}
    assert "its digest is another" in caplog.text


def test_nothing_whole_is_nothing(folder, caplog):
    for path in folder.glob("*.checkpoint"):
        path.write_bytes(b"rubbish")
    assert find(folder) is None
    assert caplog.text.count("damaged") == 2


def test_one_that_cannot_be_read_is_left_alone(folder, monkeypatch, caplog):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("nstk.storage.checkpoints.read_arrays", refuse)
        assert find(folder) is None
    assert caplog.text.count("cannot be read (Permission denied)") == 2
    assert find(folder).facts == {"number": 3}


def test_another_run_is_refused_with_all_that_differs_in_one_line(folder):
    other = Recipe(
        "stylize", {"--size": 96, "--color": "style"}, {"content": "c", "keep mask": "d"}
    )
    with pytest.raises(CheckpointError) as caught:
        find(folder, other)
    message = str(caught.value)
    assert "--size is 96 and was 64; the content changed; the keep mask was not there; " in message
    assert "the style 1 is missing" in message
    assert "--color" not in message
    assert "\n" not in message
    assert names(folder) == ["step-00000002.checkpoint", "step-00000003.checkpoint"]


def test_another_job_is_refused(folder):
    with pytest.raises(CheckpointError, match="one of nstk stylize"):
        find(folder, Recipe("sweep", {}, {}))


def test_without_resume_nothing_is_overwritten(folder):
    with pytest.raises(CheckpointError, match="add --resume"):
        CheckpointFolder(chosen(folder))
    assert find(folder).facts == {"number": 3}


def test_an_empty_folder_is_gone_on_from_at_the_beginning(tmp_path):
    assert find(tmp_path) is None
    assert find(tmp_path / "new") is None


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with CheckpointFolder(CheckpointSettings()) as checkpoints:
        assert not checkpoints.is_used
        assert checkpoints.find(RECIPE) is None
        checkpoints.keep(1, lambda: pytest.fail("nobody needs it"), now=True)
    assert list(tmp_path.iterdir()) == []


def test_steps_are_counted_from_the_last_one_kept(tmp_path):
    with CheckpointFolder(chosen(tmp_path, checkpoint_every=3)) as checkpoints:
        checkpoints.find(RECIPE)
        for number in range(1, 5):
            checkpoints.keep(number, partial(state, number))
    with CheckpointFolder(chosen(tmp_path, checkpoint_every=3, resume=True)) as checkpoints:
        checkpoints.find(RECIPE)
        for number in range(4, 8):
            checkpoints.keep(number, partial(state, number))
        checkpoints.keep(8, lambda: state(8), now=True)
    assert names(tmp_path) == ["step-00000006.checkpoint", "step-00000008.checkpoint"]


def test_seconds_are_those_of_a_clock_that_is_never_set_back(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with CheckpointFolder(chosen(tmp_path, checkpoint_every="60s")) as checkpoints:
        checkpoints.find(RECIPE)
        for number, moment in enumerate((130.0, 161.0, 200.0, 222.0), 1):
            now = moment
            monkeypatch.setattr(time, "time", lambda number=number: -1000.0 * number)
            checkpoints.keep(number, partial(state, number))
    assert names(tmp_path) == ["step-00000002.checkpoint", "step-00000004.checkpoint"]


def test_a_checkpoint_that_cannot_be_written_is_told_and_stops_nothing(folder, caplog, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    with CheckpointFolder(chosen(folder, resume=True)) as checkpoints:
        checkpoints.find(RECIPE)
        with monkeypatch.context() as patch:
            patch.setattr("nstk.storage.checkpoints.write_arrays", refuse)
            for number in (4, 4, 4):
                checkpoints.keep(number, lambda: state(4), now=True)
        assert caplog.text.count("No checkpoint at step 4") == 1
        assert "No space left" in caplog.text
        assert names(folder) == ["step-00000002.checkpoint", "step-00000003.checkpoint"]
        checkpoints.keep(5, lambda: state(5))
    assert find(folder).facts == {"number": 5}
    assert sorted(path.name for path in folder.iterdir()) == ["lock", *names(folder)]


def test_what_a_killed_run_left_half_written_is_cleared_away(folder):
    leftover = folder / ".nstk-0123456789abcdef.checkpoint"
    leftover.write_bytes(b"half")
    assert find(folder).facts == {"number": 3}
    assert not leftover.exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "none" / "deeper"):
        with pytest.raises(OutputError, match="Cannot make the folder"):
            CheckpointFolder(chosen(place))


def test_a_folder_belongs_to_one_run_at_a_time(folder):
    with (
        CheckpointFolder(chosen(folder, resume=True)),
        pytest.raises(CheckpointError, match="Another run is using"),
    ):
        CheckpointFolder(chosen(folder, resume=True))
    assert find(folder).facts == {"number": 3}


def hold(folder, ready):
    with CheckpointFolder(chosen(folder, resume=True)):
        ready.set()
        time.sleep(600)


def test_death_gives_the_folder_back(folder):
    spawning = multiprocessing.get_context("spawn")
    ready = spawning.Event()
    process = spawning.Process(target=hold, args=(folder, ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(CheckpointError, match="Another run is using"):
        find(folder)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert find(folder).facts == {"number": 3}


@pytest.mark.parametrize("every", [0, -1, "0s", "-3s", "soon", "s", 2.5j, None])
def test_an_interval_that_is_none_is_refused(every, tmp_path):
    with pytest.raises(SettingsError, match="--checkpoint-every is"):
        chosen(tmp_path, checkpoint_every=every)


def test_going_on_needs_a_folder_to_go_on_from():
    with pytest.raises(SettingsError, match="without --checkpoint"):
        CheckpointSettings(resume=True)
