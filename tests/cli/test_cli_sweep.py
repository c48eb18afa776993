"""`nstk sweep` through the command line."""

import json

import pytest
from shell import complaint, invoke

from nstk.backbones.loading import load_backbone
from nstk.images.encoding import save_image

SMALL = ("--size", 48, "--steps", 1, "--scales", 1)


@pytest.fixture
def place(tmp_path, scene, strokes, tiny_backbone, monkeypatch):
    """A folder with a content and a style image, as the working directory.

    The tiny network replaces the default one.
    """

    def load(name, **options):
        return tiny_backbone if name == "compact" else load_backbone(name, **options)

    monkeypatch.setattr("nstk.sweeping.runs.load_backbone", load)
    save_image(tmp_path / "scene.png", scene)
    save_image(tmp_path / "strokes.png", strokes)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return invoke("sweep", "scene.png", "strokes.png", *SMALL, *arguments)


@pytest.mark.slow
def test_every_run_has_settings_terms_seconds_and_an_output(place):
    over = ("--over", "strength=0.2,0.8", "--over", "seed=1,2")
    result = run(*over, "-o", "sweep.png", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    runs = json.loads(result.stdout)["runs"]
    chosen = [(each["settings"]["strength"], each["settings"]["seed"]) for each in runs]
    assert chosen == [(0.2, 1), (0.2, 2), (0.8, 1), (0.8, 2)]
    for each in runs:
        assert {"content", "style", "tv", "loss"} <= set(each["terms"])
        assert each["seconds"] > 0
        assert (place / each["output"]).is_file()
    again = run(*over, "-o", "sweep.png")
    assert again.exit_code == 0, again.stderr
    heading, *rows = again.stdout.splitlines()
    assert heading.split() == ["strength", "seed", "content", "style", "seconds", "image"]
    assert [row.split()[:2] for row in rows[:4]] == [[str(a), str(b)] for a, b in chosen]
    assert rows[-1].startswith("sweep.png: 4 runs, 4 ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--over", "color=red", "-o", "s.png"), "red"),
        (("--over", "shape=1", "-o", "s.png"), "shape"),
        (("--over", "content-layers=auto,block9_conv9", "-o", "s.png"), "block1_conv1"),
        (("--over", "seed=" + ",".join(map(str, range(101))), "-o", "s.png"), "--yes"),
        (("--over", "seed=1", "--over", "size=32", "--over", "steps=1", "-o", "s.png"), "--over"),
        (("--over", "backbone=compact,nowhere", "-o", "s.png"), "nowhere"),
        (("--over", "seed=1,2", "-o", "s.xyz"), "s.xyz"),
        (("--over", "seed=1,2", "-o", "strokes.png"), "strokes.png"),
        (("--over", "seed=1,2", "-o", "no/s.png"), "no"),
        (("--over", "backbone=compact", "--weights", "w.h5", "-o", "s.png"), "--weights"),
        (("-o", "s.png"), "--over"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(place, arguments, words):
    before = sorted(place.rglob("*"))
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in complaint(result)
    assert sorted(place.rglob("*")) == before
