"""On one machine, every command writes the same bytes for the same settings."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from in_process import InProcess
from labeled_images import COLORS, draw_folder
from shell import environment, invoke

import nstk

VOLATILE = {"seconds", "seconds_per_step", "peak_memory_bytes", "forward_passes"}
"""Fields about the machine and the moment, not about the result."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_backbone):
    """A folder with labeled images and a classifier."""
    folder = tmp_path_factory.mktemp("place")
    draw_folder(folder / "data", 10, tuple(COLORS))
    trained = nstk.finetune(folder / "data", backbone=tiny_backbone)
    trained.classifier.save(folder / "colors.keras")
    return folder


@pytest.fixture
def tiny(monkeypatch, tiny_backbone):
    monkeypatch.setattr("nstk.backbones.loading.load_backbone", lambda name, **_: tiny_backbone)
    for module in (
        *("stylization.job", "stylization.saving", "sweeping.runs"),
        *("backbones.candidates", "auditing.job"),
    ):
        monkeypatch.setattr(f"nstk.{module}.load_backbone", lambda name, **_: tiny_backbone)
    monkeypatch.setattr("nstk.exporting.verification._start", InProcess)


def strip(value):
    """Remove volatile fields and output folders from an answer."""
    if isinstance(value, dict):
        return {name: strip(part) for name, part in value.items() if name not in VOLATILE}
    if isinstance(value, list):
        return [strip(part) for part in value]
    return value.rpartition("/")[2] if isinstance(value, str) else value


def run(folder, words):
    """Run a command; return its JSON and every file that it wrote."""
    folder.mkdir()
    result = invoke(*(word.format(out=folder) for word in words), "--json", "-q")
    assert result.exit_code == 0, result.stderr
    files = {path.name: read(path) for path in folder.rglob("*") if path.is_file()}
    return strip(json.loads(result.stdout)), files


def read(path):
    """Return the bytes of a file, or the stable fields of a record."""
    return strip(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


IMAGES = "{place}/data/red/0.png", "{place}/data/blue/0.png"

COMMANDS = {
    "stylize": (
        *("stylize", *IMAGES, "-o", "{out}/out.png", "--size", "32", "--steps", "2"),
        *("--scales", "1", "--init", "noise", "--animation", "{out}/film.gif"),
    ),
    "style save": ("style", "save", *IMAGES, "-o", "{out}/both.nstyle"),
    "finetune": ("finetune", "{place}/data", "-o", "{out}/c.keras", "--folds", "3", "--cache=off"),
    "predict": ("predict", "{place}/colors.keras", "{place}/data", "--csv", "{out}/labels.csv"),
    "evaluate": ("evaluate", "{place}/colors.keras", "{place}/data"),
    "explain": ("explain", "{place}/colors.keras", *IMAGES, "-o", "{out}"),
    "audit": ("audit", "{place}/data"),
    "sweep": (
        *("sweep", *IMAGES, "-o", "{out}/sheet.png", "--size", "32", "--steps", "2"),
        *("--scales", "1", "--init", "noise", "--over", "strength=0.2,0.8"),
    ),
    **{
        f"inspect {what}": (
            *("inspect", what, *images, "-o", "{out}/sheet.png", "--size", "48"),
            *("--layers", layers, *options),
        )
        for what, images, layers, options in (
            ("layers", IMAGES, "block1_conv1,block2_conv1", ("--steps", "2", "--channels", "2")),
            ("content", IMAGES[:1], "block1_conv1", ("--steps", "2")),
            ("style", IMAGES[:1], "block1_conv1", ("--steps", "2")),
            ("gram", IMAGES, "block1_conv1,block2_conv1", ()),
        )
    },
    **{
        f"export to {format}": (
            *("export", "{place}/colors.keras", "--to", format, "-o", "{out}/c" + extension),
            *("--images", "4", "--images", "{place}/data"),
        )
        for format, extension in (("tflite", ".tflite"), ("onnx", ".onnx"))
    },
}


SLOW = [word for word in COMMANDS if word.startswith("export")]


@pytest.mark.usefixtures("tiny")
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize(
    "command",
    [pytest.param(word, marks=[pytest.mark.slow] if word in SLOW else []) for word in COMMANDS],
)
def test_a_command_makes_the_same_bytes_again(command, place, tmp_path):
    words = [word.replace("{place}", str(place)) for word in COMMANDS[command]]
    first = run(tmp_path / "first", words)
    assert "deterministic" in first[0]
    # Anything that used the global generators would now differ.
    random.seed(1)
    np.random.seed(1)
    second = run(tmp_path / "second", words)
    assert first == second


@pytest.mark.slow
def test_a_saved_model_has_the_same_bytes_in_every_process(place, tmp_path):
    writing = (
        "import sys; from pathlib import Path; import nstk;"
        "from nstk.exporting.saved_model import write_saved_model;"
        "write_saved_model(nstk.Classifier.load(sys.argv[1]), Path(sys.argv[2]))"
    )
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        words = [sys.executable, "-c", writing, str(place / "colors.keras"), str(folder)]
        subprocess.run(words, env=environment(), check=True, capture_output=True)
    first, second = (
        {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    )
    assert "saved_model.pb" in first
    assert first == second
