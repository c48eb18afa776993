"""What frozen pretrained weights are worth, measured against random weights."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PILImage
from shell import complaint, invoke

from nstk.backbones.loading import load_backbone
from nstk.errors import SettingsError
from nstk.features.activation_store import ActivationStore
from nstk.features.extractor import FeatureExtractor, extract_features
from nstk.features.networks import POOLED
from nstk.images.encoding import save_image
from nstk.images.loading import load_image
from nstk.inspecting.frozen import study_frozen
from nstk.inspecting.scratch import Dataset, randomize_backbone, read_crops, train_from_scratch
from nstk.reports.figures import Chain, draw_chart
from nstk.reports.transfer import draw_frozen_sheet, list_boxes, save_frozen
from nstk.settings import FrozenSettings

QUICK = FrozenSettings(size=32, scratch_passes=2, scratch_seconds=600.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 16 images each: horizontal and vertical stripes."""
    root = tmp_path_factory.mktemp("stripes")
    generator = np.random.default_rng(0)
    for label in ("across", "along"):
        (root / label).mkdir()
        for number in range(16):
            stripes = np.sin(np.arange(40) * generator.uniform(0.6, 1.6) + generator.uniform(0, 6))
            plane = np.tile(0.5 + 0.4 * stripes, (40, 1))
            plane = plane if label == "along" else plane.T
            noisy = plane[..., np.newaxis] + generator.normal(0, 0.1, (40, 40, 3))
            image = np.clip(noisy, 0, 1).astype(np.float32)
            save_image(root / label / f"{number}.png", image)
    return root


@pytest.fixture(scope="module")
def study(folder, tiny_backbone):
    before = [np.array(weight) for weight in tiny_backbone.model.get_weights()]
    made = study_frozen(folder, backbone=tiny_backbone, settings=QUICK)
    for old, new in zip(before, tiny_backbone.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # the backbone is frozen
    return made


def test_random_weights_have_the_same_shapes_and_depend_on_the_seed(tiny_backbone):
    before = tiny_backbone.digest
    one, again, other = (randomize_backbone(tiny_backbone, seed) for seed in (1, 1, 2))
    assert one.digest == again.digest
    assert len({before, one.digest, other.digest}) == 3
    shapes = [weight.shape for weight in tiny_backbone.model.get_weights()]
    assert [weight.shape for weight in one.model.get_weights()] == shapes
    assert not one.model.trainable_variables


@pytest.mark.slow
def test_labels_come_from_names_and_small_classes_are_left_out(folder, tiny_backbone, tmp_path):
    for path in sorted(folder.rglob("*.png")):
        shutil.copy(path, tmp_path / f"{path.parent.name}_{path.name}")
    shutil.copy(path, tmp_path / "single_1.png")
    chosen = replace(QUICK, scratch_passes=1, label_pattern=r"(.+)_\d+", min_images=2)
    made = study_frozen(tmp_path, backbone=tiny_backbone, settings=chosen)
    assert made.classes == ("across", "along")
    assert any("single" in notice for notice in made.notices)


def test_random_kernels_have_the_variance_of_he_initialization(tiny_backbone):
    kernels = [w for w in randomize_backbone(tiny_backbone, 3).model.get_weights() if w.ndim == 4]
    for kernel in kernels:
        inputs = np.prod(kernel.shape[:3])
        assert np.std(kernel) == pytest.approx(np.sqrt(2 / inputs), rel=0.25)


def test_a_tap_among_the_blocks_gives_the_mean_of_its_map(tiny_backbone, folder):
    paths = sorted(folder.rglob("*.png"))[:3]
    observer = FeatureExtractor(tiny_backbone, 32, (POOLED, "block2_conv1"))
    features = extract_features(observer, paths)
    crops = read_crops(paths, 32).take_rows(np.arange(3)).astype(np.float32) / 255
    maps = tiny_backbone.tap(["block2_conv1"])(crops)["block2_conv1"].numpy()
    np.testing.assert_allclose(features.vectors("block2_conv1"), maps.mean(axis=(1, 2)), atol=0.02)
    assert features.vectors(POOLED).shape == (3, 8)


def test_the_study_counts_what_is_frozen_and_what_is_learned(study, tiny_backbone):
    assert study.frozen_parameters == tiny_backbone.model.count_params()
    assert sum(block.parameters for block in study.blocks) == study.frozen_parameters
    assert study.learned_parameters == (8 + 1) * 2
    assert [block.layer for block in study.blocks] == [f"block{k}_conv1" for k in (1, 2, 3)]
    assert [block.channels for block in study.blocks] == [4, 6, 8]


def test_every_accuracy_is_on_the_same_held_out_images(study):
    scores = [study.transfer, study.random, study.trained]
    scores += [block.pretrained for block in study.blocks]
    scores += [each.random for each in study.curve]
    scores += [epoch.evaluation for epoch in study.scratch]
    assert {score.images for score in scores} == {study.held_out_images}
    assert study.blocks[-1].pretrained.accuracy == study.transfer.accuracy
    images = [each.images for each in study.curve]
    assert images == sorted(images)
    assert images[-1] == study.train_images


def test_training_from_random_weights_is_limited_in_epochs_and_seconds(study, tiny_backbone):
    assert [epoch.passes for epoch in study.scratch] == [0, 1, 2]
    seconds = [epoch.seconds for epoch in study.scratch]
    assert seconds == sorted(seconds)
    assert study.seconds["scratch"] == seconds[-1] > 0
    events = []
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    crops = ActivationStore(40, (32, 32, 3), np.uint8)
    crops.write(noise)
    dataset = Dataset(crops, np.eye(2, dtype=bool)[np.arange(40) % 2])

    def train(limit):
        return train_from_scratch(
            tiny_backbone,
            dataset,
            dataset,
            ("a", "b"),
            FrozenSettings(scratch_passes=100_000, scratch_seconds=limit),
            on_progress=events.append,
        )

    train(0.1)
    assert events[-1].step == events[-1].total < 100_000, "the total is reached when time is up"
    assert all(each.step <= each.total for each in events)
    assert [epoch.passes for epoch in train(0.0)] == [0]


def test_crops_beyond_the_memory_limit_are_in_a_file(tiny_backbone, folder):
    paths = sorted(folder.rglob("*.png"))[:6]
    targets = np.eye(2, dtype=bool)[np.arange(6) % 2]
    kept = read_crops(paths, 32), read_crops(paths, 32, memory=0)
    assert [crops.is_file for crops in kept] == [False, True]
    (one, same), (other, again) = (
        (
            crops.take_rows(np.arange(6)),
            train_from_scratch(
                tiny_backbone,
                Dataset(crops, targets),
                Dataset(crops, targets),
                ("a", "b"),
                FrozenSettings(scratch_passes=1, scratch_seconds=100.0),
            )[-1].evaluation,
        )
        for crops in kept
    )
    np.testing.assert_array_equal(one, other)
    assert same == again


def test_sheet_and_page_contain_diagram_and_charts(study, tmp_path):
    sheet = load_image(save_frozen(study, tmp_path / "why.png")).pixels
    diagram = draw_chart(Chain(list_boxes(study)))
    np.testing.assert_allclose(sheet, draw_frozen_sheet(study), atol=1 / 255)
    assert sheet.shape[1] > diagram.shape[1]
    page = save_frozen(study, tmp_path / "why.html").read_text("utf-8")
    assert "block2_conv1" in page
    assert "data:image" not in page, "the diagram is text and adapts to dark and narrow windows"


def test_the_command_prints_the_study(folder, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.inspecting.frozen.load_backbone", lambda name, **_: tiny_backbone)
    arguments = ("inspect", "frozen", folder, "-o", tmp_path / "why.png", "--size", 32)
    result = invoke(*arguments, "--scratch-passes", 1, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["frozen_parameters"] > answer["learned_parameters"] > 0
    assert {"pretrained", "random", "layer"} <= set(answer["blocks"][0])
    assert answer["scratch"][-1]["passes"] == 1
    assert (tmp_path / "why.png").is_file()


def test_the_command_logs_the_notices(study, folder, tmp_path, monkeypatch):
    noticed = replace(study, notices=("Two images are one.",))
    monkeypatch.setattr("nstk.inspecting.frozen.study_frozen", lambda *_, **__: noticed)
    result = invoke("inspect", "frozen", folder, "-o", tmp_path / "why.png")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == "nstk: Two images are one.\n"
    assert "block2_conv1" in result.stdout


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("nowhere", "-o", "why.png"), "nowhere"),
        (("{folder}", "-o", "why.xyz"), "why.xyz"),
        (("{folder}", "-o", "no/folder/why.html"), "no/folder"),
        (("{folder}", "-o", "why.png", "--size", "8"), "--size"),
    ],
)
def test_bad_input_is_one_line(given, words, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("inspect", "frozen", *(part.format(folder=folder) for part in given))
    assert result.exit_code == 2
    assert words in complaint(result)
    assert not list(tmp_path.iterdir())


def test_settings_have_ranges():
    for wrong in ({"scratch_passes": 0}, {"scratch_seconds": -1.0}, {"size": 8}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            FrozenSettings(**wrong)


def crop_photographs(source, target, size):
    """Write the crops of photographs, so that each photograph is decoded only once."""
    paths = sorted(source.rglob("*.jpg"))
    for path, levels in zip(
        paths, read_crops(paths, size).take_rows(np.arange(len(paths))), strict=True
    ):
        file = (target / path.relative_to(source)).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(levels).save(file)
    return target


@pytest.mark.slow
def test_random_weights_are_worse_than_transfer_beyond_chance(shared, tmp_path):
    settings = FrozenSettings(size=64, scratch_passes=1, scratch_seconds=1.0)
    hymenoptera = crop_photographs(shared / "data" / "hymenoptera", tmp_path / "crops", 64)
    study = study_frozen(hymenoptera, backbone=load_backbone("compact"), settings=settings)
    low, _ = study.transfer.accuracy_interval
    assert study.random.accuracy_interval[1] < low
    assert study.trained.accuracy_interval[1] < low
    assert study.images_needed is not None
    assert study.images_needed < study.train_images
    blocks = [block.pretrained.accuracy for block in study.blocks]
    assert blocks[-1] > blocks[0]
