"""The same machine and the same settings make the same bytes, whatever the command."""

import json
import random

import numpy as np
import pytest
from labelled_pictures import COLOURS, draw_folder
from shell import invoke

import nstk

VOLATILE = {"seconds", "seconds_per_step", "peak_memory_bytes", "forward_passes"}
"""What a run says of the machine and the moment, not of the result."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_backbone):
    """A folder with labelled pictures, two pictures to paint from, and a classifier."""
    folder = tmp_path_factory.mktemp("place")
    draw_folder(folder / "data", 10, tuple(COLOURS))
    trained = nstk.finetune(folder / "data", backbone=tiny_backbone)
    trained.classifier.save(folder / "colours.keras")
    return folder


@pytest.fixture
def tiny(monkeypatch, tiny_backbone):
    monkeypatch.setattr(nstk, "load_backbone", lambda name, **_: tiny_backbone)
    for room in ("stylization.saving", "finetuning.job", "auditing.job"):
        monkeypatch.setattr(f"nstk.{room}.load_backbone", lambda name, **_: tiny_backbone)


def strip(value):
    """An answer without what is volatile, and without the place it was written to."""
    if isinstance(value, dict):
        return {name: strip(part) for name, part in value.items() if name not in VOLATILE}
    if isinstance(value, list):
        return [strip(part) for part in value]
    return value.rpartition("/")[2] if isinstance(value, str) else value


def run(folder, words):
    """What a command answers, and every file that it wrote."""
    folder.mkdir()
    result = invoke(*(word.format(out=folder) for word in words), "--json", "-q")
    assert result.exit_code == 0, result.stderr
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return strip(json.loads(result.stdout)), files


PICTURES = "{place}/data/red/0.png", "{place}/data/blue/0.png"

COMMANDS = {
    "stylize": (
        *("stylize", *PICTURES, "-o", "{out}/out.png", "--size", "32", "--steps", "2"),
        *("--scales", "1", "--init", "noise", "--animation", "{out}/film.gif"),
    ),
    "style save": ("style", "save", *PICTURES, "-o", "{out}/both.nstyle"),
    "finetune": ("finetune", "{place}/data", "-o", "{out}/c.keras", "--folds", "3", "--cache=off"),
    "predict": ("predict", "{place}/colours.keras", "{place}/data", "--csv", "{out}/labels.csv"),
    "evaluate": ("evaluate", "{place}/colours.keras", "{place}/data"),
    "explain": ("explain", "{place}/colours.keras", *PICTURES, "-o", "{out}"),
    "audit": ("audit", "{place}/data"),
}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_makes_the_same_bytes_again(command, place, tmp_path):
    words = [word.replace("{place}", str(place)) for word in COMMANDS[command]]
    first = run(tmp_path / "first", words)
    assert "deterministic" in first[0]
    # Whoever draws from the global generators would draw something else now.
    random.seed(1)
    np.random.seed(1)
    second = run(tmp_path / "second", words)
    assert first == second
