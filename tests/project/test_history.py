"""The history of benchmarks says what got slower, and its page is up to date."""

import json
from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.history import Figure

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty history on a machine of its own."""
    monkeypatch.setattr(history, "RESULTS", tmp_path)
    monkeypatch.setattr(history, "PAGE", tmp_path / "history.md")
    monkeypatch.setattr(history, "describe_machine", lambda: "this machine")
    monkeypatch.setattr("sys.argv", ["history"])
    return tmp_path


def test_the_page_is_what_the_results_say():
    page = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    assert page == history.write_page(), "run python -m benchmarks.history"


@pytest.mark.parametrize("path", sorted(history.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_entry_has_its_date_commit_and_machine(path):
    entries = json.loads(path.read_text(encoding="utf-8"))
    assert entries
    for entry in entries:
        assert all(entry[name] for name in ("date", "version", "commit", "machine", "figures"))
    assert [entry["date"] for entry in entries] == sorted(entry["date"] for entry in entries)


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (Figure(1.0, "s"), Figure(1.3, "s"), 1),
        (Figure(1.0, "s"), Figure(0.7, "s"), 0),
        (Figure(100, "images/s"), Figure(70, "images/s"), 1),
        (Figure(100, "images/s"), Figure(140, "images/s"), 0),
        (Figure(1.0, "s", 0.5), Figure(3.0, "s", 0.5), 0),  # a busy machine slows both alike
        (Figure(1.0, "s", 0.5), Figure(1.0, "s", 0.7), 1),
    ],
)
def test_a_figure_is_slower_than_the_one_before_it(results, before, after, status):
    history.record("step", {"one": Figure(9.0, "s")})
    history.record("step", {"one": before})
    assert history.main() in (0, 1)
    history.record("step", {"one": after, "new": after})
    assert history.main() == status
    assert (results / "history.md").read_text(encoding="utf-8").count("| this machine |") == 2


def test_other_machines_are_not_compared(results, monkeypatch):
    history.record("step", {"one": Figure(1.0, "s")})
    monkeypatch.setattr(history, "describe_machine", lambda: "another machine")
    history.record("step", {"one": Figure(9.0, "s")})
    assert history.main() == 0
    assert len(list(history.compare_runs("step"))) == 2
