"""Inspections show what is in the network."""

import json
import tracemalloc

import keras
import numpy as np
import pytest
from shell import complaint, invoke

import nstk
from nstk.backbones.backbone import Backbone
from nstk.errors import BackboneError, ImageError
from nstk.inspecting.gram import correlate, order_channels, pick_pairs
from nstk.inspecting.layers import (
    Filters,
    choose_layers,
    find_whole_cells,
    fits,
    measure_opponency,
    measure_orientation,
    read_filters,
    smallest_extent,
    trace_fields,
)
from nstk.inspecting.patches import find_patches, find_responses, merge_patches, survey_images
from nstk.inspecting.reconstruction import inspect_style
from nstk.inspecting.visualization import visualize_channels
from nstk.progress import no_progress
from nstk.reports.inspection_sheets import (
    draw_content_sheet,
    draw_gram_sheet,
    draw_layer_sheet,
    draw_overview,
    draw_style_sheet,
)
from nstk.settings import InspectSettings
from nstk.stylization.styles import extract_features

QUICK = InspectSettings(size=64, steps=12, channels=2, pairs=2)


@pytest.fixture(scope="module")
def packaged():
    return nstk.load_backbone()


@pytest.fixture(scope="module")
def found(tiny_backbone, scene, strokes):
    return nstk.inspect_layers([scene, strokes], backbone=tiny_backbone, settings=QUICK)


def test_a_bar_is_oriented_and_a_spot_is_not():
    spot = np.zeros((1, 3, 3, 3))
    spot[0, 1, 1] = 1
    bar = np.zeros((1, 3, 3, 3))
    bar[0, 1] = 1
    assert measure_orientation(spot)[0] == pytest.approx(0, abs=1e-9)
    assert measure_orientation(bar)[0] > 0.5
    assert measure_orientation(bar.swapaxes(1, 2)) == pytest.approx(measure_orientation(bar))


def test_red_against_green_is_opponent_and_gray_is_not():
    pattern = np.random.default_rng(0).normal(size=(1, 3, 3, 1))
    assert measure_opponency(pattern * [1, -1, 0])[0] == pytest.approx(1)
    assert measure_opponency(pattern * [1, 1, 1])[0] == pytest.approx(0)
    mixed = np.random.default_rng(0).normal(size=(500, 3, 3, 3))
    assert measure_opponency(mixed).mean() < 0.5


def test_few_random_filters_are_oriented_or_opponent():
    drawn = np.random.default_rng(5).normal(size=(400, 3, 3, 3)).astype(np.float32)
    filters = Filters("random", drawn)
    assert len(filters.oriented) < 12
    assert len(filters.opponent) < 12


def test_the_packaged_network_begins_with_oriented_and_opponent_filters(packaged):
    filters = read_filters(packaged)
    # By chance 1 in 100 is oriented; three or more of sixteen have a probability of 1 in 2000.
    assert len(filters.kernels) == 16
    assert len(filters.oriented) >= 3
    assert len(filters.opponent) >= 3
    assert all(image.min() >= 0 and image.max() <= 1 for image in filters.images)


def test_filters_are_in_terms_of_the_image_before_preprocessing():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, None, 3))
    swapped = keras.layers.Lambda(lambda maps: maps[..., ::-1] * 255.0 - 100.0)(inputs)
    outputs = keras.layers.Conv2D(4, 3, padding="same", name="conv")(swapped)
    model = keras.Model(inputs, outputs)
    kernel = model.get_layer("conv").get_weights()[0]
    filters = read_filters(Backbone("swapped", model, 32, "seeded"))
    expected = 255 * kernel[:, :, ::-1].transpose(3, 0, 1, 2)
    np.testing.assert_allclose(filters.kernels, expected, rtol=1e-3, atol=1e-3)


def test_the_layers_chosen_are_the_first_of_each_stride(packaged):
    assert choose_layers(packaged) == tuple(f"block{k}_conv1" for k in range(1, 6))
    assert choose_layers(packaged, ["block3_conv2", "block1_conv1"])[0] == "block1_conv1"


def test_a_layer_that_does_not_exist_lists_those_that_do(tiny_backbone, scene):
    chosen = InspectSettings(layers=("block9_conv1",))
    for inspect in (nstk.inspect_layers, nstk.inspect_content, nstk.inspect_style):
        with pytest.raises(BackboneError, match="block1_conv1, block1_pool, block2_conv1"):
            inspect(scene, backbone=tiny_backbone, settings=chosen)


def test_a_cell_depends_only_on_its_patch(tiny_backbone):
    image = np.random.default_rng(0).random((48, 64, 3), np.float32)
    for layer, field in trace_fields(tiny_backbone).items():
        maps = extract_features(tiny_backbone.tap([layer]), image)[layer].numpy()[0]
        best = find_patches(maps[..., 0] + 1e-3, image, field, 0, 1)[0]
        blank = np.zeros_like(image)
        inside = np.s_[best.top : best.top + field.height, best.left : best.left + field.width]
        blank[inside] = best.pixels
        cell = (
            (best.top + field.rows.before) // field.rows.stride,
            (best.left + field.columns.before) // field.columns.stride,
        )
        again = extract_features(tiny_backbone.tap([layer]), blank)[layer].numpy()[0]
        assert again[cell] == pytest.approx(maps[cell], abs=1e-5)
        np.testing.assert_array_equal(best.pixels, image[inside])


def test_patches_are_inside_the_image_in_order_and_apart(tiny_backbone, scene):
    field = trace_fields(tiny_backbone)["block2_conv1"]
    rows = find_whole_cells(48, field.rows)
    strength = np.random.default_rng(1).random((24, 32)).astype(np.float32)
    best = find_patches(strength, scene, field, 3, 9)
    values = [patch.activation for patch in best]
    assert values == sorted(values, reverse=True)
    assert values[0] == strength[rows.start : rows.stop, rows.start : 32 - 24 + rows.stop].max()
    places = [(patch.top, patch.left) for patch in best]
    for k, (top, left) in enumerate(places):
        assert 0 <= top <= 48 - field.height
        assert 0 <= left <= 64 - field.width
        for other in places[:k]:
            assert max(abs(top - other[0]), abs(left - other[1])) >= field.height / 2
    assert {patch.source for patch in best} == {3}


def test_nine_images_give_one_patch_each(tiny_backbone, scene):
    field = trace_fields(tiny_backbone)["block1_conv1"]
    strength = np.random.default_rng(1).random((48, 64)).astype(np.float32)
    patches = [
        patch for source in range(12) for patch in find_patches(strength, scene, field, source, 9)
    ]
    assert len({patch.source for patch in merge_patches(patches, 12)}) == 9
    assert len(merge_patches(patches[:9], 1)) == 9


def test_a_visualization_activates_its_channel_more_than_any_image(tiny_backbone, scene, strokes):
    layer, channels = "block2_conv1", (1, 4)
    visualizations = visualize_channels(tiny_backbone, layer, channels, side=32, steps=40, seed=0)
    taps = tiny_backbone.tap([layer])

    def mean(image, channel):
        return float(extract_features(taps, image)[layer].numpy()[0, 4:-4, 4:-4, channel].mean())

    for channel, image in zip(channels, visualizations, strict=True):
        assert image.shape == (32, 32, 3)
        assert mean(image, channel) > max(mean(scene, channel), mean(strokes, channel))


def test_visualizations_are_reproducible(tiny_backbone):
    options = {"side": 16, "steps": 3}
    one, again, other = (
        visualize_channels(tiny_backbone, "block2_conv1", [0], seed=seed, **options)[0]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3


def test_inspections_describe_themselves(found):
    assert "3 layers" in repr(found)
    described = json.loads(json.dumps(found.to_dict()))
    assert [each["layer"] for each in described["layers"]] == [each.layer for each in found.layers]
    assert len(described["layers"][0]["channels"][0]["patches"]) == 9


def test_layers_show_the_strongest_channels(found, tiny_backbone, scene, strokes):
    assert [each.layer for each in found.layers] == ["block1_conv1", "block2_conv1", "block3_conv1"]
    for layer in found.layers:
        maps = [
            extract_features(tiny_backbone.tap([layer.layer]), p)[layer.layer]
            for p in (scene, strokes)
        ]
        flat = np.concatenate([each.numpy().reshape(-1, each.shape[-1]) for each in maps])
        energy = np.square(flat).mean(axis=0)
        assert [each.channel for each in layer.channels] == np.argsort(-energy)[:2].tolist()
        for each in layer.channels:
            assert each.energy == pytest.approx(energy[each.channel], rel=1e-4)
            assert each.activation == pytest.approx(maps[0].numpy()[0, ..., each.channel])
            assert len(each.patches) == 9
            assert {patch.source for patch in each.patches} == {0, 1}


def test_sheets_have_the_filters_on_the_first_layer_only(found):
    overview = draw_overview(found)
    assert overview.shape[1] > 800
    first, second, _ = (draw_layer_sheet(found, layer) for layer in found.layers)
    assert first.shape[0] > second.shape[0], "the first convolution shows its filters too"


def test_an_image_smaller_than_the_receptive_field_is_refused_with_the_layers_that_fit(
    packaged, scene
):
    chosen = InspectSettings(layers=("block3_conv1", "block5_conv1"))
    with pytest.raises(ImageError, match=r"64×48 .*block5_conv1.* 132×132.*block3_conv3"):
        nstk.inspect_layers(scene, backbone=packaged, settings=chosen)
    with pytest.raises(ImageError, match="block3_conv3"):
        nstk.inspect_gram([scene], backbone=packaged, settings=chosen)
    speck = scene[:8, :8]
    with pytest.raises(ImageError, match=r" 16 .*block4_conv3"):
        nstk.inspect_content(speck, backbone=packaged, settings=chosen)
    assert fits(scene, trace_fields(packaged)["block3_conv3"])
    assert not fits(scene, trace_fields(packaged)["block4_conv1"])


def test_the_size_in_the_message_is_the_smallest_that_fits(packaged, tiny_backbone):
    for backbone in (packaged, tiny_backbone):
        for field in trace_fields(backbone).values():
            height, width = smallest_extent(field.rows), smallest_extent(field.columns)
            assert fits(np.zeros((height, width, 3)), field)
            assert not fits(np.zeros((height - 1, width, 3)), field)
            assert not fits(np.zeros((height, width - 1, 3)), field)
    field = trace_fields(packaged)["block5_conv1"]
    needed = f"{smallest_extent(field.columns)}×{smallest_extent(field.rows)}"
    with pytest.raises(ImageError, match=f"200×134.*132×132.*{needed}"):
        nstk.inspect_gram([np.zeros((134, 200, 3), np.uint8)], backbone=packaged)


def test_small_images_among_others_are_left_out(tiny_backbone, scene):
    made = nstk.inspect_layers([scene[:4, :4], scene], backbone=tiny_backbone, settings=QUICK)
    assert made.names == ("image 2",)
    assert [str(each.path) for each in made.skipped] == ["image 1"]
    assert "4×4" in made.skipped[0].reason


def test_many_images_need_the_memory_of_a_few(tiny_backbone, tmp_path):
    side, layer = 128, "block1_conv1"
    for number in range(20):
        image = np.full((side, side, 3), 0.5, np.float32)
        image[:8, :8] = np.random.default_rng(number).random((8, 8, 3))
        nstk.save_image(tmp_path / f"{number}.png", image)
    files = sorted(tmp_path.iterdir())

    def peak(count):
        tracemalloc.start()
        try:
            survey = survey_images(files[:count], [layer], tiny_backbone, side, no_progress)
            strongest = {layer: (0, 1)}
            find_responses(survey.sources, strongest, tiny_backbone, side, no_progress)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # imports and caches
    assert peak(20) < peak(5) + 5 * image.nbytes


def test_a_reconstruction_matches_its_layer(tiny_backbone, scene):
    chosen = InspectSettings(steps=30)
    made = nstk.inspect_content(scene, backbone=tiny_backbone, settings=chosen)
    for each in made.reconstructions:
        assert len(each.losses) == 30
        assert min(each.losses) < 0.3 * each.losses[0]
        assert each.image.shape == scene.shape
    first = made.reconstructions[0]
    noise = np.random.default_rng(0).random(scene.shape)
    assert first.error < 0.8 * float(np.sqrt(np.mean((noise - scene) ** 2)))
    assert draw_content_sheet(made).shape[1] > 700


def test_textures_match_the_layers_they_are_made_from(tiny_backbone, strokes):
    chosen = InspectSettings(steps=30)
    made = inspect_style(strokes, backbone=tiny_backbone, settings=chosen)
    names = [f"block{k}_conv1" for k in (1, 2, 3)]
    assert [list(each.layers) for each in made.textures] == [names[:k] for k in (1, 2, 3)]
    for each in made.textures:
        assert max(each.errors[name] for name in each.layers) < 0.3
    unseen = [each.errors[names[2]] for each in made.textures]
    assert unseen[2] < unseen[0], "a used layer matches better than an unused one"
    assert draw_style_sheet(made).shape[1] > 700


@pytest.mark.parametrize("optimizer", ["adam", "gradient-descent"])
def test_every_optimizer_reduces_the_loss(tiny_backbone, strokes, optimizer):
    chosen = InspectSettings(steps=5, size=24, layers=("block2_conv1",), optimizer=optimizer)
    made = nstk.inspect_content(strokes, backbone=tiny_backbone, settings=chosen)
    assert made.reconstructions[0].losses[-1] < made.reconstructions[0].losses[0]
    assert made.original.shape == (17, 24, 3)


def test_the_same_image_has_the_same_gram_matrix(tiny_backbone, strokes, scene):
    made = nstk.inspect_gram([strokes, strokes, scene], backbone=tiny_backbone, settings=QUICK)
    for layer in made.layers:
        assert layer.errors[:2] == pytest.approx([0, 0], abs=1e-6)
        assert layer.errors[2] > 0.05
        maps = extract_features(tiny_backbone.tap([layer.layer]), strokes)[layer.layer].numpy()
        flat = maps.reshape(-1, maps.shape[-1]).astype(np.float64)
        np.testing.assert_allclose(layer.grams[0], flat.T @ flat / len(flat), rtol=1e-3, atol=1e-5)
        assert sorted(layer.order) == list(range(maps.shape[-1]))
        for pair in layer.pairs:
            truth = np.corrcoef(flat[:, pair.channels[0]], flat[:, pair.channels[1]])[0, 1]
            assert pair.correlations[0] == pytest.approx(truth, abs=1e-3)
            assert pair.correlations[0] == pair.correlations[1]
            assert len(pair.patches) == 3
    assert draw_gram_sheet(made).shape[1] > 700


def test_the_backbone_may_be_omitted_or_named(tiny_backbone, scene, monkeypatch):
    loaded = []

    def load(name, **options):
        loaded.append(name)
        return tiny_backbone

    for module in ("job", "reconstruction", "gram"):
        monkeypatch.setattr(f"nstk.inspecting.{module}.load_backbone", load)
    chosen = InspectSettings(
        layers=("block1_conv1",), steps=1, channels=1, optimizer="gradient-descent"
    )
    nstk.inspect_layers(scene, settings=chosen)
    nstk.inspect_content(scene, settings=chosen)
    nstk.inspect_style(scene, settings=chosen, backbone="vgg19")
    nstk.inspect_gram([scene], settings=chosen, backbone="vgg19")
    assert loaded == ["compact", "compact", "vgg19", "vgg19"]


def test_pairs_are_the_most_correlated_and_share_no_channel():
    values = np.random.default_rng(2).normal(size=(300, 5)).astype(np.float32)
    values[:, 3] = values[:, 1] + 0.1 * values[:, 3]
    values[:, 4] = 7
    correlations = correlate(np.cov(values, rowvar=False).astype(np.float32))
    assert pick_pairs(correlations, 1) == [(1, 3)]
    used = [channel for pair in pick_pairs(correlations, 4) for channel in pair]
    assert len(used) == len(set(used))
    assert 4 not in used


def test_correlated_channels_are_neighbors():
    group = np.arange(12) % 3
    correlations = np.where(group[:, None] == group, 0.9, 0.05).astype(np.float32)
    ordered = group[list(order_channels(correlations))]
    assert (np.diff(ordered) != 0).sum() == 2


@pytest.fixture(scope="module")
def place(tmp_path_factory, scene, strokes):
    place = tmp_path_factory.mktemp("inspect")
    nstk.save_image(place / "scene.png", scene)
    nstk.save_image(place / "strokes.png", strokes)
    (place / "empty").mkdir()
    return place


LAYERS = ("--layers", "block1_conv1,block2_conv1", "--json")


def test_the_commands_write_sheets_and_describe_them_in_json(place):
    sheet = place / "content.png"
    quick = (*LAYERS, "--steps", 2, "--optimizer", "adam")
    result = invoke("inspect", "content", place / "scene.png", "-o", sheet, *quick)
    content = json.loads(result.stdout)
    assert content["output"] == str(sheet)
    assert [each["layer"] for each in content["layers"]] == ["block1_conv1", "block2_conv1"]
    assert nstk.load_image(sheet).pixels.shape[1] > 600
    sheet = place / "style.png"
    result = invoke("inspect", "style", place / "strokes.png", "-o", sheet, *quick)
    style = json.loads(result.stdout)
    assert [len(each["layers"]) for each in style["textures"]] == [1, 2]
    sheet = place / "gram.jpg"
    both = (place / "strokes.png", place / "scene.png")
    gram = json.loads(invoke("inspect", "gram", *both, "-o", sheet, *LAYERS).stdout)
    assert gram["images"] == ["strokes.png", "scene.png"]
    assert sheet.exists()


def test_layers_are_written_to_one_sheet_each(place):
    quick = ("--steps", 2, "--channels", 2)
    sheet = place / "layers.png"
    given = (place / "scene.png", place / "strokes.png")
    made = json.loads(invoke("inspect", "layers", *given, "-o", sheet, *LAYERS, *quick).stdout)
    outputs = [place / f"layers-block{k}_conv1.png" for k in (1, 2)]
    assert [each["output"] for each in made["layers"]] == list(map(str, outputs))
    assert all(each.exists() for each in (sheet, *outputs))
    assert made["layers"][1]["receptive_field"] == [10, 10]
    assert made["filters"]["opponent"]
    folder = place / "sheets"
    only = ("--layers", "block1_conv1", *quick)
    result = invoke("inspect", "layers", *given, "-o", folder, *only)
    assert result.exit_code == 0, result.stderr
    assert sorted(each.name for each in folder.iterdir()) == ["block1_conv1.png", "overview.png"]
    alone = place / "alone.png"
    assert invoke("inspect", "layers", *given, "-o", alone, *only).exit_code == 0
    assert alone.exists()
    assert not (place / "alone-block1_conv1.png").exists()


@pytest.mark.parametrize("what", ["layers", "content", "style", "gram"])
def test_a_sheet_does_not_overwrite_its_image(place, what):
    before = (place / "scene.png").read_bytes()
    result = invoke("inspect", what, place / "scene.png", "-o", place / "scene.png", *LAYERS)
    assert result.exit_code == 2
    assert "scene.png" in complaint(result)
    assert (place / "scene.png").read_bytes() == before


def test_a_file_in_place_of_the_output_folder_is_refused(place):
    taken = place / "taken"
    taken.write_text("mine")
    result = invoke("inspect", "layers", place / "scene.png", "-o", taken)
    assert result.exit_code == 2
    assert "taken" in complaint(result)
    assert taken.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("layers", "empty"), "empty"),
        (("layers", "missing.png"), "missing.png"),
        (("layers", "scene.png"), "60×60"),
        (("content", "scene.png", "--layers", "conv9"), "conv9"),
        (("style", "scene.png", "--layers", "conv9"), "block1_conv1, "),
        (("gram", "scene.png", "--layers", ","), "--layers"),
        (("content", "scene.png", "--steps", "0"), "--steps"),
        (("content", "scene.png", "--optimizer", "best"), "--optimizer"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(place, monkeypatch, arguments, named):
    monkeypatch.chdir(place)
    result = invoke("inspect", *arguments, "-o", "refused.png")
    assert named in complaint(result)
    assert result.exit_code == 2
    assert not (place / "refused.png").exists()


@pytest.mark.slow
def test_the_error_of_reconstructions_grows_with_the_layer(packaged, shared):
    images = sorted((shared / "data" / "pictures").glob("*/*.jpg"))[:2]
    assert len(images) == 2
    layers = ("block1_conv1", "block3_conv1", "block5_conv1")
    chosen = InspectSettings(size=64, steps=20, layers=layers)
    found = [nstk.inspect_content(path, backbone=packaged, settings=chosen) for path in images]
    errors = [[each.error for each in made.reconstructions] for made in found]
    assert (np.diff(np.mean(errors, axis=0)) > 0).all()
