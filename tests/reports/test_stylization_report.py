"""The report of a stylization: a page for people and the same figures for programs."""

import json
import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from browsing import browse, check_page, in_a_browser

from nstk.errors import OutputError
from nstk.images.encoding import save_image
from nstk.reports.stylization import check_report, write_report
from nstk.stylization import quality
from nstk.stylization.job import stylize
from nstk.stylization.quality import measure_quality
from nstk.stylization.regions import Masks
from nstk.stylization.result import Trace

NASTY = "<b onclick=alert(1)>wave"
COMMAND = "nstk stylize town.png 'a <b>wave</b>.png' -o out.png --steps 3"


@pytest.fixture(scope="module", autouse=True)
def small_judge(four_blocks):
    """A small network measures quality in place of the packaged one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "load_backbone", lambda: four_blocks)
        yield


@pytest.fixture(scope="module")
def run(tiny_backbone, scene, strokes):
    """The result of a real, small run."""
    return stylize(scene, strokes, backbone=tiny_backbone, size=48, steps=3, scales=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory, scene, strokes):
    """The content and a style whose name is markup, as files."""
    folder = tmp_path_factory.mktemp("images")
    return save_image(folder / "town.png", scene), save_image(folder / f"{NASTY}.png", strokes)


@pytest.fixture(scope="module")
def report(run, files, tmp_path_factory):
    """The folder of a report."""
    made = run
    content, style = files
    folder = tmp_path_factory.mktemp("reports") / "report"
    page = write_report(folder, content=content, styles=[style], result=made, command=COMMAND)
    assert page == folder / "report.html"
    return folder


def test_a_report_is_a_page_and_a_trace(report):
    assert sorted(path.name for path in report.iterdir()) == ["report.html", "trace.json"]


def test_the_page_shows_images_figures_settings_and_versions(report, run):
    made = run
    reader = check_page((report / "report.html").read_text(encoding="utf-8"))
    assert reader.tags.count("img") == 3
    assert COMMAND in reader.text
    assert f"town in the style of {NASTY}" in reader.text
    assert "town.png" in reader.text
    for name in (*made.history.terms, *(scale.stage for scale in made.history.scales)):
        assert name in reader.text, name
    for name in asdict(made.settings):
        assert name.replace("_", "-") in reader.text, name
    for words in ("Content similarity", "Style error", "Luma SSIM", "tensorflow", "block4_conv2"):
        assert words in reader.text, words


def test_the_trace_has_the_same_figures(report, run, scene, strokes):
    made = run
    trace_file = json.loads((report / "trace.json").read_text(encoding="utf-8"))
    assert trace_file["command"] == COMMAND
    assert trace_file["styles"] == [f"{NASTY}.png"]
    assert trace_file["settings"] == json.loads(json.dumps(asdict(made.settings)))
    assert [scale["stage"] for scale in trace_file["scales"]] == ["34×26", "48×36"]
    assert (
        sum(scale["steps"] for scale in trace_file["scales"])
        == made.steps
        == len(made.history.steps)
    )
    assert trace_file["trace"]["loss"][-1] == pytest.approx(made.loss, rel=1e-5)
    for name, values in trace_file["trace"]["terms"].items():
        assert len(values) == made.steps
        assert values[-1] == pytest.approx(made.terms[name], rel=1e-5)
    measured = measure_quality(scene, [strokes], made)
    assert trace_file["quality"]["style_error"] == pytest.approx(measured.style_error, abs=0.01)
    assert set(trace_file["quality"]["style_errors"]) == set(measured.style_errors)
    assert trace_file["versions"]["tensorflow"]


def test_a_report_from_arrays_needs_no_command(run, scene, strokes, tmp_path):
    made = run
    page = write_report(
        tmp_path,
        content=scene,
        styles=[strokes, strokes],
        result=made,
    )
    reader = check_page(page.read_text(encoding="utf-8"))
    assert reader.tags.count("img") == 4
    trace_file = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    assert trace_file["quality"]["style_error"] > 0
    assert trace_file["command"] == ""


def test_a_style_without_pixels_is_named(run, files, tmp_path):
    made = run
    style = tmp_path / "waves.nstyle"
    style.write_bytes(b"no image")
    page = write_report(tmp_path, content=files[0], styles=[style], result=made)
    reader = check_page(page.read_text(encoding="utf-8"))
    assert "waves.nstyle" in reader.text
    assert reader.tags.count("img") == 2
    trace_file = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    assert trace_file["quality"]["style_errors"] == {}
    assert 0 < trace_file["quality"]["content_similarity"] < 1


def test_masks_are_shown_and_style_errors_are_not_measured(run, scene, strokes, tmp_path):
    made = run
    left, part = np.zeros(scene.shape[:2], np.float32), np.ones(strokes.shape[:2], np.float32)
    left[:, :20] = 1.0
    keep = save_image(tmp_path / "keep.png", np.repeat(1 - left[..., None], 3, axis=-1))
    masks = Masks([left], [part], keep)
    images = {"content": scene, "styles": [strokes]}
    page = write_report(tmp_path, **images, result=made, masks=masks)
    reader = check_page(page.read_text(encoding="utf-8"))
    assert reader.tags.count("img") == 3 + 3
    for caption in (*masks.captioned(1), "keep.png"):
        assert caption in reader.text, caption
    trace_file = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    assert "keep.png" in trace_file["masks"].values()
    assert trace_file["quality"]["style_error"] is None
    assert 0 < trace_file["quality"]["content_similarity"] < 1


def test_a_run_interrupted_before_its_first_step_has_a_report(run, scene, strokes, tmp_path):
    made = run
    ended = replace(
        made,
        interrupted=True,
        loss=math.nan,
        terms={},
        steps=0,
        seconds_per_step=math.nan,
        image=np.zeros((8, 8, 3), np.float32),
        history=Trace(),
    )
    page = write_report(tmp_path, content=scene, styles=[strokes], result=ended)
    reader = check_page(page.read_text(encoding="utf-8"))
    assert "interrupted" in reader.text
    trace_file = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    assert trace_file["quality"] is None
    assert trace_file["interrupted"] is True
    assert trace_file["trace"]["loss"] == []


def test_an_invalid_folder_is_refused(run, scene, strokes, tmp_path):
    made = run
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "report.html").mkdir(parents=True)
    for place in ("file", "absent/report", "taken"):
        with pytest.raises(OutputError, match=re.escape(str(tmp_path / place))):
            check_report(tmp_path / place)
        with pytest.raises(OutputError, match=re.escape(str(tmp_path / place))):
            write_report(tmp_path / place, content=scene, styles=[strokes], result=made)
    check_report(tmp_path)
    check_report(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@in_a_browser
def test_a_browser_reports_no_errors(report, tmp_path):
    document, console, asked = browse(report / "report.html", tmp_path)
    assert "Quality" in document
    assert (console, asked) == ([], set())
