"""An explanation is exact if the head is linear, and its evidence lies where the class is."""

import gc
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest
from drawn_classifier import build_classifier
from labeled_images import COLORS, draw_image
from PIL import Image
from shell import complaint, invoke

import nstk
from nstk.classifiers.explanation import (
    Explanation,
    ExplanationNetwork,
    Method,
    choose_method,
    draw_overlay,
    explain,
)
from nstk.errors import ImageError, SettingsError
from nstk.features.crops import CROPS
from nstk.features.networks import FEATURES
from nstk.heads.links import SOFTMAX


@pytest.fixture(scope="module")
def folder(color_folder):
    return color_folder


@pytest.fixture(scope="module")
def classifier(color_classifier):
    return color_classifier


@pytest.fixture(scope="module")
def deeper(classifier):
    """The same classifier with a hidden layer before its head."""
    keras.utils.set_random_seed(2)
    model = classifier.model
    hidden = keras.layers.Dense(8, activation="tanh")(model.get_layer(FEATURES).output)
    logits = keras.layers.Dense(3, name="head")(hidden)
    probabilities = keras.layers.Softmax()(logits)
    return replace(classifier, model=keras.Model(model.inputs[0], probabilities))


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """An image whose left half is red and whose right half is blue, wider than high."""
    red, blue = (draw_image(COLORS[name], 64, 50, seed=1) for name in ("red", "blue"))
    path = tmp_path_factory.mktemp("halves") / "halves.png"
    Image.fromarray(np.concatenate([red, blue], axis=1)).save(path)
    return path


def test_the_mean_of_the_evidence_is_the_logit_without_its_bias(classifier, folder):
    _, bias = classifier.model.get_layer("head").get_weights()
    logits = keras.Model(classifier.model.inputs[0], classifier.model.get_layer("head").output)
    for path in sorted(folder.glob("*/0.png")):
        pixels = np.rint(nstk.load_image(path).pixels * 255)[np.newaxis]
        found = logits(pixels).numpy()[0] - bias
        for label, name in enumerate(classifier.classes):
            [each] = explain(classifier, path, label=name)
            assert each.method == "class activation map"
            assert each.evidence.mean() == pytest.approx(found[label] - found.mean(), abs=1e-4)


def test_the_evidence_of_all_classes_together_is_none(classifier, halves):
    maps = [next(explain(classifier, halves, label=name)).evidence for name in classifier.classes]
    assert np.abs(maps).max() > 0.1
    assert np.sum(maps, axis=0) == pytest.approx(0, abs=1e-4)


def test_each_class_is_found_where_it_is(classifier, halves, tmp_path):
    swapped = tmp_path / "swapped.png"
    pixels = np.asarray(Image.open(halves))
    Image.fromarray(np.roll(pixels, pixels.shape[1] // 2, axis=1)).save(swapped)

    def rather_red(path):
        red, blue = (next(explain(classifier, path, label=n)).evidence for n in ("red", "blue"))
        return red - blue

    # The two images differ only in the positions of the colors.
    change = rather_red(halves) - rather_red(swapped)
    middle = change.shape[1] // 2
    assert change[:, :middle].mean() > 0 > change[:, -middle:].mean()


def test_by_default_the_most_likely_class_is_explained(classifier, folder):
    answers = {each.path: each for each in nstk.predict(classifier, folder).predictions}
    for each in explain(classifier, folder):
        assert each.label == answers[each.path].label
        assert each.probability == pytest.approx(answers[each.path].probability, abs=1e-5)
        assert each.overlay.shape == nstk.load_image(each.path).pixels.shape


def test_bytes_and_arrays_are_explained_as_their_file_is(classifier, halves):
    levels = np.asarray(Image.open(halves).convert("RGB"))
    sources = [halves, halves.read_bytes(), levels, levels.astype(float), Image.fromarray(levels)]
    file, *others = explain(classifier, sources)
    assert isinstance(file, Explanation)
    for number, each in enumerate(others, start=2):
        assert isinstance(each, Explanation)
        assert str(each.path) == f"image {number}"
        assert each.probability == file.probability
        np.testing.assert_array_equal(each.evidence, file.evidence)
        np.testing.assert_allclose(each.overlay, file.overlay, atol=1e-6)
    [alone] = classifier.explain(levels / 255, value_range=(0, 1))
    np.testing.assert_array_equal(alone.evidence, file.evidence)
    batch = np.stack([levels, levels])
    assert [str(each.path) for each in explain(classifier, batch)] == ["image 1", "image 2"]
    with pytest.raises(ImageError, match=r"image 1: .*\(4, 5\) of uint8"):
        next(explain(classifier, np.zeros((4, 5), np.uint8)))


def test_an_explanation_is_an_array_a_dictionary_and_a_figure(classifier, halves):
    [each] = explain(classifier, halves)
    np.testing.assert_array_equal(np.asarray(each), each.overlay)
    assert each.to_dict() == {
        "path": str(halves),
        "label": each.label,
        "probability": each.probability,
        "method": "class activation map",
    }
    assert each.label in repr(each)
    assert "\n" not in repr(each)
    assert "data:image/png;base64," in each._repr_html_()
    again = nstk.predict(classifier, [each])
    assert str(again[0].path) == "image 1"


def test_gradients_of_a_linear_head_give_the_positive_part_of_the_exact_map(classifier, halves):
    square = classifier.pipeline.prepare(np.rint(nstk.load_image(halves).pixels * 255))
    model = classifier.model
    exact, by_gradients = (
        ExplanationNetwork(model, SOFTMAX, method) for method in get_args(Method)
    )
    for label in (None, 0, 1, 2):
        probabilities, index, evidence = exact.explain(square, label)
        other, same, positive = by_gradients.explain(square, label)
        assert other == pytest.approx(probabilities, abs=1e-6)
        assert index == same == (probabilities.argmax() if label is None else label)
        assert positive == pytest.approx(np.maximum(evidence, 0) / evidence.size, abs=1e-5)


def test_a_deeper_head_is_explained_by_gradients(classifier, deeper, halves):
    assert choose_method(classifier.model) == "class activation map"
    [each] = explain(deeper, halves)
    assert each.method == "Grad-CAM"
    assert each.evidence.min() >= 0
    assert each.evidence.shape == next(explain(classifier, halves)).evidence.shape
    assert each.probability == pytest.approx(deeper.model(pixels_of(halves)).numpy().max())


@pytest.mark.parametrize(("features", "views"), [("pooled+statistics", 1), ("pooled", 2)])
def test_a_head_that_sees_more_than_one_mean_is_explained_by_gradients(
    tiny_backbone, halves, features, views
):
    crops = CROPS[:views]
    classifier = build_classifier(tiny_backbone, 32, 2.0, features=features, crops=crops)
    [each] = explain(classifier, halves)
    assert each.method == "Grad-CAM"
    assert each.evidence.shape == (8, 8)
    assert each.evidence.min() >= 0


def test_calls_of_explain_leave_nothing_behind(tiny_backbone, halves):
    crops = CROPS[:2]
    classifier = build_classifier(tiny_backbone, 32, 2.0, features="pooled+statistics", crops=crops)

    def count_objects():
        for _ in range(3):
            list(explain(classifier, halves))
        gc.collect()
        return len(gc.get_objects())

    count_objects()
    assert count_objects() <= count_objects() + 20


def pixels_of(path):
    return np.rint(nstk.load_image(path).pixels * 255)[np.newaxis]


def test_neutral_evidence_leaves_the_square_unchanged_and_darkens_the_rest(scene):
    painted = draw_overlay(scene, np.zeros((3, 3), np.float32))
    assert painted.dtype == np.float32
    np.testing.assert_allclose(painted[:, 8:56], scene[:, 8:56], atol=1e-6)
    assert (painted[:, :8] < scene[:, :8]).all()
    assert (painted[:, 56:] < scene[:, 56:]).all()


def test_for_is_warm_and_against_is_cold(scene):
    evidence = np.float32([[1, -1], [1, -1]])
    painted = draw_overlay(0 * scene + 0.5, evidence)[:, 8:56]
    left, right = painted[:, :16].mean(axis=(0, 1)), painted[:, -16:].mean(axis=(0, 1))
    assert left[0] > left[2]
    assert right[2] > right[0]
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_only_the_strongest_evidence_sets_the_scale(scene):
    evidence = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    np.testing.assert_allclose(
        draw_overlay(scene, evidence), draw_overlay(scene, 50 * evidence), atol=1e-5
    )


def test_an_unknown_class_and_a_missing_file_are_refused_at_once(classifier, halves):
    with pytest.raises(SettingsError, match="blue, green, red"):
        explain(classifier, halves, label="wasps")
    with pytest.raises(ImageError):
        explain(classifier, halves.with_name("missing.png"))


def test_the_command_writes_an_overlay_for_each_image(color_model, folder, tmp_path):
    model = color_model
    (tmp_path / "notes.jpg").write_text("not an image")
    paths = [folder / "red" / "0.png", folder / "blue" / "0.png", tmp_path / "notes.jpg"]
    paths += [Path(shutil.copy(paths[0], tmp_path / f"{'n' * 250}{end}.png")) for end in "ab"]
    out = tmp_path / "why"
    (out / "1.explained.png").mkdir(parents=True)  # an overlay that cannot be written
    paths.insert(1, folder / "red" / "1.jpg")
    result = invoke("explain", model, *paths, "-o", out, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert [row["label"] for row in answer["explanations"]] == ["red", "blue", "red", "red"]
    written = [row["overlay"] for row in answer["explanations"]]
    assert written[:2] == [str(out / "0.explained.png"), str(out / "0-2.explained.png")]
    assert sorted(map(str, out.glob("[!1]*"))) == sorted(written)
    assert [file["path"] for file in answer["skipped"]] == [str(paths[1]), str(paths[3])]
    shown = invoke("explain", model, *paths, "-o", out, "--class", "green")
    assert shown.stdout.count("green") == 4


def test_bad_input_leaves_no_folder(color_model, folder, tmp_path):
    model = color_model
    (tmp_path / "notes.jpg").write_text("not an image")
    image = folder / "red" / "0.png"
    before = sorted(tmp_path.iterdir())
    for arguments, said in [
        ((model, tmp_path / "notes.jpg", "-o", tmp_path / "why"), "notes.jpg"),
        ((model, tmp_path / "missing.png", "-o", tmp_path / "why"), "missing.png"),
        ((model, image, "-o", tmp_path / "missing" / "why"), "missing"),
        ((model, image, "-o", tmp_path / "notes.jpg"), "notes.jpg"),
        ((model, image, "-o", tmp_path / "why", "--class", "wasps"), "wasps"),
        ((image, image, "-o", tmp_path / "why"), ".keras"),
    ]:
        result = invoke("explain", *arguments)
        assert result.exit_code == 2
        assert said in complaint(result)
    assert sorted(tmp_path.iterdir()) == before


def test_one_image_at_a_time_is_held(classifier, folder):
    explanations = explain(classifier, folder)
    assert isinstance(next(explanations), Explanation)
    explanations.close()
