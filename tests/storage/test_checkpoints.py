"""A checkpoint folder restores the newest undamaged state of the same run, and nothing else."""

import multiprocessing
import os
import signal
import time
import zipfile

import numpy as np
import pytest
from forgery import forge_newest

from nstk.errors import CheckpointError, OutputError, SettingsError
from nstk.settings import CheckpointSettings
from nstk.storage.checkpoints import CheckpointFolder, RunIdentity, State

RUN = RunIdentity("stylize", {"size": 64, "color": "style"}, {"content": "a", "style 1": "b"})


class Count:
    """A job that counts: its state is the number, as a fact and in an array."""

    def __init__(self, completed):
        self.completed = completed

    def capture(self):
        array = np.full((2, 3), self.completed, np.float32)
        return State({"number": self.completed}, {"x": array})

    def restore(self, state):
        self.completed = state.facts["number"]
        if not (state.arrays["x"] == self.completed).all():
            raise ValueError("other numbers")


def settings_for(folder, **changes):
    return CheckpointSettings(**{"checkpoint": folder, "checkpoint_every": 1, **changes})


@pytest.fixture
def folder(tmp_path):
    """A folder with checkpoints after the steps 1, 2 and 3."""
    path = tmp_path / "states"
    with CheckpointFolder(settings_for(path)) as checkpoints:
        assert checkpoints.find(RUN) is None
        for number in (1, 2, 3):
            checkpoints.save(Count(number))
    return path


def restore(folder, identity=RUN):
    with CheckpointFolder(settings_for(folder, resume=True)) as checkpoints:
        return checkpoints.find(identity)


def names(folder):
    return sorted(path.name for path in folder.glob("*.checkpoint"))


def test_the_last_two_checkpoints_are_kept_and_the_newest_is_restored(folder):
    assert names(folder) == ["step-00000002.checkpoint", "step-00000003.checkpoint"]
    found = restore(folder)
    assert found.facts == {"number": 3}
    np.testing.assert_array_equal(found.arrays["x"], Count(3).capture().arrays["x"])


@pytest.mark.parametrize("damage", [lambda old: old[:-40], lambda old: b"", lambda old: b"a" * 99])
def test_a_damaged_checkpoint_is_logged_and_the_one_before_is_restored(folder, damage, caplog):
    newest = folder / "step-00000003.checkpoint"
    newest.write_bytes(damage(newest.read_bytes()))
    assert restore(folder).facts == {"number": 2}
    assert "step-00000003.checkpoint, which is damaged" in caplog.text
    assert names(folder) == ["step-00000002.checkpoint"]


def test_a_flipped_bit_is_detected(folder, caplog):
    newest = folder / "step-00000003.checkpoint"
    content = newest.read_bytes()
    place = content.index(np.float32(3).tobytes())
    newest.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    assert restore(folder).facts == {"number": 2}
    assert "damaged" in caplog.text


def test_an_exchanged_array_is_detected_by_the_digest(folder, caplog):
    newest, before = (folder / f"step-0000000{number}.checkpoint" for number in (3, 2))
    with zipfile.ZipFile(newest) as one, zipfile.ZipFile(before) as other:
        parts = {"checkpoint.json": one.read("checkpoint.json"), "x.npy": other.read("x.npy")}
    with zipfile.ZipFile(newest, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert restore(folder).facts == {"number": 2}
    assert "digest" in caplog.text


def test_without_an_undamaged_checkpoint_nothing_is_restored(folder, caplog):
    for path in folder.glob("*.checkpoint"):
        path.write_bytes(b"rubbish")
    assert restore(folder) is None
    assert caplog.text.count("which is damaged") == 2


def test_an_unreadable_checkpoint_is_not_deleted(folder, monkeypatch, caplog):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("nstk.storage.checkpoints.read_arrays", refuse)
        assert restore(folder) is None
    assert caplog.text.count("Permission denied") == 2
    assert restore(folder).facts == {"number": 3}


def test_checkpoints_of_another_run_are_refused_with_all_differences(folder):
    other = RunIdentity(
        "stylize", {"size": 96, "color": "style"}, {"content": "c", "keep mask": "d"}
    )
    with pytest.raises(CheckpointError) as caught:
        restore(folder, other)
    message = str(caught.value)
    assert "`size` is 96 and was 64; the content changed; the keep mask is new; " in message
    assert "the style 1 is missing" in message
    assert "color" not in message
    assert "\n" not in message
    assert names(folder) == ["step-00000002.checkpoint", "step-00000003.checkpoint"]


def test_checkpoints_of_another_job_are_refused(folder):
    with pytest.raises(CheckpointError, match="nstk stylize"):
        restore(folder, RunIdentity("sweep", {}, {}))


def test_without_resume_nothing_is_overwritten(folder):
    with pytest.raises(CheckpointError, match="resume=True"):
        CheckpointFolder(settings_for(folder))
    assert restore(folder).facts == {"number": 3}


def test_resuming_from_an_empty_or_new_folder_starts_at_the_beginning(tmp_path):
    assert restore(tmp_path) is None
    assert restore(tmp_path / "new") is None


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with CheckpointFolder(CheckpointSettings()) as checkpoints:
        assert not checkpoints.is_enabled
        assert checkpoints.find(RUN) is None
        job = Count(1)
        job.capture = lambda: pytest.fail("the state is not needed")
        with checkpoints.run(job) as on_step:
            on_step()
    assert list(tmp_path.iterdir()) == []


def test_steps_are_counted_from_the_last_checkpoint(tmp_path):
    with CheckpointFolder(settings_for(tmp_path, checkpoint_every=3)) as checkpoints:
        checkpoints.find(RUN)
        for number in range(1, 5):
            checkpoints.save(Count(number))
    with CheckpointFolder(settings_for(tmp_path, checkpoint_every=3, resume=True)) as checkpoints:
        checkpoints.find(RUN)
        for number in range(4, 8):
            checkpoints.save(Count(number))
        checkpoints.save(Count(8), now=True)
    assert names(tmp_path) == ["step-00000006.checkpoint", "step-00000008.checkpoint"]


def test_seconds_are_measured_by_a_monotonic_clock(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with CheckpointFolder(settings_for(tmp_path, checkpoint_every="60s")) as checkpoints:
        checkpoints.find(RUN)
        for number, moment in enumerate((130.0, 161.0, 200.0, 222.0), 1):
            now = moment
            monkeypatch.setattr(time, "time", lambda number=number: -1000.0 * number)
            checkpoints.save(Count(number))
    assert names(tmp_path) == ["step-00000002.checkpoint", "step-00000004.checkpoint"]


def test_a_failed_checkpoint_is_logged_once_and_does_not_stop_the_job(folder, caplog, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    with CheckpointFolder(settings_for(folder, resume=True)) as checkpoints:
        checkpoints.find(RUN)
        with monkeypatch.context() as patch:
            patch.setattr("nstk.storage.checkpoints.write_arrays", refuse)
            for number in (4, 4, 4):
                checkpoints.save(Count(number), now=True)
        assert caplog.text.count("No checkpoint at step 4") == 1
        assert "No space left" in caplog.text
        assert names(folder) == ["step-00000002.checkpoint", "step-00000003.checkpoint"]
        checkpoints.save(Count(5))
    assert restore(folder).facts == {"number": 5}
    assert sorted(path.name for path in folder.iterdir()) == ["lock", *names(folder)]


def count_on(folder, numbers, error=None):
    """Resume a job that counts, without checkpoints on the way; it may end with an error."""
    settings, job = settings_for(folder, resume=True, checkpoint_every=100), Count(0)
    with (
        CheckpointFolder(settings) as checkpoints,
        checkpoints.run(job, checkpoints.find(RUN)) as on_step,
    ):
        for job.completed in numbers:
            on_step()
        if error:
            raise error
    return job


def test_a_job_is_restored_and_saved_at_the_end(folder):
    assert count_on(folder, []).completed == 3
    count_on(folder, (4, 5))
    assert names(folder) == ["step-00000003.checkpoint", "step-00000005.checkpoint"]


@pytest.mark.parametrize(("error", "newest"), [(KeyboardInterrupt, 4), (ZeroDivisionError, 3)])
def test_ctrl_c_saves_the_job_and_another_error_does_not(folder, error, newest):
    with pytest.raises(error):
        count_on(folder, [4], error)
    assert restore(folder).facts == {"number": newest}


def test_a_state_that_does_not_fit_the_job_is_refused_in_one_line(folder):
    forge_newest(folder, lambda facts, arrays: facts.update(number=7))
    with CheckpointFolder(settings_for(folder, resume=True)) as checkpoints:
        found = checkpoints.find(RUN)
        with pytest.raises(CheckpointError, match="other numbers") as caught:
            checkpoints.run(Count(0), found).__enter__()
    assert "\n" not in str(caught.value)


def test_partial_files_of_a_killed_run_are_removed(folder):
    leftover = folder / ".nstk-0123456789abcdef.checkpoint"
    leftover.write_bytes(b"half")
    assert restore(folder).facts == {"number": 3}
    assert not leftover.exists()


def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "none" / "deeper"):
        with pytest.raises(OutputError, match=str(place)):
            CheckpointFolder(settings_for(place))


def test_a_second_run_cannot_use_the_folder(folder):
    with (
        CheckpointFolder(settings_for(folder, resume=True)),
        pytest.raises(CheckpointError, match=str(folder)),
    ):
        CheckpointFolder(settings_for(folder, resume=True))
    assert restore(folder).facts == {"number": 3}


def occupy(folder, ready):
    with CheckpointFolder(settings_for(folder, resume=True)):
        ready.set()
        time.sleep(600)


def test_the_death_of_a_process_releases_its_folder(folder):
    spawning = multiprocessing.get_context("spawn")
    ready = spawning.Event()
    process = spawning.Process(target=occupy, args=(folder, ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(CheckpointError, match=str(folder)):
        restore(folder)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert restore(folder).facts == {"number": 3}


@pytest.mark.parametrize("every", [0, -1, "0s", "-3s", "soon", "s", 2.5j, None])
def test_an_invalid_interval_is_refused(every, tmp_path):
    with pytest.raises(SettingsError, match="checkpoint_every"):
        settings_for(tmp_path, checkpoint_every=every)


def test_resume_needs_a_checkpoint_folder():
    with pytest.raises(SettingsError, match="`checkpoint`"):
        CheckpointFolder(CheckpointSettings(resume=True))
