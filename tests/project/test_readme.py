"""The documentation is true: its commands and code run, its links lead somewhere."""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from in_process import InProcess
from shell import invoke, spawn

import nstk

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
from write_reference import list_commands, write_page

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def blocks(language, page=README):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


SHELL = [line for block in blocks("sh") for line in block.splitlines()]
COMMANDS = list(list_commands())
FAST = (
    *("--size", "64", "--steps", "1", "--scales", "1"),
    *("--style-layers", "block1_conv1", "--content-layers", "block2_conv1"),
)
SMALL = {
    "stylize": FAST,
    "sweep": FAST,
    "inspect content": ("--size", "64", "--steps", "1"),
    "doctor": ("--quick",),
    "inspect frozen": ("--scratch-seconds", "1"),
}
REFERENCE = ROOT / "docs" / "reference.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory, scene, strokes):
    """A folder with small versions of the demo's samples."""
    place = tmp_path_factory.mktemp("readme")
    samples = place / "demo"
    for name in ("0", "1"):
        (samples / "digits" / name).mkdir(parents=True)
        for seed in range(5):
            grain = np.random.default_rng(seed).normal(0, 0.05, (32, 32, 3))
            image = np.clip(float(name) * 0.6 + 0.2 + grain, 0, 1).astype(np.float32)
            nstk.save_image(samples / "digits" / name / f"{seed}.png", image)
    (samples / "new-digits").mkdir()
    nstk.save_image(samples / "new-digits" / "a.png", image)
    nstk.save_image(samples / "image.png", scene)
    nstk.save_image(samples / "painting.png", strokes)
    return place


def test_the_reference_is_what_help_says():
    assert REFERENCE.read_text(encoding="utf-8") == write_page(), "run docs/write_reference.py"


def test_the_api_pages_have_every_public_name_once():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: nstk\.(\w+)$", page, re.MULTILINE)) == sorted(nstk._HOME)
    for namespace in nstk.NAMESPACES:
        assert f"](api-{namespace}.md)" in page
        own = (ROOT / "docs" / f"api-{namespace}.md").read_text(encoding="utf-8")
        assert f"\n::: nstk.{namespace}\n" in own


def test_make_has_every_target_of_the_readme():
    for line in SHELL:
        if line.startswith("make "):
            subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.slow
@pytest.mark.usefixtures("small_compact")
def test_every_command_of_the_tour_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr("nstk.exporting.verification._start", InProcess)
    monkeypatch.setattr("nstk.page.server.serve_page", lambda *_, **__: None)  # it ends by Ctrl-C
    tour = [shlex.split(line, comments=True) for line in SHELL if line.startswith("nstk ")]
    assert {words[1] for words in tour} == {words[0] for words in COMMANDS}
    for _, *words in tour:
        result = invoke(*words, *SMALL.get(words[0], SMALL.get(" ".join(words[:2]), ())))
        assert result.exit_code == 0, (words, result.stderr)
    assert spawn("backbones").stdout == invoke("backbones").stdout
    made = {"painted.png", "sketch.jpg", "page", "painting.nstyle", "digits.keras", "labels.csv"}
    made |= {"explanations", "served", "sweep.png", "frozen.html", "content.png"}
    assert made <= set(os.listdir(place))


def shrink(code):
    """The same code with a small image and a single step."""
    return re.sub(r"size=(512|256)", "size=64, steps=1, scales=1", code)


def mask(text):
    """Replace all numbers, which differ between data sets and machines."""
    return re.sub(r"\d+(\.\d+)?", "0", text).strip()


@pytest.mark.slow
@pytest.mark.usefixtures("small_compact")
def test_every_example_of_the_first_screen_prints_what_it_says(place, monkeypatch):
    monkeypatch.chdir(place)
    names = {}
    for block in blocks("python"):
        for example in doctest.DocTestParser().get_examples(block):
            source = shrink(example.source)
            if example.want:
                assert mask(repr(eval(source, names))) == mask(example.want)
            else:
                exec(source, names)
    assert names["result"].accuracy > 0.9
    assert (place / "painted.png").exists()


TOUR, PROJECT, _ = [block for block in blocks("python") if ">>>" not in block]  # _: test_serving


@pytest.mark.slow
@pytest.mark.usefixtures("small_compact")
def test_the_blocks_of_the_tour_and_the_tutorial_run(place, monkeypatch):
    monkeypatch.chdir(place)
    for block in (TOUR, *blocks("python", TUTORIAL)):
        exec(compile(shrink(block), "block", "exec"), {})


@pytest.mark.slow
def test_the_block_of_a_tensorflow_project_runs(tmp_path, color_model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(color_model, "digits.keras")
    names = {}
    exec(compile(PROJECT, "project", "exec"), names)
    assert names["vectors"].shape == (2, 384)
    assert names["yours"](names["images"]).shape == (2, 10)
    assert names["probabilities"].shape == (2, 3)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/explanation.md"])
def test_every_option_in_the_prose_exists(page):
    pages = REFERENCE.read_text(encoding="utf-8")
    for option in set(re.findall(r"--[a-z][a-z-]+", (ROOT / page).read_text(encoding="utf-8"))):
        assert option in pages or option in invoke("--help").stdout, option


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name
)
def test_every_link_leads_to_a_file(page):
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_index_links_to_every_page_and_the_readme_to_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([^)#]+)\)", index))
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"} <= linked
    assert {f"../examples/{page.name}" for page in ROOT.glob("examples/*.ipynb")} <= linked
    assert "](docs/index.md)" in README


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_tutorial_shows_every_command(words):
    assert re.search(rf"^nstk {' '.join(words)}\b", TUTORIAL, re.MULTILINE)


@pytest.mark.parametrize("page", [*ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_every_anchor_is_a_heading(page):
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
        there = (page.parent / target if target else page).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", there, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert anchor in anchors, f"{target}#{anchor}"


def test_images_are_light_enough_to_load():
    for image in (ROOT / "docs" / "images").iterdir():
        assert image.stat().st_size < 250_000, image.name
