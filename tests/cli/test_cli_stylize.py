"""`nstk stylize` and `nstk style` through the command line; only two tests run the optimization."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from shell import complaint, invoke

from nstk.errors import DivergenceError
from nstk.images.encoding import save_image
from nstk.images.loading import load_image
from nstk.settings import StylizeSettings
from nstk.stylization.job import stylize as run_stylize

KEYS = [
    "output",
    "width",
    "height",
    "backbone",
    "tiling",
    "precision",
    "strength",
    "steps",
    "seconds",
    "seconds_per_step",
    "loss",
    "terms",
    "peak_memory_bytes",
    "deterministic",
]


class RecordedRun:
    """Stands for `nstk.stylize`: replays the progress of a real run and returns its result."""

    def __init__(self, made, progress):
        self.made, self.progress = made, progress
        self.calls = []

    def __call__(self, content, styles, *, on_progress, checkpoints, **chosen):
        self.calls.append({"content": content, "styles": styles, **chosen})
        for each in self.progress:
            on_progress(each)
        return self.made


@pytest.fixture(scope="module")
def real_run(tiny_backbone, scene, strokes):
    """A small run: its result and all its progress."""
    progress = []
    settings = StylizeSettings(size=32, steps=4, scales=1)
    made = run_stylize(
        scene, strokes, backbone=tiny_backbone, settings=settings, on_progress=progress.append
    )
    return made, progress


@pytest.fixture
def files(tmp_path, monkeypatch, tiny_backbone, scene, strokes):
    """A folder with scene.png and strokes.png; the tiny network replaces all others."""
    monkeypatch.setattr("nstk.backbones.loading.load_backbone", lambda name, **_: tiny_backbone)
    save_image(tmp_path / "scene.png", scene)
    save_image(tmp_path / "strokes.png", strokes)
    return tmp_path


@pytest.fixture
def recorded(monkeypatch, real_run):
    recorded = RecordedRun(*real_run)
    monkeypatch.setattr("nstk.stylization.job.stylize", recorded)
    return recorded


def stylize(files, *options, output="out.png"):
    return invoke(
        *("stylize", files / "scene.png", files / "strokes.png", "-o", files / output),
        *("--size", 32, "--steps", 2, "--scales", 1, *options),
    )


def test_an_image_is_written_and_described_on_one_line(files):
    result = stylize(files)
    assert result.exit_code == 0, result.stderr
    assert load_image(files / "out.png").pixels.shape == (24, 32, 3)
    (line,) = result.stdout.splitlines()
    assert line.startswith(f"{files / 'out.png'}: 32×24, 2 steps")


def test_json_is_one_object_with_exactly_the_fixed_keys(files):
    result = stylize(files, "--json", "--quiet")
    answer = json.loads(result.stdout)
    assert list(answer) == KEYS
    assert answer["output"] == str(files / "out.png")
    assert (answer["width"], answer["height"]) == (32, 24)
    assert answer["steps"] == 2
    assert answer["seconds"] > answer["seconds_per_step"] > 0
    assert {"content", "style", "tv"} <= set(answer["terms"])
    assert answer["peak_memory_bytes"] > 1e6
    assert result.stderr == ""


def test_options_and_masks_become_arguments_of_the_library(files, recorded, scene):
    result = invoke(
        *("stylize", files / "scene.png", files / "strokes.png", files / "scene.png"),
        *("-o", files / "out.jpg", "--seed", 7, "--init", "noise", "--style-blend", "1,2", "-q"),
        *("--content-mask", "left.png", "--content-mask", "right.png"),
        *("--style-mask", "a.png", "--style-mask", "b.png", "--keep-mask", "keep.png"),
    )
    assert result.exit_code == 0, result.stderr
    assert (files / "out.jpg").is_file()
    (call,) = recorded.calls
    assert call["styles"] == [files / "strokes.png", files / "scene.png"]
    expected = StylizeSettings(seed=7, init="noise", style_blend=(1.0, 2.0))
    assert call["settings"] == expected
    masks = call["masks"]
    assert [path.name for path in masks.content_masks] == ["left.png", "right.png"]
    assert [path.name for path in masks.style_masks] == ["a.png", "b.png"]
    assert masks.keep_mask.name == "keep.png"


def test_previews_are_saved_beside_the_output(files, recorded, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "nstk.stylization.result.save_image",
        lambda *image, **more: saved.append(save_image(*image, **more)),
    )
    result = stylize(files, "--preview-every", 2)
    assert result.exit_code == 0, result.stderr
    assert saved == [files / "out.preview.png"] * 2 + [files / "out.png"]
    assert load_image(files / "out.preview.png").pixels.shape == (24, 32, 3)


def test_a_preview_that_cannot_be_written_does_not_stop_the_run(files, recorded):
    (files / "out.preview.png").mkdir()
    result = stylize(files, "--preview-every", 1)
    assert result.exit_code == 0
    assert "preview" in result.stderr
    assert (files / "out.png").is_file()


def test_ctrl_c_saves_the_image_so_far(files, monkeypatch):
    def interrupt(self, progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("nstk_cli.reporting.Lines.__call__", interrupt)
    result = stylize(files, "--steps", 50, "--json")
    assert result.exit_code == 130
    assert (files / "out.png").is_file()
    assert result.stderr.startswith("nstk: interrupted; ")
    assert str(files / "out.png") in result.stderr
    assert json.loads(result.stdout)["steps"] == 2


@pytest.mark.parametrize("loss", [0.5, math.nan])
def test_a_run_without_a_step_is_described_without_its_pace(files, recorded, loss):
    recorded.made = replace(recorded.made, steps=0, seconds_per_step=math.nan, loss=loss)
    result = stylize(files)
    assert result.exit_code == 0, result.stderr
    assert "nan" not in result.stdout
    assert "per step" not in result.stdout
    assert ("loss 0.5" in result.stdout) == (loss == 0.5)


def test_the_output_is_checked_before_any_work(files, recorded):
    for output in ("out.docx", "missing/out.png", "."):
        result = stylize(files, output=output)
        assert result.exit_code == 2
        assert str(files / output) in complaint(result)
    assert not recorded.calls


@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("scene.png", ()),
        ("strokes.png", ()),
        ("link.png", ()),
        ("out.png", ("--animation", "film.gif", "--init", "film.gif")),
        ("out.png", ("--keep-mask", "out.png")),
    ],
)
def test_an_input_is_not_overwritten(files, recorded, monkeypatch, output, options):
    monkeypatch.chdir(files)
    (files / "link.png").symlink_to(files / "scene.png")
    if options:
        (files / options[-1]).write_bytes((files / "scene.png").read_bytes())
    before = {path: path.read_bytes() for path in files.iterdir()}
    result = stylize(files, *options, output=output)
    assert result.exit_code == 2
    assert (options[-1] if options else output) in complaint(result)
    assert {path: path.read_bytes() for path in files.iterdir()} == before
    assert not recorded.calls


def test_notices_of_the_run_are_printed(files, recorded):
    recorded.made = replace(recorded.made, notices=("JPEG has no transparency.",))
    assert "nstk: JPEG has no transparency." in stylize(files).stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--content-mask", "no.png", "--content-mask", "no.png"], "--content-mask"),
        (["--style-blend", "1,2"], "--style-blend"),
        (["--style-layers", "block9_conv1"], "block9_conv1"),
        (["--style-layers", "block1_conv1:x"], "--style-layers"),
        (["--strength", "auto=7"], "--strength"),
        (["--optimizer", "sgd"], "--optimizer"),
        (["--color", "blue"], "--color"),
        (["--animation", "film.mp4"], "film.mp4"),
    ],
)
def test_an_invalid_option_is_one_line(files, options, words):
    result = stylize(files, *options)
    assert result.exit_code == 2
    assert words in complaint(result)
    assert not (files / "out.png").exists()


def test_a_report_and_an_animation_are_written(files, recorded):
    result = stylize(files, "--report", files / "page", "--animation", files / "film.gif")
    assert result.exit_code == 0, result.stderr
    trace = json.loads((files / "page" / "trace.json").read_text())
    assert len(trace["trace"]["loss"]) == 4
    assert trace["command"].startswith("nstk")
    assert "<html" in (files / "page" / "report.html").read_text()
    assert (files / "film.gif").read_bytes()[:3] == b"GIF"
    assert result.stdout.splitlines()[1].startswith(f"{files / 'page' / 'report.html'}: ")


@pytest.mark.parametrize("steps", [0, 2])
def test_a_run_that_diverges_leaves_its_last_good_image(files, recorded, monkeypatch, steps):
    def diverge(*inputs, **chosen):
        error = DivergenceError("The loss is nan at step 2.")
        error.made = replace(recorded.made, steps=steps)
        raise error

    monkeypatch.setattr("nstk.stylization.job.stylize", diverge)
    result = stylize(files, "--quiet")
    assert result.exit_code == 2
    assert "nan" in complaint(result)
    assert (str(files / "out.png") in result.stderr) == (steps > 0)
    assert (files / "out.png").exists() == (steps > 0)


def test_a_plan_is_printed_without_a_run(files, recorded):
    result = stylize(files, "--plan", "--json")
    assert result.exit_code == 0, result.stderr
    assert {"tiling", "precision", "seconds", "peak_memory_bytes"} <= set(json.loads(result.stdout))
    assert "GiB" in stylize(files, "--plan").stdout
    assert not recorded.calls


def test_a_style_is_saved_to_a_file(files):
    output = files / "strokes.nstyle"
    result = invoke("style", "save", files / "strokes.png", "-o", output, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["layers"] == ["block1_conv1", "block2_conv1", "block3_conv1"]
    assert answer["bytes"] == output.stat().st_size


def test_a_style_file_has_its_own_extension(files):
    result = invoke("style", "save", files / "strokes.png", "-o", files / "strokes.npz")
    assert result.exit_code == 2
    assert ".nstyle" in complaint(result)
    assert not (files / "strokes.npz").exists()


def test_the_pixels_of_the_result_are_saved(files, recorded):
    assert stylize(files).exit_code == 0
    np.testing.assert_allclose(
        load_image(files / "out.png").pixels, recorded.made.image, atol=0.6 / 255
    )
