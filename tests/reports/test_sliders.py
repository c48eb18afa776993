"""Pages with sliders: self-contained, small, and moved by keyboard."""

import re
import shutil
from base64 import b64encode
from hashlib import sha256

import numpy as np
import pytest
from browsing import check_page, in_a_browser

from nstk.reports.figures import LineChart, Series, Spot, draw_chart
from nstk.reports.pages import CaptionedImage, make_environment
from nstk.reports.sliders import Frame, Slider, Stage, fit_images, format_place, write_slider_page

LABELS = ("zero", "one", "two")


def paint(shade, side=48):
    return np.full((side, side + 16, 3), shade, np.float32)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two stages: a grid of two sliders, and one slider of its own."""
    charts = [
        LineChart(
            [
                Series(LABELS[k], [0, 1], [1 + k, 2], at=format_place((k, None, None)))
                for k in range(3)
            ],
            "x",
            "y",
            spots=[Spot(0, 1 + k, format_place((k, None, None))) for k in range(3)],
        )
    ]
    grid = Stage(
        [Slider("letter", LABELS), Slider("number", ("1", "2"), start=1)],
        [
            Frame(
                (k, n, None),
                [CaptionedImage(paint(0.3 * k + 0.1 * n), f"image {LABELS[k]} {n + 1}")],
                [f"L = α·L_content = {k}.{n}"],
                {"value": k},
            )
            for k in range(3)
            for n in range(2)
        ],
        given=[CaptionedImage(paint(0.9), "given")],
        charts=charts,
    )
    own = [Frame((None, None, n), [CaptionedImage(paint(0.5), f"own {n}")]) for n in range(2)]
    alone = Stage([Slider("alone", ("a", "b"))], own, heading="Second", text="Text")
    path = tmp_path_factory.mktemp("sliders") / "page.html"
    return write_slider_page(path, [grid, alone], title="Sliders")


def test_the_only_script_is_the_one_whose_digest_the_policy_has(page):
    document = page.read_text("utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", document, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    reader = check_page(document, scripts=1)
    (policy,) = [value for value in reader.values("content") if "default-src" in value]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert len(script.splitlines()) < 30


def test_every_frame_stands_in_the_page_so_that_it_prints(page):
    reader = check_page(page.read_text("utf-8"), scripts=1)
    assert reader.tags.count("img") == 6 + 1 + 2
    assert set(reader.values("data-at")) >= {"0 1 *", "* * 1", "2 * *"}
    assert [value for value in reader.values("type") if value == "range"] == ["range"] * 3


def test_twenty_five_images_are_at_most_two_megabytes(tmp_path):
    random = np.random.default_rng(0)
    noise = [random.random((400, 600, 3), np.float32) for _ in range(25)]
    frames = [Frame((k,), [CaptionedImage(image, "noise")]) for k, image in enumerate(noise)]
    labels = [str(k) for k in range(25)]
    path = write_slider_page(tmp_path / "p.html", [Stage([Slider("n", labels)], frames)], title="t")
    assert path.stat().st_size < 2_000_000
    (small,) = fit_images([Frame((0,), [CaptionedImage(paint(0.4), "flat")])])
    assert small.images[0].size == paint(0.4).shape[:2]
    assert small.images[0].uri.startswith("data:image/webp;")


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("x_1 < 2", "<i>x</i><sub>1</sub> &lt; 2"),
        ("L_content", "<i>L</i><sub>content</sub>"),
        ("‖a − b‖^2", "‖<i>a</i> − <i>b</i>‖<sup>2</sup>"),
        ("f′(x)", "<i>f</i>\u200a′(<i>x</i>)"),
        ("G_kk′", "<i>G</i><sub>kk′</sub>"),
        ("sin(x)", "sin(<i>x</i>)"),
    ],
)
def test_formulas_are_marked_up(text, marked):
    assert str(make_environment().filters["formula"](text)) == marked


def test_a_sheet_has_no_spots_of_sliders():
    series = [Series("s", [0, 1], [0, 1])]
    plain = draw_chart(LineChart(series, "x", "y"))
    spotted = draw_chart(LineChart(series, "x", "y", spots=[Spot(0.5, 0.5, "0")]))
    np.testing.assert_array_equal(plain, spotted)


@pytest.fixture(scope="module")
def browser():
    """One browser for all pages."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as engine:
        found = engine.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield found
        found.close()


@in_a_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 360])
def test_sliders_move_by_keyboard_without_a_request_or_a_message(browser, page, width):
    view = browser.new_page(viewport={"width": width, "height": 800})
    said, asked = [], []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: asked.append(request.url))
    view.goto(page.as_uri())

    def shown():
        frames = view.locator("img:visible").evaluate_all("each => each.map(image => image.alt)")
        return [name for name in frames if name != "given"]

    assert shown() == ["image zero 2", "own 0"]
    view.keyboard.press("Tab")
    view.keyboard.press("ArrowRight")
    assert shown() == ["image one 2", "own 0"]
    assert view.locator("output").first.inner_text() == "one"
    assert view.locator("#slider-1").get_attribute("aria-valuetext") == "one"
    view.keyboard.press("End")
    view.keyboard.press("Tab")
    view.keyboard.press("Home")
    assert shown() == ["image two 1", "own 0"]
    view.locator("#slider-3").press("End")
    assert shown() == ["image two 1", "own 1"]
    assert view.locator("circle[data-at]:visible").count() == 1
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    view.emulate_media(media="print")
    assert len(shown()) == 8
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    view.close()


@in_a_browser
@pytest.mark.slow
def test_without_scripts_every_frame_is_shown(browser, page):
    context = browser.new_context(java_script_enabled=False)
    view = context.new_page()
    view.goto(page.as_uri())
    assert view.locator("img:visible").count() == 9
    assert view.locator("input:visible").count() == 0
    context.close()
