"""Newton's method on curves, the language of curves, and the comparison on an image."""

import json
import math
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import complaint, invoke

from nstk.errors import SettingsError
from nstk.images.encoding import save_image
from nstk.images.loading import load_image
from nstk.inspecting.expressions import FUNCTIONS, Expression
from nstk.inspecting.newton import COMPARED, follow_tangents, inspect_newton
from nstk.inspecting.optimization import choose_snapshots
from nstk.reports.newton import draw_tangents, save_newton
from nstk.settings import NewtonSettings

SMOOTH = [
    *("x^2 - 2", "2*x + sin(x)", "x**3 − 2·x − 5", "exp(-x^2) / (1 + x)", "x^x", "2^x - 1/x"),
    *("log(x) * sqrt(x)", "tanh(x) + atan(x) - tan(x/2)", "+(x - π)^2 + e", "abs(x) * cos(x)"),
]


@pytest.mark.parametrize("text", SMOOTH)
def test_a_function_is_what_python_would_compute_and_its_derivative_is_exact(text):
    function = Expression(text)
    code = text.replace("^", "**").replace("−", "-").replace("·", "*").replace("π", "pi")
    names = {**vars(math), "abs": abs, "x": 0.7}
    assert function(0.7)[0] == pytest.approx(eval(code, names), rel=1e-12)
    step = 1e-6
    numeric = (function(0.7 + step)[0] - function(0.7 - step)[0]) / (2 * step)
    assert function(0.7)[1] == pytest.approx(numeric, rel=1e-6, abs=1e-8)


def test_every_function_has_its_derivative():
    for name in FUNCTIONS:
        function = Expression(f"{name}(x)")
        numeric = (function(0.5 + 1e-6)[0] - function(0.5 - 1e-6)[0]) / 2e-6
        assert function(0.5)[1] == pytest.approx(numeric, rel=1e-6), name


@pytest.mark.parametrize("text", ["1/x", "log(x)", "x^(0-1)", "log(x - 1)", "(-1)^0.5 + x"])
def test_what_is_not_defined_is_not_finite(text):
    assert not math.isfinite(Expression(text)(0.0)[0])


@pytest.mark.parametrize(
    "text", ["9^9^9^9*x", "exp(exp(exp(9)))+x", "1e999*x", "9" * 150 + "*x^999"]
)
def test_numbers_that_are_too_large_cost_no_time(text):
    assert not math.isfinite(Expression(text)(2.0)[0])


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "x =", "y", "x.real", "x[0]", "(x,)", "[x]", "x if x else 1", "x > 1", "not x"),
        *("lambda: x", "True", "'x'", "1j*x", "x % 2", "x // 2", "x @ x", "~x", "sin", "sin()"),
        *("sin(x, x)", "sin(x=1)", "sin(*x)", "open('a')", "__import__('os')", "x.__class__"),
        *("(x := 2)", "f'{x}'", "sin.__self__", "eval('x')", "x; x", "x\x00", "2x", "(" * 300),
        *("-" * 190 + "x" + " " * 20, "+".join(["x"] * 120), "x\n+1", "pow(x, 2)", "None"),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(SettingsError, match="`function`"):
        Expression(text)(1.0)


@given(st.text(max_size=40))
def test_no_text_does_more_than_raise_one_error(text):
    with suppress(SettingsError):
        Expression(text)(1.0)


def test_newton_doubles_the_correct_digits_of_a_root():
    steps, ending = follow_tangents(Expression("x^2 - 2"), 2.0, 20)
    assert ending == "root"
    assert steps[-1].x == pytest.approx(math.sqrt(2), abs=1e-12)
    errors = [abs(step.x - math.sqrt(2)) for step in steps[:4]]
    for error, following in pairwise(errors):
        assert following <= 0.5 * error**2


def test_a_linear_function_takes_one_step():
    steps, ending = follow_tangents(Expression("3*x - 6"), 40.0, 5)
    assert (len(steps), ending, steps[-1].x) == (2, "root", 2.0)


@pytest.mark.parametrize(
    ("text", "start", "ending"),
    [
        ("x^2 + 1", 0.0, "horizontal tangent"),
        ("x^3 - 2*x + 2", 0.0, "not converged"),  # a cycle: 0, 1, 0, 1, …
        ("sqrt(x) - 2", 40.0, "diverged"),  # the first step leaves where √x is defined
    ],
)
def test_newton_says_how_it_fails(text, start, ending):
    steps, found = follow_tangents(Expression(text), start, 8)
    assert found == ending
    assert math.isnan(steps[-1].following)


def test_snapshots_are_early_steps_from_the_first_on():
    for steps in (1, 2, 3, 10, 100, 1000):
        kept = choose_snapshots(steps)
        assert kept[0] == 0
        assert list(kept) == sorted(set(kept))
        assert kept[-1] < steps


@pytest.fixture(scope="module")
def found(tiny_backbone, scene):
    settings = NewtonSettings(steps=6, size=32, start=2.0)
    return inspect_newton(scene, backbone=tiny_backbone, settings=settings)


def test_every_optimizer_reduces_the_same_loss(found):
    assert tuple(found.runs) == COMPARED
    starts = [run.losses[0] for run in found.runs.values()]
    assert starts == pytest.approx([starts[0]] * 3, rel=1e-5)
    for run in found.runs.values():
        assert len(run.losses) == len(run.seconds) == 6
        assert min(run.losses) < run.losses[0]
        assert list(run.seconds) == sorted(run.seconds)
        assert [step for step, _ in run.snapshots] == [*choose_snapshots(6), 6]
        assert all(image.shape == found.original.shape for _, image in run.snapshots)
    assert json.loads(json.dumps(found.to_dict()))["ending"] == "root"


def test_tangents_meet_zero_where_the_next_step_begins(found):
    chart = draw_tangents(found)
    zero, curve, *tangents = chart.series
    assert len(tangents) == len(found.tangents) - 1
    for series, step in zip(tangents, found.tangents, strict=False):
        assert series.y[1] == 0
        slope = (series.y[1] - series.y[0]) / (series.x[1] - series.x[0])
        if abs(step.value) > 1e-3:  # below, the difference is rounding
            assert slope == pytest.approx(step.slope, rel=1e-6)
    assert len(chart.spots) == len(found.tangents)
    assert np.nanmax(curve.y) <= chart.y_range[1]
    assert zero.reference


def test_sheet_and_page_show_all_optimizers(found, tmp_path):
    page = save_newton(found, tmp_path / "newton.html").read_text("utf-8")
    for name in COMPARED:
        assert page.count(f'alt="{name}"') == len(found.runs[name].snapshots)
    sheet = load_image(save_newton(found, tmp_path / "newton.png")).pixels
    assert sheet.shape[1] > 880


def test_the_command_prints_the_steps(tmp_path, scene, monkeypatch, tiny_backbone):
    monkeypatch.setattr("nstk.backbones.loading.load_backbone", lambda *_, **__: tiny_backbone)
    image, page = save_image(tmp_path / "scene.png", scene), tmp_path / "newton.html"
    quick = ("--steps", 1, "--size", 32, "--layers", "block1_conv1", "--json")
    curve = ("--function", "x^3 - 8", "--start", -0.5, "--iterations", 40)
    result = invoke("inspect", "newton", image, "-o", page, *curve, *quick)
    assert result.exit_code == 0, result.stderr
    described = json.loads(result.stdout)
    assert described["tangents"][-1]["x"] == pytest.approx(2.0)
    assert page.exists()
    refused = invoke(
        "inspect", "newton", image, "-o", tmp_path / "no.html", "--function", "y", *quick
    )
    assert "--function" in complaint(refused)
    assert refused.exit_code == 2
    assert not (tmp_path / "no.html").exists()
