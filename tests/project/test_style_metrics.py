"""The quality metrics of a stylized image: identities, the command's output, clear errors."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import style_metrics
from nstk.errors import ImageError, WeightsError
from nstk.images.encoding import save_image
from nstk.images.image import resize_image

LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]


@pytest.fixture(scope="module")
def metrics(shared, scene, strokes):
    """Metrics of three results: the style itself, the content itself, and their mean."""
    wide = resize_image(strokes, 48, 64)
    return {
        "style": style_metrics.measure_style(scene, strokes, strokes),
        "content": style_metrics.measure_style(scene, strokes, scene),
        "mean": style_metrics.measure_style(scene, strokes, (scene + wide) / 2),
    }


@pytest.mark.slow
def test_a_result_that_is_the_style_has_no_style_error(metrics):
    assert metrics["style"]["style_error"] == pytest.approx(0, abs=1e-6)
    for errors in metrics["style"]["layers"].values():
        assert errors == pytest.approx({"gram": 0, "mean": 0, "std": 0}, abs=1e-6)


@pytest.mark.slow
def test_a_result_that_is_the_content_has_no_content_error(metrics):
    assert metrics["content"]["content_error"] == pytest.approx(0, abs=1e-6)
    assert metrics["content"]["content_cosine"] == pytest.approx(1, abs=1e-5)
    assert metrics["content"]["luma_ssim"] == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_a_mixture_scores_between_its_inputs(metrics):
    assert 0 < metrics["mean"]["style_error"] < metrics["content"]["style_error"]
    assert 0 < metrics["mean"]["content_error"] < metrics["style"]["content_error"]
    assert list(metrics["mean"]["layers"]) == LAYERS
    grams = [errors["gram"] for errors in metrics["mean"]["layers"].values()]
    assert metrics["mean"]["style_error"] == pytest.approx(np.mean(grams))


def test_the_style_keeps_its_aspect_ratio(monkeypatch, scene, strokes):
    shapes = []

    def fake_maps(image):
        shapes.append(tuple(image.shape))
        return dict.fromkeys(LAYERS, image[0])

    monkeypatch.setattr(style_metrics, "compute_maps", fake_maps)
    style_metrics.measure_style(scene, strokes, scene)
    content, style, result = shapes
    assert content == result == (48, 64, 3)
    assert style == (round(40 * 64 / 56), 64, 3)


def test_a_result_too_small_is_refused(scene, strokes):
    with pytest.raises(ImageError, match="32 px"):
        style_metrics.measure_style(scene, strokes, scene[:20, :20])


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("NSTK_SHARED", str(tmp_path))
    style_metrics.load_weights.cache_clear()
    with pytest.raises(WeightsError, match="NSTK_SHARED"):
        style_metrics.load_weights("vgg19_16x.npz")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process; returns its status and what it printed."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["style_metrics.py", *words])
        return style_metrics.main(), capsys.readouterr()

    return run


@pytest.mark.slow
def test_the_command_prints_one_json_object(shared, scene, strokes, tmp_path, run):
    paths = [str(tmp_path / name) for name in ("content.png", "style.png", "result.png")]
    for path, image in zip(paths, (scene, strokes, scene), strict=True):
        save_image(path, image)
    status, printed = run(*paths, "--json")
    assert status == 0
    keys = ["content_error", "style_error", "layers", "luma_ssim", "content_cosine"]
    assert list(json.loads(printed.out)) == keys


def test_the_command_reports_a_missing_image_in_one_line(tmp_path, run):
    missing = str(tmp_path / "missing.png")
    status, printed = run(missing, missing, missing)
    assert status == 1
    (line,) = printed.err.splitlines()
    assert line.startswith(f"error: {missing}: ")
