"""The plan: which engine, how much memory, how long, and what would fit where it does not."""

import json

import keras
import numpy as np
import pytest
from shell import invoke

import nstk
from nstk.backbones import arithmetic as arithmetics
from nstk.backbones.backbone import Backbone
from nstk.backbones.conv_benchmark import Speed
from nstk.backbones.variants import Arithmetic
from nstk.errors import BackboneError, SettingsError
from nstk.images.image import save_image
from nstk.settings import StylizeSettings, parse_memory
from nstk.stylization.objective import ObjectiveWeights
from nstk.stylization.scales import Scale
from nstk.stylization.tiled import planning
from nstk.stylization.tiled.planning import CostModel, make_plan

WEIGHTS = ObjectiveWeights(
    0.4, 1.0, 0.1, {"block3_conv1": 1.0}, {"block1_conv1": 0.7, "block3_conv1": 0.3}
)
GIGABYTE = 2**30


@pytest.fixture(autouse=True)
def quick_machine(monkeypatch):
    """A machine whose speed and memory are known."""
    monkeypatch.setattr(
        arithmetics,
        "time_convolutions",
        lambda kernels, kind: dict.fromkeys(kernels, Speed(1e-10, 1e-10)),
    )
    monkeypatch.setattr(planning, "current_memory", lambda: GIGABYTE // 2)
    monkeypatch.setattr(planning, "available_memory", lambda: 8 * GIGABYTE)


def demand(backbone, height, width, optimizer="adam", steps=10):
    scales = (Scale(height // 2, width // 2, steps), Scale(height, width, steps))
    return CostModel(backbone, WEIGHTS, optimizer, Arithmetic(), scales)


def test_a_image_that_fits_is_looked_at_at_once(tiny_backbone):
    plan = make_plan(demand(tiny_backbone, 300, 400), "auto", None)
    assert (plan.tiling, plan.precision) == ("off", "float32")
    assert GIGABYTE // 2 < plan.peak_memory_bytes < GIGABYTE
    assert "fits" in plan.reason


def test_a_image_that_does_not_fit_is_looked_at_in_windows(tiny_backbone):
    large = demand(tiny_backbone, 3000, 4000)
    whole = large.predict_memory("off", large.pixels)
    plan = make_plan(large, "auto", whole - 1)
    assert plan.tiling == "on"
    assert plan.peak_memory_bytes < whole
    assert "would take" in plan.reason


@pytest.mark.parametrize("tiling", ["off", "on"])
def test_the_engine_that_is_asked_for_is_taken(tiny_backbone, tiling):
    plan = make_plan(demand(tiny_backbone, 300, 400), tiling, None)
    assert plan.tiling == tiling
    assert tiling in plan.reason


def test_windows_take_longer_and_larger_images_more(tiny_backbone):
    small, large = demand(tiny_backbone, 300, 400), demand(tiny_backbone, 600, 800)
    assert small.predict_seconds("off") < small.predict_seconds("on")
    assert small.predict_seconds("off") < large.predict_seconds("off")
    for tiling in ("off", "on"):
        memory = [each.predict_memory(tiling, each.pixels) for each in (small, large)]
        assert memory == sorted(memory)


def test_optimizers_with_more_state_need_more(tiny_backbone):
    names = ("adam", "newton", "lbfgs")
    needs = [
        each.predict_memory("on", each.pixels)
        for each in (demand(tiny_backbone, 3000, 4000, name) for name in names)
    ]
    assert needs == sorted(needs)


def test_what_does_not_fit_is_refused_with_a_size_that_does(tiny_backbone):
    large = demand(tiny_backbone, 12000, 16000)
    with pytest.raises(
        SettingsError, match=r"16000×12000 .* --size \d+, or raise --max-memory"
    ) as e:
        make_plan(large, "auto", 3 * GIGABYTE)
    size = int(str(e.value).split("--size ")[1].split(",")[0])
    fitting = demand(tiny_backbone, size * 3 // 4, size)
    assert make_plan(fitting, "auto", 3 * GIGABYTE).peak_memory_bytes <= 3 * GIGABYTE


def test_a_machine_without_room_refuses_by_itself(tiny_backbone, monkeypatch):
    monkeypatch.setattr(planning, "available_memory", lambda: GIGABYTE // 4)
    with pytest.raises(SettingsError, match="may be used"):
        make_plan(demand(tiny_backbone, 12000, 16000), "auto", None)


def test_what_cannot_be_cut_is_looked_at_at_once_or_refused():
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(maps)
    maps = keras.layers.Multiply(name="squeezed")([maps, mean])
    network = Backbone("squeezing", keras.Model(inputs, maps), 32, "seeded")
    weights = ObjectiveWeights(1, 1, 0, {"squeezed": 1.0}, {"squeezed": 1.0})
    asked = CostModel(network, weights, "adam", Arithmetic(), (Scale(30, 40, 1),))
    assert make_plan(asked, "auto", None).tiling == "off"
    with pytest.raises(BackboneError, match="--tiling off"):
        make_plan(asked, "on", None)


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GiB", 2**31), ("500 MB", 5 * 10**8), ("1.5gib", 3 * 2**29), ("1234567", 1234567)],
)
def test_amounts_of_memory_are_read(text, size):
    assert parse_memory(text) == size


def test_what_is_no_amount_of_memory_is_refused():
    with pytest.raises(ValueError, match="2GiB"):
        parse_memory("2 bananas")
    with pytest.raises(SettingsError, match="--max-memory"):
        StylizeSettings(max_memory=100)


def test_both_engines_paint_the_same_image(tiny_backbone, scene, strokes):
    made = [
        nstk.stylize(
            scene,
            strokes,
            backbone=tiny_backbone,
            settings=StylizeSettings(size=64, steps=3, scales=1, tiling=tiling),
        )
        for tiling in ("off", "on")
    ]
    assert [each.tiling for each in made] == ["off", "on"]
    np.testing.assert_allclose(made[0].image, made[1].image, atol=1e-3)


def test_the_shell_prints_a_plan_and_paints_nothing(tmp_path, scene, strokes):
    content, style, output = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    save_image(content, scene)
    save_image(style, strokes)
    asked = ["stylize", content, style, "-o", output, "--size", "64", "--plan"]
    planned = json.loads(invoke(*asked, "--json", "--precision", "float32").stdout)
    assert {"tiling", "precision", "peak_memory_bytes", "seconds"} <= set(planned)
    assert planned["tiling"] == "off"
    assert "whole engine in float32" in invoke(*asked, "--precision", "float32").stdout
    assert not output.exists()
