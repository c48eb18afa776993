"""Every image passes through the network once, as in the saved classifier."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from labeled_images import draw_folder, draw_image
from PIL import Image

from nstk.backbones.backbone import Backbone
from nstk.errors import SettingsError
from nstk.features.crops import CROPS
from nstk.features.extractor import FeatureExtractor, extract_features
from nstk.features.networks import (
    BLOCKS,
    SQUARE,
    build_extractor,
    build_feature_network,
    choose_statistics_taps,
)
from nstk.features.prefetching import prefetch
from nstk.images.loading import load_levels
from nstk.storage.files import digest_file


@pytest.fixture(scope="module")
def feature_extractor(tiny_backbone):
    return FeatureExtractor(tiny_backbone, 32)


@pytest.fixture(scope="module")
def extractor(tiny_backbone):
    return build_extractor(tiny_backbone, 32)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = draw_folder(tmp_path_factory.mktemp("images"), 9)
    return sorted(path for path in root.rglob("*") if path.is_file())


def square_of(extractor, pixels):
    network = keras.Model(extractor.inputs[0], extractor.get_layer(SQUARE).output)
    return network(pixels[np.newaxis]).numpy()[0]


@pytest.mark.parametrize(("choice", "views"), [("pooled+statistics", 1), ("pooled", 3)])
def test_features_are_the_outputs_of_the_saved_network(tiny_backbone, images, choice, views):
    images = images[::4]
    extractor = FeatureExtractor(tiny_backbone, 32, BLOCKS[choice], CROPS[:views])
    found = extract_features(extractor, images)
    assert found.forward_passes == views * len(images)
    assert found.indices.tolist() == list(range(len(images)))
    network = build_extractor(tiny_backbone, 32, choice, CROPS[:views])
    for path, vector in zip(images, found.vectors(choice), strict=True):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert network(pixels[np.newaxis]).numpy()[0] == pytest.approx(vector, abs=2e-5)


def test_statistics_are_means_and_standard_deviations_of_the_first_activations(tiny_backbone):
    taps = choose_statistics_taps(tiny_backbone)
    assert taps == ("block1_conv1", "block2_conv1", "block3_conv1")
    squares = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    described = FeatureExtractor(tiny_backbone, 32, BLOCKS["pooled+statistics"]).extract(squares)
    maps = tiny_backbone.tap(taps)(squares)
    expected = [
        moment.numpy()
        for tap in taps
        for moment in (tf.reduce_mean(maps[tap], (1, 2)), tf.math.reduce_std(maps[tap], (1, 2)))
    ]
    # A silent channel has the deviation 0.001, for the sake of gradients.
    assert described["statistics"] == pytest.approx(np.concatenate(expected, 1), abs=1.1e-3)
    assert described["pooled"] == pytest.approx(tiny_backbone.embed(squares).numpy(), abs=1e-5)


def test_features_do_not_depend_on_the_batch(feature_extractor, images):
    together = extract_features(feature_extractor, images[:3]).vectors("pooled")
    alone = [
        extract_features(feature_extractor, [path]).vectors("pooled")[0] for path in images[:3]
    ]
    assert np.stack(alone) == pytest.approx(together, abs=1e-5)


def test_the_same_images_give_the_same_bytes(feature_extractor, images):
    first, second = (
        extract_features(feature_extractor, images).vectors("pooled") for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()


def test_unreadable_files_are_skipped(feature_extractor, images, tmp_path):
    damaged, gone = tmp_path / "damaged.jpg", tmp_path / "gone.jpg"
    damaged.write_bytes(b"\xff\xd8\xff and no more")
    paths = [damaged, *images[:3], gone, tmp_path, *images[3:]]
    found = extract_features(feature_extractor, paths)
    assert [file.path for file in found.skipped] == [damaged, gone, tmp_path]
    assert not any(str(file.path) in file.reason for file in found.skipped)
    assert found.forward_passes == len(images)
    assert [paths[index] for index in found.indices] == images
    assert found.digests == tuple(digest_file(path) for path in images)
    without = extract_features(feature_extractor, images).vectors("pooled")
    assert found.vectors("pooled") == pytest.approx(without, abs=1e-6)


def test_a_file_that_changes_while_it_is_read_is_skipped(
    feature_extractor, images, tmp_path, monkeypatch
):
    path = tmp_path / "changing.png"
    path.write_bytes(images[0].read_bytes())

    def load(path, **options):
        loaded = load_levels(path, **options)
        path.write_bytes(images[1].read_bytes() + b" and more")
        return loaded

    monkeypatch.setattr("nstk.images.loading.load_levels", load)
    found = extract_features(feature_extractor, [path])
    assert [file.reason for file in found.skipped] == ["changed while it was read"]


def test_without_readable_files_there_are_no_features(feature_extractor, tmp_path):
    found = extract_features(feature_extractor, [tmp_path / "gone.jpg"])
    assert found.vectors("pooled").shape == (0, feature_extractor.backbone.embed.output.shape[-1])
    assert found.forward_passes == 0


def test_progress_counts_files_up_to_the_end(feature_extractor, images):
    seen = []
    extract_features(feature_extractor, images, on_progress=seen.append)
    assert {(event.stage, event.total) for event in seen} == {("features", len(images))}
    assert [event.step for event in seen][:: len(seen) - 1] == [0, len(images)]


def test_prefetching_is_limited():
    read = []
    outcomes = prefetch(range(50), lambda number: read.append(number) or number, ahead=6)
    assert [next(outcomes), next(outcomes)] == [0, 1]
    outcomes.close()
    assert len(read) <= 2 + 6


def test_whole_numbers_and_floats_are_the_same_image(extractor):
    pixels = draw_image((120, 80, 60), 50, 70, seed=1)[np.newaxis]
    assert extractor(pixels).numpy() == pytest.approx(extractor(pixels.astype("float64")).numpy())


def test_the_crop_is_the_largest_centered_square(extractor):
    pixels = draw_image((120, 80, 60), 40, 64, seed=2)
    painted = pixels.copy()
    painted[:, :12] = painted[:, -12:] = 255
    assert np.array_equal(square_of(extractor, pixels), square_of(extractor, painted))
    painted[:, 12] = 255
    assert not np.array_equal(square_of(extractor, pixels), square_of(extractor, painted))


def test_the_aspect_ratio_is_preserved(extractor):
    rows, columns = np.mgrid[0:60, 0:100]
    disc = ((rows - 29.5) ** 2 + (columns - 49.5) ** 2 < 20**2)[..., np.newaxis]
    square = square_of(extractor, np.where(disc, 255, 0).repeat(3, axis=-1).astype(np.uint8))
    assert square == pytest.approx(square.swapaxes(0, 1), abs=0.02)


def test_detail_too_fine_for_the_crop_becomes_gray(extractor):
    pixels = np.indices((500, 500)).sum(axis=0) % 2 * 255
    square = square_of(extractor, pixels[..., np.newaxis].repeat(3, axis=-1).astype(np.uint8))
    assert square == pytest.approx(0.5, abs=0.06)


def test_a_square_of_the_crops_size_is_almost_unchanged(extractor):
    rows, columns = np.mgrid[0:32, 0:32]
    smooth = (127 + 60 * np.sin(rows / 5) + 60 * np.cos(columns / 5)).astype(np.uint8)
    pixels = smooth[..., np.newaxis].repeat(3, axis=-1)
    assert square_of(extractor, pixels) == pytest.approx(pixels / 255, abs=0.02)


def test_exporters_support_every_operation_before_the_backbone(extractor):
    network = keras.Model(extractor.inputs[0], extractor.get_layer(SQUARE).output)
    compiled = tf.function(network).get_concrete_function(tf.TensorSpec((1, None, None, 3)))
    kinds = {operation.type for operation in compiled.graph.get_operations()}
    assert "ResizeBilinear" in kinds
    assert "ScaleAndTranslate" not in kinds  # what antialias=True is; TFLite and ONNX lack it


def test_a_size_too_small_for_the_network_is_refused_with_its_input_size():
    layers = [keras.Input((None, None, 3))]
    layers += [keras.layers.Conv2D(2, 21) for _ in range(2)]
    backbone = Backbone(
        name="large-kernels", model=keras.Sequential(layers), input_size=64, source="seeded"
    )
    build_extractor(backbone, 48)
    for build in (build_extractor, lambda *given: build_feature_network(*given, ("pooled",))):
        with pytest.raises(SettingsError, match=r"size.*32.*'large-kernels'.*64"):
            build(backbone, 32)
