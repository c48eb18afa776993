"""`nstk doctor` names what works and what fails, and nothing that identifies its user."""

import json
import os
from importlib import metadata

import pytest
from shell import invoke

from nstk import diagnosis


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A home folder with an empty cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def diagnose(*options):
    result = invoke("doctor", "--json", "--quiet", *options)
    return result.exit_code, json.loads(result.stdout)


def outcomes(report):
    return {check["name"]: check["passed"] for check in report["checks"]}


@pytest.mark.usefixtures("cache")
def test_a_sound_installation_is_healthy():
    status, report = diagnose("--quick")
    assert status == 0
    assert report["healthy"]
    assert outcomes(report) == {"cache": True, "temporary folder": True, "packaged weights": True}
    assert report["processor"]["threads"] >= 1
    assert report["packages"]["pillow"] == metadata.version("pillow")


def test_a_cache_that_cannot_be_made_is_a_failed_check(cache):
    (cache / "cache").write_text("a file")
    status, report = diagnose("--quick")
    assert status == 1
    assert not report["healthy"]
    assert not outcomes(report)["cache"]


def test_the_block_to_paste_hides_the_home_folder(cache):
    result = invoke("doctor", "--quick")
    assert str(cache) not in result.stdout
    assert "~/cache" in result.stdout
    assert os.uname().nodename not in result.stdout.split()


def test_a_missing_package_is_named(monkeypatch):
    wanted = ["numpy>=1", 'absent>=2; extra == "video"', 'nstk[video]; extra == "all"', "gone>=1"]
    monkeypatch.setattr(metadata, "requires", lambda _: wanted)
    packages, extras = diagnosis.list_packages()
    assert packages == {"numpy": metadata.version("numpy"), "gone": None}
    assert extras == {"video": ["absent"]}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("ending", "named"),
    [("os.kill(os.getpid(), signal.SIGILL)", "SIGILL"), ("sys.exit('no AVX')", "no AVX")],
)
def test_a_process_that_ends_early_fails_the_check_it_was_at(monkeypatch, ending, named):
    done = {"name": "TensorFlow", "passed": True, "detail": "", "seconds": 0.0}
    code = f"import os, signal, sys; print({json.dumps(done)!r}, flush=True); {ending}"
    monkeypatch.setattr(diagnosis, "_COMMAND", ("-c", code))
    status, report = diagnose()
    assert status == 1
    assert list(outcomes(report).items())[3:] == [("TensorFlow", True), ("executors", False)]
    assert named in report["checks"][-1]["detail"]


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_the_self_test_does_both_jobs():
    status, report = diagnose()
    assert status == 0, report
    assert list(outcomes(report))[3:] == ["TensorFlow", "executors", "stylize", "finetune"]
