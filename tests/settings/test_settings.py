"""Defaults and ranges, written once."""

import dataclasses
import math
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.errors import SettingsError
from nstk.settings import (
    AuditSettings,
    CheckpointSettings,
    FinetuneSettings,
    FrozenSettings,
    InspectSettings,
    LessonSettings,
    NewtonSettings,
    StylizeSettings,
    check_range,
)
from nstk.settings.stylizing import STEPS

CLASSES = [StylizeSettings, FinetuneSettings, AuditSettings, InspectSettings, FrozenSettings]
CLASSES += [NewtonSettings, LessonSettings]


def kinds_of(settings, name):
    """The types of a field: those of the union, or the one."""
    kind = get_type_hints(settings)[name]
    return get_args(kind) or (kind,)


@pytest.mark.parametrize("settings", CLASSES)
def test_class_attributes_are_the_defaults(settings):
    for field in dataclasses.fields(settings):
        assert getattr(settings, field.name) == field.default == getattr(settings(), field.name)


@pytest.mark.parametrize("settings", CLASSES)
def test_every_setting_is_explained_in_one_sentence_without_a_full_stop(settings):
    for field in dataclasses.fields(settings):
        assert field.metadata["help"][0].isupper()
        assert not field.metadata["help"].endswith(".")


@pytest.mark.parametrize("settings", CLASSES)
def test_settings_are_frozen_and_take_keywords_only(settings):
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().seed = 1
    with pytest.raises(TypeError):
        settings(1)


@pytest.mark.parametrize(
    ("settings", "name"),
    [(kind, field.name) for kind in CLASSES for field in dataclasses.fields(kind)],
)
def test_a_number_out_of_range_is_named_with_its_value_and_the_range(settings, name):
    if name in ("init", "start"):
        return  # any text may be a path, and a curve may start at −1
    with pytest.raises(SettingsError) as caught:
        settings(**{name: -1})
    message = str(caught.value)
    assert f"`{name}` is -1" in message
    assert "\n" not in message


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_range_accepts_exactly_the_numbers_in_it(value, low, width):
    inside = math.isfinite(value) and low <= value <= low + width
    if inside:
        check_range("some_number", value, low, low + width)
    else:
        with pytest.raises(SettingsError, match="some_number"):
            check_range("some_number", value, low, low + width)


@pytest.mark.parametrize("value", [True, None, "12", math.nan])
def test_a_value_that_is_not_a_number_is_out_of_range(value):
    with pytest.raises(SettingsError):
        check_range("size", value, 0)


def test_infinity_is_refused():
    with pytest.raises(SettingsError):
        check_range("style_weight", math.inf, 0)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (kind, field.name)
        for kind in [*CLASSES, CheckpointSettings]
        for field in dataclasses.fields(kind)
        if int in kinds_of(kind, field.name) and float not in kinds_of(kind, field.name)
    ],
)
def test_whole_numbers_must_be_whole(settings, name):
    with pytest.raises(SettingsError, match=f"`{name}` is 33.5"):
        settings(**{name: 33.5})


@pytest.mark.parametrize(
    "blend", [("0.7", "0.3"), (0.7, None), (True, False), (0.7, math.nan), (0.0, 0.0), (), 0.5]
)
def test_a_blend_needs_finite_weights_of_which_one_is_positive(blend):
    with pytest.raises(SettingsError, match="style_blend"):
        StylizeSettings(style_blend=blend)


def test_an_array_is_not_a_blend():
    with pytest.raises(SettingsError, match="style_blend"):
        StylizeSettings(style_blend=np.array([0.7, 0.3]))


def test_the_quality_sets_the_steps_unless_they_are_given():
    steps = [StylizeSettings(quality=name).steps_per_scale for name in STEPS]
    assert steps == sorted(set(steps))
    assert StylizeSettings(quality="draft", steps=33).steps_per_scale == 33


def test_a_path_to_the_first_image_becomes_text():
    assert StylizeSettings(init=Path("start.png")).init == "start.png"
    with pytest.raises(SettingsError, match="`init` is None"):
        StylizeSettings(init=None)
