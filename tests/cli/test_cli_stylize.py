"""`nstk stylize` through the shell, on a tiny network."""

import json

import numpy as np
import pytest
from shell import complaint, invoke

import nstk

KEYS = [
    "output",
    "width",
    "height",
    "backbone",
    "tiling",
    "precision",
    "convolution",
    "strength",
    "steps",
    "seconds",
    "seconds_per_step",
    "loss",
    "terms",
    "peak_memory_bytes",
    "deterministic",
]


@pytest.fixture
def files(tmp_path, monkeypatch, tiny_backbone, scene, strokes):
    """A folder with scene.png and strokes.png, and the tiny network in the place of all others."""
    monkeypatch.setattr(nstk, "load_backbone", lambda name, **_: tiny_backbone)
    nstk.save_image(tmp_path / "scene.png", scene)
    nstk.save_image(tmp_path / "strokes.png", strokes)
    return tmp_path


def stylize(files, *options, output="out.png"):
    return invoke(
        *("stylize", files / "scene.png", files / "strokes.png", "-o", files / output),
        *("--size", 32, "--steps", 2, "--scales", 1, *options),
    )


def test_a_stylized_image_is_written_and_described_on_one_line(files):
    result = stylize(files)
    assert result.exit_code == 0, result.stderr
    assert nstk.load_image(files / "out.png").pixels.shape == (24, 32, 3)
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


def test_several_styles_are_taken_together(files):
    result = invoke(
        *("stylize", files / "scene.png", files / "strokes.png", files / "scene.png"),
        *("-o", files / "out.jpg", "--size", 32, "--steps", 1, "--scales", 1, "-q"),
    )
    assert result.exit_code == 0, result.stderr
    assert (files / "out.jpg").is_file()


def test_options_reach_the_settings(files):
    one = stylize(files, "--seed", 1, "--init", "noise", output="one.png")
    same = stylize(files, "--seed", 1, "--init", "noise", output="same.png")
    other = stylize(files, "--seed", 2, "--init", "noise", output="other.png")
    assert one.exit_code == same.exit_code == other.exit_code == 0
    images = {name: nstk.load_image(files / f"{name}.png") for name in ("one", "same", "other")}
    np.testing.assert_array_equal(images["one"].pixels, images["same"].pixels)
    assert np.abs(images["one"].pixels - images["other"].pixels).max() > 0.01


def test_previews_stand_beside_the_output_while_it_is_made(files, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "nstk.stylization.recording.save_image",
        lambda path, *rest: saved.append(nstk.save_image(path, *rest)),
    )
    result = stylize(files, "--steps", 4, "--preview-every", 2)
    assert result.exit_code == 0, result.stderr
    assert saved == [files / "out.preview.png"] * 2
    assert nstk.load_image(files / "out.preview.png").pixels.shape == (24, 32, 3)


def test_a_preview_that_cannot_be_written_stops_nothing(files):
    (files / "out.preview.png").mkdir()
    result = stylize(files, "--preview-every", 1)
    assert result.exit_code == 0
    assert "No preview" in result.stderr
    assert (files / "out.png").is_file()


def test_ctrl_c_saves_the_image_so_far_and_says_so(files, monkeypatch):
    def interrupt(self, progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("nstk_cli.reporting.Lines.__call__", interrupt)
    result = stylize(files, "--steps", 50, "--json")
    assert result.exit_code == 130
    assert (files / "out.png").is_file()
    assert result.stderr == f"nstk: interrupted; the image so far is in {files / 'out.png'}.\n"
    assert json.loads(result.stdout)["steps"] == 2


def test_what_takes_no_step_is_described_without_its_pace(files, monkeypatch):
    kept = ("--checkpoint", files / "states", "--resume")
    assert stylize(files, *kept).exit_code == 0
    again = stylize(files, *kept, "--animation", files / "film.gif", "--report", files / "page")
    assert again.exit_code == 0, again.stderr
    assert again.stdout.splitlines()[0].split(", loss")[0].endswith(" s")

    def interrupt(self, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr("nstk_cli.reporting.Lines.__call__", interrupt)
    at_once = stylize(files)
    assert at_once.exit_code == 130, at_once.stderr
    assert "nan" not in at_once.stdout


def test_the_place_of_the_output_is_checked_before_any_work(files, monkeypatch):
    monkeypatch.setattr(nstk, "stylize", None)
    for output in ("out.docx", "missing/out.png", "."):
        result = stylize(files, output=output)
        assert result.exit_code == 2
        assert "out" in complaint(result) or "folder" in complaint(result)


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
def test_what_is_read_is_not_written_over(files, monkeypatch, output, options):
    monkeypatch.chdir(files)
    (files / "link.png").symlink_to(files / "scene.png")
    if options:
        (files / options[-1]).write_bytes((files / "scene.png").read_bytes())
    before = {path: path.read_bytes() for path in files.iterdir()}
    result = stylize(files, *options, output=output)
    assert result.exit_code == 2
    assert "made from this very file" in complaint(result)
    assert {path: path.read_bytes() for path in files.iterdir()} == before


def test_transparency_comes_back_with_the_image(files, scene):
    alpha = np.zeros(scene.shape[:2], np.float32)
    alpha[:, 20:] = 1.0
    nstk.save_image(files / "scene.png", scene, alpha=alpha)
    assert stylize(files).exit_code == 0
    back = nstk.load_image(files / "out.png")
    assert back.alpha is not None
    assert back.alpha[0, 0] < 0.1 < 0.9 < back.alpha[0, -1]
    lost = stylize(files, output="out.jpg")
    assert lost.exit_code == 0
    assert "JPEG has no transparency" in lost.stderr


def test_masks_say_where_each_style_goes(files, scene):
    left = np.zeros_like(scene)
    left[:, :32] = 1.0
    nstk.save_image(files / "left.png", left)
    nstk.save_image(files / "right.png", 1 - left)
    result = invoke(
        *("stylize", files / "scene.png", files / "strokes.png", files / "scene.png"),
        *("-o", files / "out.png", "--size", 64, "--steps", 3, "--scales", 1),
        *("--content-mask", files / "left.png", "--content-mask", files / "right.png"),
        *("--style-mask", files / "white.png", "--style-mask", files / "white2.png"),
    )
    assert result.exit_code == 2
    assert "white.png" in complaint(result)
    result = invoke(
        *("stylize", files / "scene.png", files / "strokes.png", files / "scene.png"),
        *("-o", files / "out.png", "--size", 64, "--steps", 3, "--scales", 1),
        *("--content-mask", files / "left.png", "--content-mask", files / "right.png"),
    )
    assert result.exit_code == 0, result.stderr


def test_what_is_kept_is_kept(files, scene):
    left = np.zeros_like(scene)
    left[:, :32] = 1.0
    nstk.save_image(files / "left.png", left)
    result = stylize(files, "--keep-mask", files / "left.png", "--size", 64)
    assert result.exit_code == 0, result.stderr
    made, given = (nstk.load_image(files / name).pixels for name in ("out.png", "scene.png"))
    np.testing.assert_array_equal(made[:, :31], given[:, :31])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--content-mask", "no.png", "--content-mask", "no.png"], "2 --content-mask"),
        (["--style-blend", "1,2"], "--style-blend"),
        (["--style-layers", "block9_conv1"], "block9_conv1"),
        (["--style-layers", "block1_conv1:x"], "--style-layers"),
        (["--strength", "auto=7"], "--strength"),
        (["--optimizer", "sgd"], "--optimizer"),
        (["--color", "blue"], "--color"),
        (["--animation", "film.mp4"], "film.mp4"),
    ],
)
def test_a_control_out_of_its_range_is_one_line(files, options, words):
    result = stylize(files, *options)
    assert result.exit_code == 2
    assert words in complaint(result)
    assert not (files / "out.png").exists()


def test_a_report_and_an_animation_stand_where_they_are_wanted(files):
    result = stylize(
        files, "--report", files / "page", "--animation", files / "film.gif", "--steps", 5
    )
    assert result.exit_code == 0, result.stderr
    trace = json.loads((files / "page" / "trace.json").read_text())
    assert len(trace["trace"]["loss"]) == 5
    assert trace["command"].startswith("nstk")
    assert "<html" in (files / "page" / "report.html").read_text()
    assert (files / "film.gif").read_bytes()[:3] == b"GIF"
    assert result.stdout.splitlines()[1].startswith(f"{files / 'page' / 'report.html'}: ")


def test_a_descent_that_diverges_at_once_is_one_line_and_writes_nothing(files, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(
        "nstk.stylization.objective.sum_variation", lambda image: float("nan") * tf.ones(4)
    )
    result = stylize(files)
    assert result.exit_code == 2
    assert "in variation" in complaint(result)
    assert not (files / "out.png").exists()


def test_a_descent_that_diverges_later_leaves_its_last_good_image(files, monkeypatch):
    run = nstk.stylize

    def diverge(*inputs, **chosen):
        error = nstk.DivergenceError("The loss is nan at step 2.")
        error.made = run(*inputs, **chosen)
        raise error

    monkeypatch.setattr(nstk, "stylize", diverge)
    result = stylize(files, "--quiet")
    assert result.exit_code == 2
    assert complaint(result).endswith(f"The last good image is in {files / 'out.png'}.")
    assert (files / "out.png").is_file()


def test_a_style_is_kept_in_a_file_and_used_like_a_image(files):
    kept = invoke(
        "style", "save", files / "strokes.png", "-o", files / "strokes.nstyle", "--json", "-q"
    )
    assert kept.exit_code == 0, kept.stderr
    answer = json.loads(kept.stdout)
    assert answer["layers"] == ["block1_conv1", "block2_conv1", "block3_conv1"]
    assert answer["bytes"] == (files / "strokes.nstyle").stat().st_size
    result = invoke(
        *("stylize", files / "scene.png", files / "strokes.nstyle", "-o", files / "out.png"),
        *("--size", 64, "--steps", 2, "--scales", 1),
    )
    assert result.exit_code == 0, result.stderr


def test_a_style_needs_its_own_ending(files):
    result = invoke("style", "save", files / "strokes.png", "-o", files / "strokes.npz")
    assert result.exit_code == 2
    assert ".nstyle" in complaint(result)
    assert not (files / "strokes.npz").exists()
