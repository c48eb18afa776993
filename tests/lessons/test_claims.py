"""What each lesson claims is so, at a small size, with the packaged networks."""

import io
import runpy
import shutil
from contextlib import chdir, redirect_stdout

import numpy as np
import pytest

import nstk
from nstk.inspecting.reconstruction import inspect_content
from nstk.lessons.kit import write_kit
from nstk.lessons.samples import draw_samples
from nstk.sweeping.grid import SweepAxis
from nstk.sweeping.job import sweep

pytestmark = pytest.mark.slow

QUICK = {"size": 96, "executor": "tensorflow"}


@pytest.fixture(scope="module")
def network():
    return nstk.load_backbone("efficientnet-lite0")


@pytest.fixture(scope="module")
def compact():
    return nstk.load_backbone("compact")


@pytest.fixture(scope="module")
def train(network, tmp_path_factory):
    """A function that trains on a folder."""
    cache = tmp_path_factory.mktemp("cache")

    def run(folder, **options):
        return nstk.finetune(folder, backbone=network, cache=cache, **QUICK, **options)

    return run


def test_accuracy_grows_and_its_interval_shrinks_with_the_number_of_images(train, tmp_path):
    draw_samples("few-images", tmp_path, share=0.3)
    found = []
    for size in ("04", "36"):
        shutil.copytree(tmp_path / f"train-{size}", tmp_path / size / "train")
        shutil.copytree(tmp_path / "test", tmp_path / size / "test")
        found.append(train(tmp_path / size, folds=4).evaluations)
    ends = [each["folds"].accuracy_interval for each in found]
    widths = [high - low for low, high in ends]
    assert widths[1] < 0.6 * widths[0]
    assert found[1]["test"].accuracy > found[0]["test"].accuracy + 0.05


def test_the_shortcut_is_one_and_the_counter_set_breaks_it(train, tmp_path):
    draw_samples("shortcut", tmp_path, share=0.4)
    shutil.copytree(tmp_path / "swapped", tmp_path / "repaired" / "val")
    (tmp_path / "mixed").rename(tmp_path / "repaired" / "train")
    (tmp_path / "swapped").rename(tmp_path / "data" / "val")
    made, repaired = train(tmp_path / "data"), train(tmp_path / "repaired")
    assert made.evaluations["test"].accuracy > 0.9
    swapped = made.evaluations["validation"].accuracy
    assert swapped < 0.6
    assert repaired.evaluations["validation"].accuracy > swapped + 0.1
    images = sorted((tmp_path / "data" / "test").rglob("*.jpg"))[::3]
    explained = nstk.explain(made.classifier, images, executor="tensorflow")
    shares = [border_share(explanation.evidence) for explanation in explained]
    assert np.mean(shares) > 0.4, "the ground supports the class, not the beetle alone"


def border_share(evidence):
    """Share of the support that lies on the outer cells, where no beetle is."""
    support = np.maximum(evidence, 0)
    inside = np.zeros(support.shape, bool)
    inside[1:-1, 1:-1] = True
    return support[~inside].sum() / max(support.sum(), 1e-9)


def test_the_leak_is_found_and_without_it_the_accuracy_falls(train, tiny_backbone, tmp_path):
    draw_samples("leak", tmp_path, share=0.4)
    leaky, honest = (train(tmp_path / place).evaluations["test"] for place in ("data", "honest"))
    assert leaky.accuracy > 0.8
    assert honest.accuracy_interval[0] < 0.5 < honest.accuracy_interval[1] + 0.1
    found = nstk.audit(tmp_path / "data", backbone=tiny_backbone)
    assert len(found.cross_split_duplicates) >= 20, "nearly all of 24 beetles"
    assert not nstk.audit(tmp_path / "honest", backbone=tiny_backbone).cross_split_duplicates


def test_a_classifier_is_confident_about_what_it_does_not_know_unless_it_may_abstain(
    train, tmp_path
):
    draw_samples("none-of-these", tmp_path, share=0.4)
    classifier = train(tmp_path / "data").classifier
    unknown, new = (classifier.predict(tmp_path / place) for place in ("unknown", "new"))
    assert max(each.probability for each in unknown.predictions) > 0.8
    assert np.mean([each.probability > 0.6 for each in new.predictions]) > 0.7

    def unsure(place):
        found = classifier.predict(tmp_path / place, abstain_below=0.8).predictions
        return np.mean([each.label == "unsure" for each in found])

    assert unsure("unknown") > unsure("new") + 0.25
    assert unsure("new") < 0.4


def test_shuffling_positions_leaves_the_gram_matrix_as_it_is(compact, tmp_path):
    write_kit("gram", tmp_path / "gram", share=0.2)
    printed = io.StringIO()
    with chdir(tmp_path / "gram"), redirect_stdout(printed):
        names = runpy.run_path("shuffle.py")
    assert names["distance"] < 1e-5
    assert np.linalg.norm(names["a"] - names["shuffled"]) > 0.5 * np.linalg.norm(names["a"])
    images = [tmp_path / "gram" / f"{name}.png" for name in ("painting", "shuffled", "town")]
    layers = ("block1_conv1", "block3_conv1")
    found = nstk.inspect_gram(images, backbone=compact, layers=layers)
    for layer in found.layers:
        _, shuffled, town = layer.errors
        assert shuffled < 0.5 * town
    assert found.layers[0].errors[1] < found.layers[1].errors[1]


def test_deeper_layers_keep_fewer_pixels(compact, tmp_path):
    draw_samples("layers", tmp_path, share=0.05)
    layers = ("block1_conv1", "block4_conv1")
    options = {"size": 64, "steps": 20, "layers": layers}
    found = inspect_content(tmp_path / "town.png", backbone=compact, **options)
    errors = [each.error for each in found.reconstructions]
    assert errors[1] > 1.3 * errors[0]


def test_content_loss_falls_and_style_loss_rises_with_alpha(compact, tmp_path):
    draw_samples("alpha-beta", tmp_path, share=0.05)
    swept = sweep(
        tmp_path / "town.png",
        tmp_path / "painting.png",
        [SweepAxis("content_weight", (1e-4, 1e-2, 1e-1))],  # 1e-3 differs little in so few steps
        tmp_path / "runs",
        backbone=compact,
        size=64,
        steps=20,
        style_layers={"block1_conv1": 1.0, "block3_conv1": 1.0},
        scales=1,
        style_loss="gram",
    )
    content, style = ([run.terms[part] for run in swept.runs] for part in ("content", "style"))
    assert content == sorted(content, reverse=True)
    assert style[-1] > style[0]
