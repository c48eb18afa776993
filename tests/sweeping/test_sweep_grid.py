import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.errors import SettingsError
from nstk.settings import StylizeSettings
from nstk.sweeping.grid import KEYS, SweepAxis, count_points, make_grid, read_axis

numbers = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4, unique=True)


@given(strengths=numbers, weights=numbers)
def test_every_combination_is_one_point_and_the_last_axis_changes_fastest(strengths, weights):
    axes = [SweepAxis("strength", tuple(strengths)), SweepAxis("content_weight", tuple(weights))]
    points = make_grid(axes, StylizeSettings(size=64))
    pairs = [(point.settings.strength, point.settings.content_weight) for point in points]
    assert pairs == [(strength, weight) for strength in strengths for weight in weights]
    assert len(points) == count_points(axes)
    assert all(point.settings.size == 64 for point in points)


@given(values=st.lists(st.floats(0.0, 1e9), min_size=1, max_size=5, unique=True))
def test_numbers_are_parsed_as_the_option_parses_them(values):
    axis = read_axis("content-weight=" + ",".join(map(repr, values)))
    assert axis == SweepAxis("content_weight", tuple(values))


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("optimizer=adam,lbfgs", ("adam", "lbfgs")),
        ("size=96, 128", (96, 128)),
        ("learning-rate=auto,0.05", ("auto", 0.05)),
        ("strength=0.2,auto=0.8", (0.2, "auto=0.8")),
        ("content-layers=a,b:2", ({"a": 1.0}, {"b": 2.0})),
        ("style-layers=a;a,b:2", ({"a": 1.0}, {"a": 1.0, "b": 2.0})),
        ("style-blend=0.7,0.3;equal", ((0.7, 0.3), "equal")),
        ("backbone=compact,vgg19", ("compact", "vgg19")),
        ("max-memory=1GiB,2GiB", (2**30, 2**31)),
    ],
)
def test_any_setting_can_be_varied(typed, values):
    assert read_axis(typed).values == values


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("content-weight", "content-weight=1e-3,1e-2"),
        ("contentweight=1", "contentweight.*content-weight"),
        ("color-of-the-frame=red", "color-of-the-frame.*size, quality, steps"),
        ("content-weight=", "content-weight"),
        ("content-weight=1,1.0", "content-weight.* 1 "),
        ("content-weight=much", "'much'"),
        ("size=12.5", r"'12\.5'"),
        ("size=1", "size.*16"),
        ("optimizer=adam,newto", "newto.*adam"),
        ("scales=many", "a whole number or auto"),
    ],
)
def test_a_wrong_axis_is_refused_by_name_and_value(typed, words):
    with pytest.raises(SettingsError, match=words) as caught:
        read_axis(typed)
    assert "\n" not in str(caught.value)


def test_one_or_two_settings_are_varied():
    size, seed, steps = (SweepAxis(key, (20, 30)) for key in ("size", "seed", "steps"))
    assert len(make_grid([size, seed], StylizeSettings())) == 4
    for axes in ([], [size, seed, steps], [size, size]):
        with pytest.raises(SettingsError, match="over"):
            make_grid(axes, StylizeSettings())


def test_labels_are_unique():
    axes = [read_axis("content-layers=a;a,b:2"), read_axis("seed=1000000,1000001")]
    labels = [point.label for point in make_grid(axes, StylizeSettings())]
    assert labels[0] == "content-layers a, seed 1000000"
    assert len(set(labels)) == len(labels)


def test_every_key_is_an_option_of_stylize_or_the_backbone():
    assert set(KEYS) == {*vars(StylizeSettings()), "backbone"}
