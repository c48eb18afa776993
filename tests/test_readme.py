"""The README tells the truth: its commands run, its help is the real help, its links lead on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shell import environment, invoke, spawn

import nstk

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


SHELL = [line for block in blocks("sh") for line in block.splitlines()]
HELP = {block.split()[2]: block for block in blocks("text") if block.startswith("Usage: nstk ")}


@pytest.fixture(scope="module")
def place(tmp_path_factory, scene, strokes):
    """A folder in which the demo's samples are, small."""
    place = tmp_path_factory.mktemp("readme")
    samples = place / "demo"
    for name in ("0", "1"):
        (samples / "digits" / name).mkdir(parents=True)
        for seed in range(5):
            grain = np.random.default_rng(seed).normal(0, 0.05, (32, 32, 3))
            picture = np.clip(float(name) * 0.6 + 0.2 + grain, 0, 1).astype(np.float32)
            nstk.save_picture(samples / "digits" / name / f"{seed}.png", picture)
    (samples / "new-digits").mkdir()
    nstk.save_picture(samples / "new-digits" / "a.png", picture)
    nstk.save_picture(samples / "picture.png", scene)
    nstk.save_picture(samples / "painting.png", strokes)
    return place


def test_every_command_has_its_help_block():
    assert list(HELP) == [
        "stylize",
        "finetune",
        "predict",
        "evaluate",
        "explain",
        "export",
        "backbones",
    ]


@pytest.mark.parametrize("command", HELP)
def test_a_help_block_is_the_real_help(command):
    page = spawn(command, "--help", COLUMNS="80").stdout
    assert HELP[command].replace("nstk", "python -m nstk_cli", 1) == page


def test_make_knows_the_targets():
    for line in SHELL:
        if line.startswith("make "):
            subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.slow
def test_every_line_of_the_tour_runs_in_the_shell(place):
    tour = [line for line in SHELL if line.startswith("nstk ")]
    assert {line.split()[1] for line in tour} == set(HELP)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in tour:
        small = line + (" --size 64 --steps 1" if line.startswith("nstk stylize") else "")
        subprocess.run(small, shell=True, cwd=place, env=environment(PATH=path), check=True)
    made = {"painted.png", "sketch.jpg", "digits.keras", "labels.csv", "why", "served"}
    assert made <= set(os.listdir(place))


@pytest.mark.slow
def test_every_python_block_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    tour, project, _ = blocks("python")  # the third runs where a classifier is served
    assert "size=512" in tour
    exec(compile(tour.replace("size=512", "size=64, steps=1"), "tour", "exec"), {})
    names = {}
    exec(compile(project, "project", "exec"), names)
    assert names["vectors"].shape == (2, 384)
    assert names["yours"](names["pictures"]).shape == (2, 10)
    assert names["probabilities"].shape == (2, 2)


def test_every_option_in_the_prose_exists():
    pages = "".join(HELP.values())
    for option in set(re.findall(r"--[a-z][a-z-]+", README)):
        assert option in pages or option in invoke("--help").stdout, option


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_leads_to_a_file(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_picture_is_light_enough_to_load():
    assert (ROOT / "docs" / "pictures" / "demo.jpg").stat().st_size < 400_000
