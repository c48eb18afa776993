import json

import pytest
from shell import complaint, invoke

from nstk.images.image import save_image

SMALL = ("--size", 64, "--steps", 2, "--scales", 1)


@pytest.fixture
def place(tmp_path, scene, strokes, monkeypatch):
    """A folder with a content and a style image, and the shell in it."""
    save_image(tmp_path / "scene.png", scene)
    save_image(tmp_path / "strokes.png", strokes)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return invoke("sweep", "scene.png", "strokes.png", *SMALL, *arguments)


@pytest.mark.slow
def test_the_table_has_settings_terms_seconds_and_output_of_every_run(place):
    over = ("--over", "strength=0.2,0.8", "--over", "seed=1,2")
    result = run(*over, "-o", "sweep.png", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    table = json.loads(result.stdout)
    runs = table["runs"]
    chosen = [(run["settings"]["strength"], run["settings"]["seed"]) for run in runs]
    assert chosen == [(0.2, 1), (0.2, 2), (0.8, 1), (0.8, 2)]
    for run_ in runs:
        assert {"content", "style", "tv", "loss"} <= set(run_["terms"])
        assert run_["seconds"] > 0
        assert (place / run_["output"]).is_file()
    again = run(*over, "-o", "sweep.png")
    assert again.exit_code == 0, again.stderr
    assert again.stdout.endswith("sweep.png: 4 runs, 4 kept from before\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--over", "color=red", "-o", "s.png"), "no setting"),
        (("--over", "content-layers=auto,block9_conv9", "-o", "s.png"), "block1_conv1"),
        (("--over", "seed=" + ",".join(map(str, range(101))), "-o", "s.png"), "--yes"),
        (("--over", "seed=1", "--over", "size=32", "--over", "steps=1", "-o", "s.png"), "one or"),
        (("--over", "backbone=compact,nowhere", "-o", "s.png"), "nowhere"),
        (("--over", "seed=1,2", "-o", "s.xyz"), "s.xyz"),
        (("--over", "seed=1,2", "-o", "strokes.png"), "made from this very file"),
        (("--over", "seed=1,2", "-o", "no/s.png"), "no folder"),
        (("--over", "backbone=compact", "--weights", "w.h5", "-o", "s.png"), "leave --weights out"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_painted(place, arguments, words):
    before = sorted(place.rglob("*"))
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in complaint(result)
    assert sorted(place.rglob("*")) == before


def test_one_axis_at_least_is_needed(place):
    result = run("-o", "s.png")
    assert result.exit_code == 2
    assert "--over" in complaint(result)
