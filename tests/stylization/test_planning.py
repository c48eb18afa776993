"""The plan: whether to tile, how much memory and time that takes, and which size would fit."""

import json

import keras
import numpy as np
import pytest
from shell import invoke

import nstk
from nstk.backbones import arithmetic as arithmetics
from nstk.backbones.backbone import Backbone
from nstk.backbones.conv_benchmark import Speed
from nstk.errors import BackboneError, SettingsError
from nstk.settings import StylizeSettings, parse_memory
from nstk.stylization.objective import ObjectiveWeights
from nstk.stylization.recipe import Scale
from nstk.stylization.tiled import planning
from nstk.stylization.tiled.planning import CostModel, Plan, make_plan

WEIGHTS = ObjectiveWeights(
    0.4, 1.0, 0.1, {"block3_conv1": 1.0}, {"block1_conv1": 0.7, "block3_conv1": 0.3}
)
GIGABYTE = 2**30


@pytest.fixture(autouse=True)
def known_machine(monkeypatch):
    """A machine whose speed and memory are known."""
    monkeypatch.setattr(
        arithmetics,
        "time_convolutions",
        lambda kernels, kind: dict.fromkeys(kernels, Speed(1e-10, 1e-10)),
    )
    monkeypatch.setattr(planning, "current_memory", lambda: GIGABYTE // 2)
    monkeypatch.setattr(planning, "available_memory", lambda: 8 * GIGABYTE)


def make_costs(backbone, height, width, optimizer="adam", steps=10):
    scales = (Scale(height // 2, width // 2, steps), Scale(height, width, steps))
    return CostModel(backbone, WEIGHTS, optimizer, "float32", scales)


def test_an_image_that_fits_is_not_tiled(tiny_backbone):
    plan = make_plan(make_costs(tiny_backbone, 300, 400), "auto", None)
    assert (plan.tiling, plan.precision, plan.largest_whole) == ("off", "float32", None)
    assert GIGABYTE // 2 < plan.peak_memory_bytes < GIGABYTE
    assert not plan.is_tiled(Scale(3000, 4000, 1))


def test_an_image_that_does_not_fit_is_tiled_at_the_scales_that_do_not_fit(tiny_backbone):
    large = make_costs(tiny_backbone, 3000, 4000)
    whole = large.predict_memory("off", large.pixels)
    plan = make_plan(large, "auto", whole - 1)
    assert plan.tiling == "on"
    assert plan.peak_memory_bytes < whole
    assert [plan.is_tiled(Scale(*size, 1)) for size in ((30, 40), (3000, 4000))] == [False, True]


@pytest.mark.parametrize("tiling", ["off", "on"])
def test_a_requested_tiling_is_used(tiny_backbone, tiling):
    plan = make_plan(make_costs(tiny_backbone, 300, 400), tiling, None)
    assert plan.tiling == tiling
    assert plan.is_tiled(Scale(300, 400, 1)) == (tiling == "on")
    assert tiling in plan.reason


def test_a_plan_survives_json(tiny_backbone):
    for tiling in ("off", "on"):
        plan = make_plan(make_costs(tiny_backbone, 300, 400), tiling, None, 0.25)
        assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(
    "change",
    [
        {"tiling": "perhaps"},
        {"precision": "float16"},
        {"largest_whole": -1},
        {"largest_whole": "many"},
        {"strength": 2.0},
        {"strength": "strong"},
        {"unknown": 1},
    ],
)
def test_a_forged_plan_is_refused(tiny_backbone, change):
    facts = make_plan(make_costs(tiny_backbone, 300, 400), "on", None, 0.25).to_dict()
    with pytest.raises((TypeError, ValueError)):
        Plan.from_dict({**facts, **change})


def test_tiles_take_longer_and_larger_images_need_more(tiny_backbone):
    small, large = (make_costs(tiny_backbone, *size) for size in ((300, 400), (600, 800)))
    assert small.predict_seconds("off") < small.predict_seconds("on")
    assert small.predict_seconds("off") < large.predict_seconds("off")
    for tiling in ("off", "on"):
        memory = [each.predict_memory(tiling, each.pixels) for each in (small, large)]
        assert memory == sorted(memory)


def test_optimizers_with_more_state_need_more_memory(tiny_backbone):
    needs = [
        each.predict_memory("on", each.pixels)
        for each in (
            make_costs(tiny_backbone, 3000, 4000, name) for name in ("adam", "newton", "lbfgs")
        )
    ]
    assert needs == sorted(needs)


def test_an_image_that_is_too_large_is_refused_with_a_size_that_fits(tiny_backbone):
    large = make_costs(tiny_backbone, 12000, 16000)
    with pytest.raises(SettingsError, match=r"16000×12000 .*size=\d+.*max_memory") as error:
        make_plan(large, "auto", 3 * GIGABYTE)
    size = int(str(error.value).split("size=")[1].split("`")[0])
    fitting = make_costs(tiny_backbone, size * 3 // 4, size)
    assert make_plan(fitting, "auto", 3 * GIGABYTE).peak_memory_bytes <= 3 * GIGABYTE


def test_without_a_limit_the_available_memory_counts(tiny_backbone, monkeypatch):
    monkeypatch.setattr(planning, "available_memory", lambda: GIGABYTE // 4)
    with pytest.raises(SettingsError, match="16000×12000"):
        make_plan(make_costs(tiny_backbone, 12000, 16000), "auto", None)


def test_a_network_that_cannot_be_tiled_is_not_tiled_or_refused():
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(maps)
    maps = keras.layers.Multiply(name="squeezed")([maps, mean])
    network = Backbone("squeezing", keras.Model(inputs, maps), 32, "seeded")
    weights = ObjectiveWeights(1, 1, 0, {"squeezed": 1.0}, {"squeezed": 1.0})
    costs = CostModel(network, weights, "adam", "float32", (Scale(30, 40, 1),))
    assert make_plan(costs, "auto", None).tiling == "off"
    with pytest.raises(BackboneError, match="tiling"):
        make_plan(costs, "on", None)


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GiB", 2**31), ("500 MB", 5 * 10**8), ("1.5gib", 3 * 2**29), ("1234567", 1234567)],
)
def test_amounts_of_memory_are_parsed(text, size):
    assert parse_memory(text) == size


def test_other_text_is_not_an_amount_of_memory():
    with pytest.raises(ValueError, match="2 bananas"):
        parse_memory("2 bananas")
    with pytest.raises(SettingsError, match="max_memory"):
        StylizeSettings(max_memory=100)


def test_a_tiled_run_gives_the_image_of_the_whole(tiny_backbone, scene, strokes):
    off, on = (
        nstk.stylize(
            scene, strokes, backbone=tiny_backbone, size=64, steps=3, scales=1, tiling=tiling
        )
        for tiling in ("off", "on")
    )
    assert (off.tiling, on.tiling) == ("off", "on")
    assert np.abs(off.image - on.image).mean() < 1e-3


def test_the_command_line_prints_a_plan_and_writes_nothing(tmp_path, scene, strokes):
    content, style, output = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    nstk.save_image(content, scene)
    nstk.save_image(style, strokes)
    asked = ["stylize", content, style, "-o", output, "--size", "64", "--plan"]
    asked += ["--precision", "float32"]
    planned = json.loads(invoke(*asked, "--json").stdout)
    assert {"tiling", "precision", "peak_memory_bytes", "seconds"} <= set(planned)
    assert planned["tiling"] == "off"
    assert "tiling off in float32" in invoke(*asked).stdout
    assert not output.exists()
