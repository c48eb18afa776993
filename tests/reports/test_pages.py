"""Pages: self-contained, safe to open, and charts without overlaps."""

import math
import re
import unicodedata
from base64 import b64decode
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from browsing import browse, check_page, in_a_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from PIL import Image

from nstk.errors import OutputError
from nstk.reports.figures import (
    Bar,
    BarChart,
    Box,
    Chain,
    HeatMap,
    LineChart,
    Marker,
    Series,
    draw_chart,
)
from nstk.reports.figures.axes import linear_axis, log_axis
from nstk.reports.figures.colors import CATEGORIES, pick_ramp
from nstk.reports.figures.drawing import Area, Line, Words
from nstk.reports.figures.text import LINE_HEIGHT, measure_text, shorten_text, spread_labels
from nstk.reports.formatting import format_number
from nstk.reports.pages import (
    CaptionedImage,
    align_columns,
    make_environment,
    write_page,
    write_text,
)

NASTY = "\"><script>alert('x')</script><img src=http://evil.example/x.png>&amp;\x00\udcff.jpg"


EVERY_PART = """
{{ ui.headline([(word, word, word)]) }}
{{ ui.prose(word ~ "\n\n" ~ word, "warning") }}
{{ ui.images([image]) }}
{{ ui.chart(chain) }}
{% call ui.section(word) %}
{{ ui.chart(lines) }}{{ ui.table((word, "n"), ((word, 3), (none, none)), caption=word) }}
{% endcall %}
{% call ui.section(word) %}{{ ui.chart(bars) }}{% endcall %}
{% call ui.section(word) %}{{ ui.chart(cells) }}{% endcall %}
{% call ui.section(word) %}
{{ ui.facts({word: word}) }}{% call ui.details(word) %}{{ ui.code(word) }}{% endcall %}
{% call ui.p() %}{{ word }}{% endcall %}
{% endcall %}
"""


def render_page(content="", title="t", subtitle="", footer="", **values):
    """A page with the given parts."""
    source = f'{{% extends "page.html" %}}{{% block content %}}{content}{{% endblock %}}'
    template = make_environment().from_string(source)
    return template.render(title=title, subtitle=subtitle, footer=footer, **values)


def render_every_part(word, pixels):
    """A page with one part of each kind, and a word in every place for text."""
    series = [
        Series(word, [1, 2, 3], [3.0, math.nan, 1.0], [2, 1, 0.5], [4, 4, 2]),
        Series("b", [], []),
    ]
    return render_page(
        EVERY_PART,
        *(word, word, word),
        word=word,
        image=CaptionedImage(pixels, word, word),
        chain=Chain([Box(word, [word, word], "accent"), Box("b", [])]),
        lines=LineChart(series, word, word, word, markers=[Marker(2, word)], points=True),
        bars=BarChart([Bar(word, 0.5, word, 0.2, 0.8)], word, word),
        cells=HeatMap([word, "b"], [word, "b"], [[3, 1], [math.nan, 2]], word, word, word),
    )


def test_a_page_is_self_contained(scene):
    reader = check_page(render_every_part("word", scene))
    assert reader.values("href") == ["data:,", *(f"#section-{n}" for n in range(1, 5))]
    assert "default-src 'none'" in "".join(reader.values("content"))


def test_markup_in_names_is_escaped(scene):
    reader = check_page(render_every_part(NASTY, scene))
    shown = NASTY.replace("\x00", "\ufffd").replace("\udcff", "\ufffd")
    assert reader.tags.count("img") == 1
    assert reader.values("alt") == [shown]
    assert reader.text.count(shown) > 20


@given(st.text())
@settings(max_examples=40)
def test_any_text_is_shown_unchanged(word):
    reader = check_page(render_page("{{ ui.code(word) }}", word=f"<{word}>"))
    expected = "".join(c if holds(c) else "\ufffd" for c in word)
    assert f"<{expected}>" in reader.text


def holds(character):
    """Whether HTML allows a character."""
    if character in "\t\n":
        return True
    return unicodedata.category(character) not in {"Cc", "Cs"} and character not in "\ufffe\uffff"


def test_a_page_is_written_atomically(tmp_path):
    path = write_text(render_page(title="ünï"), tmp_path / "page.html")
    assert "ünï" in path.read_text(encoding="utf-8")
    with pytest.raises(OutputError):
        write_text("", tmp_path / "absent" / "page.html")
    with pytest.raises(UndefinedError):
        write_page(path, "audit.html", title="a page without its values")
    assert "ünï" in path.read_text(encoding="utf-8")
    assert [found.name for found in tmp_path.iterdir()] == ["page.html"]


def decode(image):
    head, _, body = image.uri.partition(";base64,")
    return head, Image.open(BytesIO(b64decode(body)))


@pytest.mark.parametrize(("text", "codes"), [("a `b` c `d`", 2), ("`b`", 1), ("a ` b", 0), ("", 0)])
def test_backticks_enclose_code(text, codes):
    reader = check_page(render_page("{{ ui.prose(text) }}", text=text))
    assert reader.tags.count("code") == codes
    assert (text.replace("`", "") if codes else text) in reader.text


def test_small_images_are_embedded_exactly(scene):
    head, image = decode(CaptionedImage(scene, "scene"))
    assert head == "data:image/png"
    np.testing.assert_array_equal(np.asarray(image), np.rint(scene * 255).astype(np.uint8))


def test_large_images_are_scaled_and_keep_their_aspect_ratio(scene):
    large = np.kron(scene, np.ones((40, 40, 1), np.float32))
    image = CaptionedImage(large, "scene", longest_side=800)
    head, decoded = decode(image)
    assert head == "data:image/jpeg"
    assert decoded.size == (800, 600) == image.size[::-1]
    assert len(image.uri) < 400_000


def test_pages_of_four_sections_have_links():
    section = '{% call ui.section("part") %}{% endcall %}'
    assert "<nav" not in render_page(section * 3)
    assert "<nav" in render_page(section * 4)


def test_numeric_columns_are_aligned_right():
    columns, rows = ["name", "n", "share", "none"], [["a", 1, "5 %", None], ["b", None, "–", None]]
    assert align_columns(columns, rows) == ["text", "number", "text", "text"]
    assert align_columns(columns, rows, numeric=["share"])[2] == "number"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345, "12\u202f345"),
        (-3, "−3"),
        (0.07, "0.07"),
        (0.123456, "0.1235"),
        (1234.56, "1\u202f235"),
        (3.2e-7, "3.2×10⁻⁷"),
        (-2e9, "−2×10⁹"),
        (0.0, "0"),
        (100.0, "100"),
        (math.nan, "–"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers_are_formatted_for_readers(value, text):
    assert format_number(value) == text


VALUES = st.lists(st.floats(-1e12, 1e12, allow_subnormal=False), min_size=1, max_size=8)


@given(VALUES, st.integers(3, 9), st.booleans())
def test_a_linear_axis_contains_its_values_and_its_ticks_in_order(values, count, rounded):
    axis = linear_axis(values, tick_count=count, round_ends=rounded)
    for value in values:
        assert -1e-6 <= axis.place(value) <= 1 + 1e-6
    places = [tick.place for tick in axis.ticks]
    assert places == sorted(set(places))
    assert all(-1e-6 <= place <= 1 + 1e-6 for place in places)
    assert 1 <= len(places) <= 2 * count + 2


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=8), st.integers(3, 9))
def test_a_logarithmic_axis_has_ticks_and_contains_all_positive_values(values, count):
    axis = log_axis([*values, 0.0, -1.0, math.nan], tick_count=count)
    assert all(0 < axis.place(value) < 1 for value in values)
    assert 1 <= len(axis.ticks) <= 2 * count + 2
    labels = [tick.label for tick in axis.ticks]
    assert len(set(labels)) == len(labels)
    assert math.isnan(axis.place(0.0))


def test_ticks_are_round_numbers():
    labels = [tick.label for tick in linear_axis([0.0, 97.3], tick_count=6).ticks]
    assert labels == ["0", "20", "40", "60", "80"]
    assert [tick.label for tick in linear_axis([1, 3]).ticks] == ["1", "2", "3"]
    decades = [tick.label for tick in log_axis([], span=(1e-5, 1e5), tick_count=11).ticks]
    plain = ["0.001", "0.01", "0.1", "1", "10", "100", "1\u202f000", "10\u202f000"]
    assert decades == ["10⁻⁵", "10⁻⁴", *plain, "10⁵"]


@given(st.lists(st.floats(0, 300), max_size=18))
def test_labels_are_spread_and_keep_their_order(places):
    spread = spread_labels(places, 0, 300)
    assert all(-1e-9 <= place <= 300 + 1e-9 for place in spread)
    for (a, b), (new_a, new_b) in zip(pairwise(places), pairwise(spread), strict=True):
        assert abs(new_a - new_b) >= LINE_HEIGHT - 1e-9
        assert a == b or (a < b) == (new_a < new_b)


@given(st.text("abc/.", max_size=60), st.floats(40, 300))
def test_shortened_names_fit_and_keep_both_ends(name, width):
    short = shorten_text(name, width)
    assert measure_text(short) <= max(width, measure_text("a…b"))
    assert short[0:1] == name[0:1]
    assert short[-1:] == name[-1:]


def labels_of(chart):
    """The labels at the right ends of the curves of a line chart."""
    names = {series.label for series in chart.series}
    return [words for words in chart.draw().texts() if words.title in names]


@given(st.integers(0, 30), st.floats(0, 1))
@settings(max_examples=20)
def test_a_chart_grows_until_every_curve_has_a_label(count, y):
    chart = LineChart([Series(f"s{k}", [0, 1], [y, y]) for k in range(count)], "x", "y")
    heights = sorted(words.y for words in labels_of(chart))
    assert len(heights) == count
    assert all(b - a >= LINE_HEIGHT - 1e-9 for a, b in pairwise(heights))
    assert all(0 < height < chart.draw().height for height in heights)


def test_marker_labels_do_not_overlap():
    markers = [Marker(x, f"a label of some length {x}") for x in (10, 11, 12, 60, 99)]
    chart = LineChart([Series("s", range(100), range(100))], "x", "y", markers=markers)
    shown = [words.text for words in chart.draw().texts() if words.text.startswith("a label")]
    assert shown == [markers[0].label, markers[3].label]


TOP, BOTTOM = 34, 340 - 46
"""Where the frame of a line chart begins and ends."""


def strokes_of(chart, label):
    return [s.points for s in chart.draw().shapes if isinstance(s, Line) and s.title == label]


def test_long_curves_are_thinned_but_keep_extremes_and_gaps():
    y = np.sin(np.arange(10_000) / 50)
    y[1234], y[5000] = 7.0, math.nan
    strokes = strokes_of(LineChart([Series("s", range(10_000), y)], "x", "y", y_range=(-2, 7)), "s")
    assert len(strokes) == 2
    assert sum(map(len, strokes)) < 1000
    assert min(height for stroke in strokes for _, height in stroke) == pytest.approx(TOP)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_values_outside_the_range_of_an_axis_stay_inside_the_frame(values):
    chart = LineChart([Series("s", range(len(values)), values)], "x", "y", y_range=(0.4, 0.6))
    heights = [y for stroke in strokes_of(chart, "s") for _, y in stroke]
    assert all(TOP - 1e-6 <= y <= BOTTOM + 1e-6 for y in heights)


def test_charts_without_data_are_drawn():
    charts = [
        LineChart([], "x", "y"),
        LineChart([Series("s", [1], [math.nan])], "x", "y", log_y=True),
        BarChart([], "x"),
        BarChart([Bar("nan", math.nan)], "x"),
        HeatMap([], [], []),
        HeatMap(["a"], ["b"], [[0]]),
        Chain([Box("a", [])]),
    ]
    parts = "{{ ui.table((), ()) }}{{ ui.facts({}) }}{{ ui.images([]) }}"
    parts += "{% for chart in charts %}{{ ui.chart(chart) }}{% endfor %}"
    check_page(render_page(parts, charts=charts))
    for chart in charts:
        draw_chart(chart)


@given(st.integers(1, 120), st.integers(1, 30))
@settings(max_examples=10)
def test_a_heat_map_draws_every_cell_and_name_inside_itself(count, length):
    names = [f"{k}".rjust(length, "n") for k in range(count)]
    drawing = HeatMap(names, names, np.eye(count).tolist(), "true", "predicted").draw()
    cells = [shape for shape in drawing.shapes if isinstance(shape, Area)]
    assert len(cells) == count**2
    assert max(x for cell in cells for x, _ in cell.points) <= drawing.width
    assert max(y for cell in cells for _, y in cell.points) <= drawing.height
    rows = [words.y for words in drawing.texts() if words.title and words.anchor == "end"]
    assert rows
    assert all(after - before >= LINE_HEIGHT - 1e-6 for before, after in pairwise(rows))


@given(st.text("abc_", min_size=1, max_size=30), st.integers(1, 8))
@settings(max_examples=20)
def test_text_stays_inside_the_boxes_of_a_chain(word, count):
    drawing = Chain([Box(word, [f"{word} {word}"])] * count).draw()
    boxes = [shape.points for shape in drawing.shapes if isinstance(shape, Area)]
    edges = sorted({x for points in boxes if len(points) == 4 for x, _ in points})
    for words in drawing.texts():
        assert isinstance(words, Words)
        assert words.y < drawing.height
        right = next(edge for edge in edges if edge > words.x)
        assert words.x + measure_text(words.text) <= right


def contrast(one, other):
    """Contrast ratio of two colors (WCAG 2.1)."""

    def luminance(color):
        levels = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_every_color_contrasts_with_its_paper():
    style = render_page()
    light, dark = re.findall(r"--paper: (#[0-9a-f]{6})", style)[:2]
    for hue in (*CATEGORIES, *pick_ramp(12)):
        assert contrast(hue.light, light) >= 2.5, hue
        assert contrast(hue.dark, dark) >= 2.5, hue


@pytest.mark.slow
@in_a_browser
def test_a_browser_reports_no_errors_and_makes_no_requests(tmp_path, scene):
    page = write_text(render_every_part(NASTY, scene), tmp_path / "page.html")
    document, console, asked = browse(page, tmp_path)
    assert "section-4" in document
    assert console == []
    assert asked == set()
    page.write_text("<img src='http://evil.example/x.png'><script>console.error(1)</script>")
    _, console, asked = browse(page, tmp_path)
    assert len(console) == 1
    assert asked == {"http://evil.example/x.png"}
