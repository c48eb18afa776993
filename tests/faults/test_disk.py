"""A full disk, vanished folders, changed files: one clear line, and never a partial file."""

import shutil
import subprocess
from contextlib import contextmanager

import pytest
from jobs import FINETUNE, STYLIZE

pytestmark = pytest.mark.faults


def list_files(folder):
    """All files except those of the harness."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".log")
    return sorted(str(path.relative_to(folder)) for path in found)


@contextmanager
def small_disk(folder, size):
    """A file system of this size in bytes."""
    folder.mkdir(exist_ok=True)
    options = f"size={size}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk that fills up without root: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.faults("disk full: no room for the result")
def test_a_result_that_does_not_fit_leaves_one_line_and_no_file(tmp_path):
    STYLIZE.prepare(tmp_path)
    before = list_files(tmp_path)
    run = STYLIZE.start(tmp_path, fault="full=1000")
    assert run.wait() == 2, run.said
    warning, line = run.lines
    assert "No checkpoint at step 1" in warning
    assert line.startswith("nstk: Cannot write out.png: File too large; ")
    assert [name for name in list_files(tmp_path) if name != "states/lock"] == before


@pytest.mark.faults("disk full: no room for checkpoints", soak=True)
def test_checkpoints_that_do_not_fit_do_not_stop_the_run(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path, fault="full=60000")
    assert run.wait() == 0, run.said
    assert "No checkpoint at step" in run.said
    assert STYLIZE.read(tmp_path) == expected
    assert list_files(tmp_path / "states") == ["lock"]


@pytest.mark.faults("disk full: a small disk fills up", soak=True)
def test_a_small_disk_that_fills_up_keeps_complete_checkpoints(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    with small_disk(tmp_path / "states", 400_000):
        run = STYLIZE.start(tmp_path)
        assert run.wait() == 0, run.said
        assert "No space left on device" in run.said
        assert STYLIZE.read(tmp_path) == expected
        run = STYLIZE.start(tmp_path, again=True)
        assert run.wait() == 0, run.said
        assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("disk full: no room for the cache", soak=True)
def test_a_cache_that_does_not_fit_is_logged_and_does_not_stop_the_run(whole, tmp_path):
    expected, _ = whole(FINETUNE)
    FINETUNE.prepare(tmp_path)
    with small_disk(tmp_path / "features", 8192):
        run = FINETUNE.start(tmp_path)
        assert run.wait() == 0, run.said
    assert "feature cache cannot be written" in run.said
    assert FINETUNE.read(tmp_path) == expected


@pytest.mark.faults("output folder removed", soak=True)
def test_a_removed_output_folder_is_one_line_and_the_state_is_kept(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    (tmp_path / "there").mkdir()
    run = STYLIZE.start(tmp_path, add=("-o", "there/out.png"))
    run.wait_for("states/*.checkpoint", tmp_path)
    (tmp_path / "there").rmdir()
    assert run.wait() == 2, run.said
    assert len(run.lines) == 1, run.said
    assert "there" in run.lines[0]
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("checkpoint folder removed", soak=True)
def test_a_removed_checkpoint_folder_does_not_stop_the_run(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path)
    run.wait_for("states/*.checkpoint", tmp_path)
    shutil.rmtree(tmp_path / "states", ignore_errors=True)
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("input truncated", soak=True)
def test_truncating_an_input_during_the_run_changes_nothing(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path)
    run.wait_for("states/*.checkpoint", tmp_path)
    content = (tmp_path / "town.png").read_bytes()
    (tmp_path / "town.png").write_bytes(content[: len(content) // 2])
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 2, run.said
    assert len(run.lines) == 1, run.said
    assert STYLIZE.read(tmp_path) == expected


@pytest.mark.faults("cache file corrupted", soak=True)
def test_a_changed_cache_file_is_detected_and_computed_again(whole, tmp_path):
    expected, _ = whole(FINETUNE)
    FINETUNE.prepare(tmp_path)
    assert FINETUNE.start(tmp_path).wait() == 0
    rows = sorted((tmp_path / "features").rglob("*.rows"))
    content = bytearray(rows[0].read_bytes())
    content[-3] ^= 1
    rows[0].write_bytes(content)
    run = FINETUNE.start(tmp_path)
    assert run.wait() == 0, run.said
    assert "damaged" in run.said
    assert FINETUNE.read(tmp_path) == expected


@pytest.mark.faults("checkpoint corrupted", soak=True)
def test_a_changed_checkpoint_is_detected_and_the_one_before_is_used(whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    assert STYLIZE.start(tmp_path).wait() == 0
    (tmp_path / "out.png").unlink()
    newest = sorted((tmp_path / "states").glob("*.checkpoint"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 0, run.said
    assert "damaged" in run.said
    assert STYLIZE.read(tmp_path) == expected
