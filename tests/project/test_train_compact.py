"""The recipe of the packaged network: folding, resuming, bad data, and the packaged file."""

import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import tensorflow as tf

from examples.train_compact import evaluation, network, recipe, schedule, sheets, training
from examples.train_compact.__main__ import main
from nstk.backbones.packaged import build_compact
from nstk.errors import FolderError, SettingsError, WeightsError

PACKAGED = ROOT / "nstk" / "backbones" / "data" / "compact.npz"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A shared folder with two classes of noise, as contact sheets: not to be changed."""
    shared = tmp_path_factory.mktemp("drawn") / "shared"
    place = shared / "data" / "tiny-imagenet"
    generator = np.random.default_rng(5)
    for split, (rows, columns) in sheets.GRIDS.items():
        (place / split).mkdir(parents=True)
        for index, name in enumerate(("n01", "n02")):
            noise = generator.integers(0, 128, (rows * 64, columns * 64, 3)) + 100 * index
            Image.fromarray(noise.astype(np.uint8)).save(place / split / f"{name}.jpg")
    (place / "classes.tsv").write_text("n01\tnoise\nn02\tbright noise\n")
    return shared


@pytest.fixture
def folder(drawn, tmp_path):
    """A copy of this folder."""
    return Path(shutil.copytree(drawn, tmp_path / "shared"))


@pytest.fixture
def tiny_network(monkeypatch):
    """One convolution of a few channels in each block."""
    widths, depths = (4, 4, 6, 6, 8), (1, 1, 1, 1, 1)
    monkeypatch.setattr(network, "WIDTHS", widths)
    monkeypatch.setattr(network, "DEPTHS", depths)
    monkeypatch.setattr(training, "WIDTHS", widths)
    build = partial(build_compact, widths=widths, depths=depths)
    monkeypatch.setattr(evaluation, "build_compact", build)


def small(folder, work, **changes):
    """A supervised run of a few steps on a few images."""
    settings = {
        "shared": folder,
        "work": work,
        "out": work / "compact.npz",
        "objective": "supervised",
        "steps": 4,
        "per_class": 12,
        "batch_share": 1 / 16,
        "checkpoint_every": 2,
    }
    return recipe.Recipe(**(settings | changes))


def multiply_adds(layers):
    """Multiply-adds per pixel of the image, for (block, inputs, outputs) of 3×3 convolutions."""
    return sum(9 * inputs * outputs / 4 ** (block - 1) for block, inputs, outputs in layers)


def test_the_network_folds_into_the_packaged_architecture():
    generator = np.random.default_rng(2)
    weights = network.initial_weights(seed=2)
    for name in weights:
        if not name.endswith("/kernel"):
            weights[name] = weights[name] + generator.normal(0, 0.2, weights[name].shape)
            weights[name] = weights[name].astype(np.float32)
    images = tf.constant(generator.uniform(0, 1, (4, 32, 48, 3)), tf.float32)
    moments = network.measure_moments(weights, [images, 1 - images])
    unfolded = network.forward(weights, images, moments).embedding
    folded = evaluation.build_embedding(network.fold(weights, moments))(images)
    np.testing.assert_allclose(folded, unfolded, rtol=1e-3, atol=1e-4)


def test_the_layers_are_those_of_the_packaged_architecture():
    kernels = {
        layer.name: tuple(layer.kernel.shape) for layer in build_compact().layers if layer.weights
    }
    trained = {name: (3, 3, inputs, outputs) for name, inputs, outputs, _ in network.list_layers()}
    assert trained == kernels


def test_the_style_path_costs_a_twelfth_of_vgg19():
    vgg19, inputs = [], 3
    for block, (width, depth) in enumerate(
        [(64, 2), (128, 2), (256, 4), (512, 4), (512, 1)], start=1
    ):
        for _ in range(depth):
            vgg19.append((block, inputs, width))
            inputs = width
    compact = [
        (int(layer.name[5]), layer.inputs, layer.outputs)
        for layer in network.list_layers()
        if layer.name != "block5_conv2"
    ]
    assert multiply_adds(vgg19) == pytest.approx(361e3, rel=0.01)
    assert multiply_adds(compact) <= multiply_adds(vgg19) / 12


def test_the_packaged_file_is_small_complete_and_finite():
    assert PACKAGED.stat().st_size <= 6e6
    weights = evaluation.read_weights(PACKAGED)
    wanted = {f"{name}/{kind}" for name, *_ in network.list_layers() for kind in ("kernel", "bias")}
    assert set(weights) == wanted
    assert all(np.isfinite(value).all() for value in weights.values())
    evaluation.build_embedding(weights)


def test_sheets_are_split_row_by_row(folder):
    place = folder / "data" / "tiny-imagenet"
    sheet = np.zeros((16 * 64, 25 * 64, 3), np.uint8)
    sheet[64:128, 128:192] = 200
    Image.fromarray(sheet).save(place / "train" / "n01.jpg", quality=100)
    images = sheets.read_split(place, "train", ["n01", "n02"])
    assert images.pixels.shape == (800, 64, 64, 3)
    assert images.pixels[27].mean() == pytest.approx(200, abs=1)
    assert images.pixels[:27].mean() == pytest.approx(0, abs=1)
    assert images.labels.tolist() == [0] * 400 + [1] * 400


def test_a_missing_sheet_is_named(folder):
    path = folder / "data" / "tiny-imagenet" / "val" / "n02.jpg"
    path.unlink()
    with pytest.raises(FolderError, match=r"n02\.jpg"):
        recipe.prepare(small(folder, folder))


def test_a_sheet_of_the_wrong_size_says_which_is_needed(folder):
    path = folder / "data" / "tiny-imagenet" / "train" / "n01.jpg"
    Image.new("RGB", (640, 320)).save(path)
    with pytest.raises(FolderError, match=r"640×320 px.*1600×1024 px"):
        recipe.prepare(small(folder, folder))


def test_a_damaged_sheet_is_named(folder):
    path = folder / "data" / "tiny-imagenet" / "train" / "n01.jpg"
    path.write_bytes(b"no image")
    with pytest.raises(FolderError, match=r"n01\.jpg"):
        recipe.prepare(small(folder, folder))


def test_missing_classes_are_named(tmp_path):
    with pytest.raises(FolderError, match=r"classes\.tsv"):
        recipe.prepare(small(tmp_path, tmp_path))


def test_a_missing_teacher_is_named(folder):
    with pytest.raises(WeightsError, match=r"vgg19_16x\.npz"):
        recipe.prepare(small(folder, folder, objective="both"))


def test_settings_out_of_range_are_refused(folder):
    with pytest.raises(SettingsError, match=r"steps.*0"):
        small(folder, folder, steps=0)
    with pytest.raises(SettingsError, match=r"objective.*guess"):
        small(folder, folder, objective="guess")


def test_the_learning_rate_warms_up_and_falls_while_images_grow():
    plans = [schedule.plan_step(step, 1000) for step in range(1000)]
    rates = [plan.rate / plan.batch for plan in plans]
    assert rates[0] < rates[50] < rates[98] > rates[500] > rates[-1] > 0
    assert {plan.pixels for plan in plans[:500]} == {48}
    assert {plan.pixels for plan in plans[900:]} == {64, 96, 128}


def test_the_finish_has_its_own_schedule_and_uses_mosaics():
    plans = [schedule.plan_step(step, 1000, finish=200) for step in range(1200)]
    training_rates, finish_rates = ([p.rate for p in part] for part in (plans[:1000], plans[1000:]))
    assert finish_rates[0] < max(finish_rates) < max(training_rates)
    assert finish_rates[-1] < 0.01 * max(finish_rates)
    assert {plan.mosaic for plan in plans[:1000]} == {1}
    assert all(plan.batch % plan.mosaic**2 == 0 and plan.mosaic > 1 for plan in plans[1000:])


def test_a_mosaic_lays_its_crops_row_by_row():
    crops = tf.reshape(tf.range(8, dtype=tf.float32), (8, 1, 1, 1)) * tf.ones((8, 2, 2, 3))
    mosaics = training.make_mosaics(crops, 2).numpy()
    assert mosaics.shape == (2, 4, 4, 3)
    assert mosaics[0, ::2, ::2, 0].tolist() == [[0, 1], [2, 3]]
    assert mosaics[1, 1::2, 1::2, 0].tolist() == [[4, 5], [6, 7]]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_network")
def test_an_interrupted_run_ends_in_the_same_state(folder, tmp_path):
    straight = small(folder, tmp_path / "straight")
    recipe.train(straight)
    recipe.train(small(folder, tmp_path / "stopped", until=2))
    report = recipe.train(small(folder, tmp_path / "stopped"))
    assert report.step == 4
    with (
        np.load(straight.checkpoint) as one,
        np.load(tmp_path / "stopped" / "supervised.npz") as other,
    ):
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_network")
def test_a_checkpoint_of_another_run_is_refused(folder, tmp_path):
    chosen = small(folder, tmp_path, until=2)
    recipe.train(chosen)
    with pytest.raises(WeightsError, match=r"supervised\.npz"):
        recipe.prepare(small(folder, tmp_path, seed=1))
    chosen.checkpoint.write_bytes(b"cut off")
    with pytest.raises(WeightsError, match=r"supervised\.npz"):
        recipe.prepare(chosen)


def test_the_divergence_of_equal_logits_is_zero():
    logits = tf.constant([[0.1, 2.0, -1.0]])
    assert float(training.divergence(logits, logits + 3.0)) == pytest.approx(0, abs=1e-6)
    assert float(training.divergence(logits, -logits)) > 0


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_network")
def test_the_smoke_run_goes_from_sheets_to_a_packaged_file(shared, tmp_path, capsys):
    words = ["--smoke", "--shared", str(shared), "--work", str(tmp_path)]
    assert main(words) == 0
    out = tmp_path / "smoke" / "compact.npz"
    assert capsys.readouterr().out.startswith(f"{out}: step 6")
    assert out.stat().st_size <= 6e6
    assert main([*words, "--export"]) == 0


def test_the_command_reports_bad_data_in_one_line(tmp_path, capsys):
    assert main(["--shared", str(tmp_path), "--work", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
