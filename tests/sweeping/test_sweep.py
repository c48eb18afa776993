import base64
import io
import json
import logging
import math
import re
import shutil

import numpy as np
import pytest
from PIL import Image as PILImage

from nstk.errors import BackboneError, DivergenceError, ImageError, OutputError, SettingsError
from nstk.images.encoding import save_image
from nstk.images.image import to_image
from nstk.images.loading import load_image
from nstk.reports.sweep import draw_sweep_sheet, save_sweep
from nstk.settings import StylizeSettings
from nstk.stylization import objective as objectives
from nstk.stylization.job import stylize
from nstk.stylization.regions import Masks
from nstk.stylization.result import StylizeResult
from nstk.sweeping.grid import SweepAxis
from nstk.sweeping.job import predict_seconds, sweep
from nstk.sweeping.records import SweptRun
from nstk.sweeping.runs import RunGroup

QUICK = StylizeSettings(size=32, steps=3, scales=1)
WEIGHTS = SweepAxis("content_weight", (0.01, 0.3, 10.0))


@pytest.fixture(scope="module")
def make_sweep(tiny_backbone, scene, strokes):
    def run(folder, *axes, content=scene, settings=QUICK, **options):
        options = {"backbone": tiny_backbone, **options}
        return sweep(content, strokes, axes, folder, settings=settings, **options)

    return run


@pytest.fixture(scope="module")
def finished_once(make_sweep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "runs"
    make_sweep(folder, WEIGHTS)
    return folder


@pytest.fixture
def finished(finished_once, tmp_path):
    """A copy of the finished runs of the weights."""
    return shutil.copytree(finished_once, tmp_path / "runs")


@pytest.fixture
def made(monkeypatch):
    """The labels of the runs that were made, in order."""
    labels = []
    original = RunGroup.run

    def counting(self, point, *arguments, **options):
        labels.append(point.label)
        return original(self, point, *arguments, **options)

    monkeypatch.setattr(RunGroup, "run", counting)
    return labels


def test_a_run_is_the_result_of_stylize(make_sweep, tiny_backbone, scene, strokes, tmp_path):
    weights = SweepAxis("content_weight", (0.01, 10.0))
    swept = make_sweep(
        tmp_path / "runs", SweepAxis("optimizer", ("adam", "gradient-descent")), weights
    )
    assert len(swept.runs) == 4
    for run in swept.runs[1::2]:
        alone = stylize(scene, strokes, backbone=tiny_backbone, settings=run.point.settings)
        assert run.terms["content"] == pytest.approx(alone.terms["content"], rel=1e-4)
        np.testing.assert_allclose(run.load(), alone.image, atol=2 / 255)
        assert len(run.curves["loss"]) == alone.steps


def test_a_run_with_masks_is_the_result_of_stylize(
    make_sweep, tiny_backbone, scene, strokes, tmp_path
):
    left = np.zeros(scene.shape[:2], np.float32)
    left[:, : scene.shape[1] // 2] = 1.0
    part = np.ones(strokes.shape[:2], np.float32)
    part[: strokes.shape[0] // 4] = 0.0
    masks = Masks(content_masks=[left], style_masks=[part], keep_mask=1 - left)
    swept = make_sweep(tmp_path / "runs", SweepAxis("strength", (0.9,)), masks=masks)
    run = swept.runs[0]
    alone = stylize(
        scene, strokes, backbone=tiny_backbone, settings=run.point.settings, masks=masks
    )
    np.testing.assert_allclose(run.load(), alone.image, atol=2 / 255)
    page = save_sweep(swept, tmp_path / "page.html").read_text("utf-8")
    for words in (
        "Where the style goes",
        "Part of the style that counts",
        "Part that stays unchanged",
    ):
        assert words in page


def test_runs_with_other_masks_are_repeated(make_sweep, made, scene, tmp_path):
    axis = SweepAxis("strength", (0.9,))
    half = np.tile(np.linspace(0, 1, scene.shape[1], dtype=np.float32), (scene.shape[0], 1))
    keep, regions = Masks(keep_mask=half), Masks(content_masks=[half])
    for masks in (keep, keep, regions):
        make_sweep(tmp_path / "runs", axis, masks=masks)
    assert len(made) == 2


def test_runs_keep_the_transparency_of_the_content(make_sweep, scene, tmp_path):
    alpha = np.zeros(scene.shape[:2], np.float32)
    alpha[: scene.shape[0] // 2] = 1.0
    content = save_image(tmp_path / "content.png", scene, alpha=alpha)
    run = make_sweep(tmp_path / "runs", SweepAxis("strength", (0.9,)), content=content).runs[0]
    kept = load_image(run.output).alpha
    assert kept is not None
    assert kept[:4].min() == 1
    assert kept[-4:].max() == 0


def test_runs_that_differ_in_weights_alone_compile_nothing_again(make_sweep, monkeypatch, tmp_path):
    traces, targets = [], []
    evaluate = objectives.StyleObjective.evaluate
    from_regions = objectives.StyleObjective.from_regions

    def counting(self, image, loss_weights):
        traces.append(image.shape)
        return evaluate(self, image, loss_weights)

    def counting_targets(*arguments):
        targets.append(arguments)
        return from_regions(*arguments)

    monkeypatch.setattr(objectives.StyleObjective, "evaluate", counting)
    monkeypatch.setattr(objectives.StyleObjective, "from_regions", counting_targets)
    make_sweep(tmp_path / "runs", WEIGHTS, SweepAxis("strength", (0.2, 0.7)))
    assert len(traces) <= 1
    assert len(targets) == 1


def test_a_second_call_makes_only_missing_runs(make_sweep, made, finished):
    first = make_sweep(finished, WEIGHTS)
    assert not made
    first.runs[1].output.unlink()
    again = make_sweep(finished, WEIGHTS)
    assert made == [first.runs[1].point.label]
    assert [run.resumed for run in again.runs] == [True, False, True]
    for one, other in zip(first.runs, again.runs, strict=True):
        assert one.terms == pytest.approx(other.terms)
        assert one.curves == other.curves


def test_runs_of_other_inputs_are_repeated_and_logged(make_sweep, made, scene, finished, caplog):
    with caplog.at_level(logging.WARNING, logger="nstk"):
        make_sweep(finished, WEIGHTS, content=scene[::-1])
    assert len(made) == 3
    assert "3 of the runs" in caplog.text


def test_a_damaged_run_is_repeated(make_sweep, made, finished):
    swept = make_sweep(finished, WEIGHTS)
    swept.runs[0].output.write_bytes(b"half an image")
    swept.runs[2].output.with_suffix(".json").write_text('{"digest": ')
    make_sweep(finished, WEIGHTS)
    assert made == [swept.runs[0].point.label, swept.runs[2].point.label]


def test_runs_finished_before_an_interruption_are_kept(make_sweep, made, tmp_path):
    def interrupt(progress):
        if "run 3" in progress.stage and progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sweep(tmp_path / "runs", WEIGHTS, on_progress=interrupt)
    made.clear()
    swept = make_sweep(tmp_path / "runs", WEIGHTS)
    assert made == [swept.runs[2].point.label]


def test_a_run_that_diverges_is_marked_and_the_others_continue(
    make_sweep, monkeypatch, scene, tmp_path
):
    original = RunGroup.run

    def diverge(self, point, *arguments, **options):
        result: StylizeResult = original(self, point, *arguments, **options)
        if point.index == (1,):
            error = DivergenceError("The loss is nan.")
            error.made = result
            raise error
        return result

    monkeypatch.setattr(RunGroup, "run", diverge)
    swept = make_sweep(tmp_path / "runs", WEIGHTS)
    assert [run.diverged for run in swept.runs] == [False, True, False]
    assert "diverged" in save_sweep(swept, tmp_path / "page.html").read_text("utf-8")


def test_the_duration_of_a_sweep_is_predicted_from_a_few_runs(tiny_backbone, scene, strokes):
    few, many = (SweepAxis("seed", tuple(range(count))) for count in (10, 1000))
    short, long = (
        predict_seconds(scene, strokes, [axis], settings=QUICK, backbone=tiny_backbone)
        for axis in (few, many)
    )
    assert long == pytest.approx(100 * short, rel=0.01)


@pytest.mark.parametrize(
    ("axis", "error", "words"),
    [
        (SweepAxis("content_layers", ("auto", {"block9": 1.0})), BackboneError, "block9"),
        (SweepAxis("init", ("noise", "nowhere.png")), ImageError, "nowhere.png"),
        (SweepAxis("scales", (1, 1000)), SettingsError, "1000"),
    ],
)
def test_everything_is_checked_before_the_first_run(make_sweep, made, tmp_path, axis, error, words):
    with pytest.raises(error, match=words):
        make_sweep(tmp_path / "runs", axis)
    assert not made


def test_a_path_that_cannot_hold_runs_is_refused(make_sweep, made, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match="runs is a file"):
        make_sweep(tmp_path / "runs", WEIGHTS)
    with pytest.raises(OutputError, match="nowhere"):
        make_sweep(tmp_path / "nowhere" / "runs", WEIGHTS)
    assert not made


def test_sheet_and_page_show_every_run_and_its_values(make_sweep, finished, tmp_path):
    layers = SweepAxis("content_layers", ({"block1_conv1": 1.0}, {"block3_conv1": 1.0}))
    row = make_sweep(finished, WEIGHTS)
    grid = make_sweep(tmp_path / "grid", layers, WEIGHTS)
    assert grid.row(1) == grid.runs[3:]
    page = save_sweep(grid, tmp_path / "grid.html").read_text("utf-8")
    for words in ("content-layers block3_conv1", "content-weight 0.3", "Final content loss"):
        assert words in page
    assert page.count("<img") == 2 + 6
    saved = load_image(save_sweep(row, tmp_path / "row.png")).pixels
    sheet = draw_sweep_sheet(row)
    np.testing.assert_allclose(saved, sheet, atol=1 / 255)
    for run in row.runs:
        assert holds(sheet, run.load()), run.point.label


def test_styles_with_equal_names_are_both_shown(tiny_backbone, scene, strokes, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        save_image(tmp_path / place / "style.png", strokes)
    styles = [tmp_path / place / "style.png" for place in ("a", "b")]
    axes = [SweepAxis("seed", (1,))]
    swept = sweep(scene, styles, axes, tmp_path / "runs", backbone=tiny_backbone, settings=QUICK)
    assert list(swept.styles) == ["style.png", "style.png, style 2"]


def test_a_page_embeds_large_images_at_the_size_it_shows_them(
    make_sweep, finished, monkeypatch, tmp_path
):
    row = make_sweep(finished, WEIGHTS)
    monkeypatch.setattr(SweptRun, "load", lambda run: np.zeros((900, 1200, 3), np.float32))
    page = save_sweep(row, tmp_path / "page.html").read_text("utf-8")
    embedded = re.findall(r"data:image/\w+;base64,([^\"]+)", page)
    sizes = [PILImage.open(io.BytesIO(base64.b64decode(each))).size for each in embedded]
    assert sizes.count((640, 480)) == len(row.runs)


def holds(sheet, image):
    """Whether a sheet contains an image, pixel by pixel."""
    height, width, _ = image.shape
    corners = np.argwhere(np.abs(sheet - image[0, 0]).max(axis=-1) < 1e-3)
    return any(
        sheet[top : top + height, left : left + width].shape == image.shape
        and np.abs(sheet[top : top + height, left : left + width] - image).max() < 1e-3
        for top, left in corners
    )


def test_a_record_is_strict_json(make_sweep, tmp_path):
    swept = make_sweep(tmp_path / "runs", SweepAxis("style_weight", (0.0, 1.0)))
    for run in swept.runs:
        record = json.loads(
            run.output.with_suffix(".json").read_text("utf-8"), parse_constant=lambda _: 1 / 0
        )
        assert math.isfinite(record["terms"]["loss"])


def test_content_error_falls_as_alpha_over_beta_grows(make_sweep, tmp_path):
    ratios = SweepAxis("content_weight", (1e-4, 1e-3, 1e-2, 1e-1))
    # The style loss of the paper: squared, so that content counts from 1e-4 on.
    settings = StylizeSettings(size=48, steps=80, scales=1, style_loss="gram")
    swept = make_sweep(tmp_path / "runs", ratios, settings=settings)
    content, style = (
        [float(np.mean(run.curves[part][-20:])) for run in swept.runs]  # single steps rattle
        for part in ("content", "style")
    )
    assert content == sorted(content, reverse=True)
    assert content[-1] < 0.8 * content[0]
    assert style[-1] > 1.2 * style[0]


def test_a_sweep_describes_itself_and_its_images_have_a_range(make_sweep, tmp_path):
    swept = make_sweep(tmp_path / "runs", SweepAxis("seed", (1, 2)))
    described = json.loads(json.dumps(swept.to_dict()))
    assert [run["settings"]["seed"] for run in described["runs"]] == [1, 2]
    assert described["runs"][0]["output"] == str(swept.runs[0].output)
    assert "seed" in repr(swept)
    assert "\n" not in repr(swept) + repr(swept.runs[0])
    read = to_image(swept.runs[0], "run")
    np.testing.assert_array_equal(read, swept.runs[0].load())
