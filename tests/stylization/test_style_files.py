"""A style file holds the style and nothing else."""

import io
import json
import pickle
import zipfile
from contextlib import suppress

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_images import unit_image

import nstk
from nstk.backbones.backbone import Backbone
from nstk.backbones.packaged import build_compact
from nstk.errors import StyleFileError
from nstk.settings import StylizeSettings
from nstk.stylization.inputs import read_inputs
from nstk.stylization.regions import NO_MASKS
from nstk.stylization.saving import save_style
from nstk.stylization.styles import StyleImage, load_style

QUICK = {"size": 64, "steps": 4, "scales": 1}


@pytest.fixture(scope="module")
def saved(tiny_backbone, strokes, tmp_path_factory):
    path = tmp_path_factory.mktemp("styles") / "strokes.nstyle"
    save_style(strokes, path, backbone=tiny_backbone)
    return path


def run(backbone, content, styles, **options):
    return nstk.stylize(content, styles, backbone=backbone, **QUICK, **options).image


def test_a_saved_style_blends_like_its_image(tiny_backbone, scene, strokes, saved):
    # Both are used at the style's own 56 pixels: it is never enlarged.
    blended = run(tiny_backbone, scene, [saved, scene], style_blend=(0.7, 0.3))
    same = run(tiny_backbone, scene, [strokes, scene], style_blend=(0.7, 0.3))
    assert np.abs(blended - same).mean() < 1e-3
    assert np.abs(blended - run(tiny_backbone, scene, saved)).max() > 0.01


def test_what_is_read_is_what_was_written(tiny_backbone, strokes, tmp_path):
    written = save_style(strokes, tmp_path / "a.nstyle", backbone=tiny_backbone)
    read = load_style(tmp_path / "a.nstyle")
    assert read.network == written.network
    for size, layers in written.sums.items():
        for layer, statistics in layers.items():
            for one, other in zip(statistics, read.sums[size][layer], strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_narrow_style_is_saved_at_the_sizes_that_the_network_can_process(tiny_backbone, tmp_path):
    scroll = np.random.default_rng(0).integers(0, 255, (16, 480, 3), np.uint8)
    saved = save_style(scroll, tmp_path / "scroll.nstyle", backbone=tiny_backbone)
    assert sorted(saved.sums) == [128, 181, 256, 362, 480]


def test_a_style_of_another_network_is_refused_by_name(tiny_backbone, saved):
    keras.utils.set_random_seed(8)
    other = Backbone("other", build_compact(widths=(4, 6, 8), depths=(1, 1, 1)), 32, "seeded")
    with pytest.raises(StyleFileError, match=r"tiny.*other"):
        load_style(saved).compute_statistics(other, ["block1_conv1"], 64)


def test_a_missing_layer_is_refused_with_those_the_file_holds(tiny_backbone, strokes, tmp_path):
    path = tmp_path / "one.nstyle"
    layers = {"block1_conv1": 1.0}
    style = save_style(strokes, path, backbone=tiny_backbone, style_layers=layers)
    with pytest.raises(StyleFileError, match=r"block2_conv1.*block1_conv1"):
        style.compute_statistics(tiny_backbone, ["block2_conv1"], 64)


@pytest.mark.parametrize("color", ["match", "luminance"])
def test_color_modes_that_need_the_pixels_of_a_style_refuse_a_file(scene, saved, color):
    with pytest.raises(StyleFileError, match=f"color.*{color}"):
        read_inputs(scene, saved, NO_MASKS, StylizeSettings(color=color))


def test_a_style_file_needs_its_own_extension(tiny_backbone, strokes, tmp_path):
    with pytest.raises(StyleFileError, match=r"\.nstyle"):
        save_style(strokes, tmp_path / "style.npz", backbone=tiny_backbone)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_style_file_is_refused(tmp_path):
    with pytest.raises(StyleFileError, match=r"none.nstyle"):
        load_style(tmp_path / "none.nstyle")


def change(saved, path, name, content):
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry == name else old.read(entry))


def test_an_array_that_would_run_code_is_not_read(saved, tmp_path):
    class Harm:
        def __reduce__(self):
            return (pytest.fail, ("code in a style file was run",))

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    buffer.write(pickle.dumps(Harm()))
    size = next(iter(load_style(saved).sums))
    change(saved, tmp_path / "bad.nstyle", f"{size}/block1_conv1/count.npy", buffer.getvalue())
    with pytest.raises(StyleFileError):
        load_style(tmp_path / "bad.nstyle")


@pytest.mark.parametrize(
    "facts",
    [
        {},
        [],
        {"version": 1},
        {"version": 99},
        {"layers": {"block1_conv1": 10**9}},
        {"layers": {"../../escape": 4}},
        {"sizes": [-5]},
        {"sizes": "many"},
    ],
)
def test_facts_of_another_shape_are_refused(saved, tmp_path, facts):
    with zipfile.ZipFile(saved) as archive:
        good = json.loads(archive.read("style.json"))
    wrong = {**good, **facts} if facts and "version" not in facts else facts
    wrong = {**good, **facts} if facts == {"version": 99} else wrong
    change(saved, tmp_path / "bad.nstyle", "style.json", json.dumps(wrong))
    with pytest.raises(StyleFileError):
        load_style(tmp_path / "bad.nstyle")


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_but_never_raises_anything_else(
    saved, tmp_path_factory, data
):
    content = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("damaged") / "damaged.nstyle"
    path.write_bytes(bytes(content[:cut]) if data.draw(st.booleans()) else bytes(content))
    with suppress(StyleFileError):
        load_style(path)


def test_a_loaded_style_is_scaled_like_its_file(tmp_path):
    noise = unit_image(np.random.default_rng(5).random((300, 300, 3)))
    kept = save_style(noise, tmp_path / "noise.nstyle")
    chosen = StylizeSettings(style_scale=0.5)
    for source in (kept, tmp_path / "noise.nstyle", StyleImage("noise", noise)):
        [style] = read_inputs(noise, source, NO_MASKS, chosen).styles
        assert style.scale == 0.5
    [finer] = read_inputs(
        noise, load_style(tmp_path / "noise.nstyle", scale=0.5), NO_MASKS, chosen
    ).styles
    assert finer.scale == 0.25


def test_a_style_given_twice_is_one_style(scene, strokes, saved):
    for twice in ([saved, saved], [load_style(saved)] * 2, [strokes, strokes.copy()]):
        one, other = read_inputs(scene, twice, NO_MASKS, StylizeSettings()).styles
        assert one is other
    [one, other] = read_inputs(scene, [saved, strokes], NO_MASKS, StylizeSettings()).styles
    assert one is not other


def test_an_initial_image_in_the_style_needs_pixels(scene, strokes, saved):
    settings = StylizeSettings(init="style")
    with pytest.raises(StyleFileError, match=r"strokes\.nstyle.*init"):
        read_inputs(scene, saved, NO_MASKS, settings)
    assert len(read_inputs(scene, [saved, strokes], NO_MASKS, settings).styles) == 2
