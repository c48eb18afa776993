"""A classifier is a plain Keras model with equal outputs everywhere; files run no code."""

import json
import pickle
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from drawn_classifier import CLASSES, build_classifier
from labeled_images import draw_image

from nstk.backbones.archives import _objects
from nstk.backbones.backbone import Backbone
from nstk.classifiers.classifier import Classifier
from nstk.errors import ModelError, OutputError
from nstk.features.crops import CROPS


def images(height: int, width: int, count: int = 3) -> np.ndarray:
    colors = [(200, 40, 60), (30, 90, 220), (120, 120, 40)]
    return np.stack(
        [draw_image(colors[index % 3], height, width, seed=index) for index in range(count)]
    )


@pytest.fixture(scope="module")
def normalized_backbone():
    """Random weights and batch normalization with statistics that are not those of any batch."""
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 3))
    layers = [keras.Input((None, None, 3))]
    for filters in (8, 16):
        layers.append(keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False))
        layers += [keras.layers.BatchNormalization(), keras.layers.ReLU()]
    network = keras.Sequential(layers)
    norms = [each for each in network.layers if hasattr(each, "moving_variance")]
    for norm in norms:
        norm.momentum = 0.0  # So that one batch in training mode sets the statistics.
    network(images(64, 64) / 127.5 - 1, training=True)
    generator = np.random.default_rng(3)
    for norm in norms:
        norm.moving_mean.assign(norm.moving_mean + generator.normal(0, 0.1, norm.moving_mean.shape))
        norm.moving_variance.assign(norm.moving_variance * generator.uniform(0.5, 2))
    maps = network(keras.layers.Rescaling(2.0, offset=-1.0)(image), training=False)
    return Backbone(
        name="normalized", model=keras.Model(image, maps), input_size=64, source="seeded"
    )


@pytest.fixture(scope="module")
def normalized(normalized_backbone):
    return build_classifier(normalized_backbone, 64, spread=1.0)


@pytest.fixture(scope="module")
def tiny(tiny_backbone):
    return build_classifier(tiny_backbone, 32, spread=2.0)


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("saved") / "tiny.keras")


def change_member(source, target, name, content):
    """Copy an archive with another text in one member, or without it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
            elif content is not None:
                new.writestr(member, content)
    return target


def test_every_form_of_the_model_gives_the_same_probabilities(normalized, tmp_path):
    batch = images(80, 100)
    called = normalized.model(batch).numpy()
    reloaded = keras.models.load_model(normalized.save(tmp_path / "model.keras"))
    squares = np.stack([normalized.pipeline.prepare(each.astype(np.float32)) for each in batch])
    assert np.ptp(called, axis=0).max() > 0.01
    for answer in (
        normalized.model.predict(batch, verbose=0),
        reloaded(batch).numpy(),
        reloaded.predict(batch, verbose=0),
        Classifier.load(tmp_path / "model.keras").model(batch).numpy(),
        tf.function(normalized.model)(batch.astype(np.float32)).numpy(),
        normalized.pipeline.forward(squares),
    ):
        assert answer == pytest.approx(called, abs=1e-5)


def test_prediction_does_not_change_the_network(normalized_backbone, normalized):
    before = normalized_backbone.digest
    normalized.model(images(80, 100))
    normalized.model.predict(images(60, 60), verbose=0)
    assert Backbone("again", normalized_backbone.model, 64, "").digest == before
    assert not normalized.model.get_layer("backbone").trainable


@pytest.mark.parametrize("size", [(1, 1), (20, 500), (333, 47)])
def test_images_of_any_size_come_in_batches_and_give_probabilities(tiny, size):
    answer = tiny.model(images(*size, count=4)).numpy()
    assert answer.shape == (4, len(CLASSES))
    assert answer.dtype == np.float32
    assert answer.sum(axis=1) == pytest.approx(np.ones(4))


def test_probabilities_do_not_depend_on_the_batch(tiny):
    batch = images(60, 70)
    alone = np.concatenate([tiny.model(image[np.newaxis]) for image in batch])
    assert alone == pytest.approx(tiny.model(batch).numpy(), abs=1e-6)


def test_the_model_has_only_layers_of_keras(tiny):
    def layers(model):
        for layer in model.layers:
            yield layer
            yield from layers(layer) if hasattr(layer, "layers") else ()

    assert {type(layer).__module__.split(".")[0] for layer in layers(tiny.model)} == {"keras"}


def test_saved_facts_are_restored(saved, tiny):
    loaded = Classifier.load(saved)
    for name in ("classes", "size", "backbone", "settings", "results"):
        assert getattr(loaded, name) == getattr(tiny, name)


def test_a_classifier_has_the_methods_of_scikit_learn_and_keras(tiny, monkeypatch):
    batch = images(40, 50)
    assert tiny.classes_.tolist() == list(CLASSES)
    assert repr(tiny) == "Classifier(3 classes, backbone 'tiny', size 32)"
    probabilities = tiny.predict_proba(batch)
    assert probabilities == pytest.approx(tiny.model(batch).numpy(), abs=1e-5)
    found = tiny.predict(batch, top=1)
    assert found.labels == [CLASSES[index] for index in probabilities.argmax(axis=1)]
    assert len(found) == 3
    assert next(tiny.explain(batch)).label == found[0].label
    monkeypatch.setattr("nstk.exporting.job.export", lambda *given, **options: (given, options))
    assert tiny.export("onnx", "a.onnx", seed=3) == ((tiny, "onnx", "a.onnx"), {"seed": 3})


def test_equal_classifiers_are_equal_bytes(saved, tiny_backbone, tmp_path):
    again = build_classifier(tiny_backbone, 32, spread=2.0).save(tmp_path / "again.keras")
    assert again.read_bytes() == saved.read_bytes()


KERAS_3_10 = {
    "AveragePooling2D": "pool_size padding strides data_format",
    "BatchNormalization": "axis momentum epsilon center scale gamma_regularizer beta_regularizer "
    "gamma_constraint beta_constraint synchronized",
    "Concatenate": "axis",
    "Conv2D": "filters kernel_size strides padding data_format dilation_rate groups activation "
    "use_bias kernel_regularizer bias_regularizer activity_regularizer kernel_constraint "
    "bias_constraint",
    "DTypePolicy": "",
    "Dense": "units activation use_bias kernel_regularizer bias_regularizer kernel_constraint "
    "bias_constraint",
    "Functional": "layers input_layers output_layers",
    "GlobalAveragePooling1D": "data_format keepdims",
    "GlobalAveragePooling2D": "data_format keepdims",
    "InputLayer": "batch_shape sparse ragged optional",
    "MaxPooling2D": "pool_size padding strides data_format",
    "ReLU": "max_value negative_slope threshold",
    "Rescaling": "scale offset",
    "Reshape": "target_shape",
    "Resizing": "height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio fill_mode "
    "fill_value antialias data_format",
    "Sequential": "layers build_input_shape",
    "Softmax": "axis",
    "Subtract": "",
    "ops.Add": "",
    "ops.Flip": "axis",
    "ops.Mean": "axis keepdims",
    "ops.Multiply": "",
    "ops.Reshape": "newshape",
    "ops.Sqrt": "",
    "ops.Squeeze": "axis",
    "ops.Subtract": "",
}
"""What the layers and operations of a classifier take in Keras 3.10."""


@pytest.fixture(scope="module")
def richest(tiny_backbone, tmp_path_factory):
    """A saved classifier with every kind of operation, and the parts of its config."""
    made = build_classifier(tiny_backbone, 32, 2.0, "pooled+statistics", CROPS[:2])
    path = made.save(tmp_path_factory.mktemp("richest") / "richest.keras")
    with zipfile.ZipFile(path) as archive:
        return path, list(_objects(json.loads(archive.read("config.json"))))


def test_a_file_holds_nothing_that_keras_3_10_does_not_know(richest, normalized, tmp_path):
    with zipfile.ZipFile(normalized.save(tmp_path / "normalized.keras")) as archive:
        parts = [*richest[1], *_objects(json.loads(archive.read("config.json")))]
    seen = set()
    for part in parts:
        if part["class_name"] == "__keras_tensor__":
            continue
        is_operation = part["module"].startswith("keras.src.ops")
        name = f"ops.{part['class_name']}" if is_operation else part["class_name"]
        known = {*KERAS_3_10[name].split(), *(() if is_operation else ("name", "dtype"))}
        assert part["config"].keys() <= known | {"trainable"}, name
        seen.add(name)
    assert seen == set(KERAS_3_10)


def test_operations_keep_their_names_in_whatever_process_they_are_loaded(richest, tmp_path):
    path, parts = richest
    keras.ops.flip(keras.Input((4, 4, 3)), axis=2)  # so that Keras counts from another number
    again = Classifier.load(path).save(tmp_path / "again.keras")
    with zipfile.ZipFile(again) as archive:
        found = list(_objects(json.loads(archive.read("config.json"))))
    names = [part["name"] for part in parts if "name" in part]
    assert [part["name"] for part in found if "name" in part] == names
    assert "flip" in names


def test_class_names_are_readable_in_the_file(saved):
    with zipfile.ZipFile(saved) as archive:
        text = archive.read("nstk.json").decode()
    assert all(name in text for name in CLASSES)
    assert json.loads(text)["format"] == 1


@pytest.mark.parametrize("name", ["model.h5", "model", "missing/model.keras"])
def test_a_path_that_cannot_be_written_is_refused_before_anything_is_written(tiny, tmp_path, name):
    for act in (Classifier.check_output, tiny.save):
        with pytest.raises(OutputError):
            act(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file_unchanged(tiny, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nstk.backbones.archives._copy_members", fail)
    with pytest.raises(OutputError, match="No space left"):
        tiny.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.keras"]
    assert path.read_bytes() == b"old"


def refuse(path, *words):
    with pytest.raises(ModelError) as caught:
        Classifier.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("model.h5", b"\x89HDF\r\n\x1a\n and so on", "HDF5"),
        ("model.keras", b"\x89HDF\r\n\x1a\n and so on", "HDF5"),
        ("model.pkl", pickle.dumps({"a": 1}), "pickle"),
        ("model.keras", pickle.dumps({"a": 1}), "pickle"),
        ("model.h5", b"PK\x03\x04", ".keras"),
        ("model.keras", b"a text", ".keras"),
        ("model.keras", b"", ".keras"),
    ],
)
def test_files_of_other_kinds_are_refused_by_name_and_by_content(tmp_path, name, content, word):
    path = tmp_path / name
    path.write_bytes(content)
    refuse(path, word)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refuse(tmp_path / "missing.keras", "No such file")
    refuse(tmp_path, "folder")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95, 0.999])
def test_a_truncated_archive_is_refused(saved, tmp_path, share):
    content = saved.read_bytes()
    path = tmp_path / "short.keras"
    path.write_bytes(content[: int(share * len(content))])
    refuse(path)


def test_an_archive_with_a_flipped_byte_is_refused(saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        weights = archive.getinfo("model.weights.h5")
    content = bytearray(saved.read_bytes())
    content[weights.header_offset + weights.file_size // 2] ^= 255
    path = tmp_path / "flipped.keras"
    path.write_bytes(content)
    refuse(path)


def test_a_keras_model_of_someone_else_is_refused(tiny, tmp_path):
    path = tmp_path / "other.keras"
    tiny.model.save(path)
    refuse(path, "nstk.json")


def forge_layer(saved, path, **changes):
    """Change what the last layer of a saved classifier says it is."""
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][-1].update(changes)
    return change_member(saved, path, "config.json", json.dumps(config))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"class_name": "Lambda"}, "Lambda"),
        ({"class_name": "TFSMLayer"}, "TFSMLayer"),
        ({"module": "os", "class_name": "system"}, "os.system"),
        ({"module": "kerasevil.layers"}, "kerasevil"),
        ({"module": "nstk.features.networks"}, "nstk.features"),
        ({"class_name": "NoSuchLayer"}, "NoSuchLayer"),
        ({"config": {"activation": {"class_name": "__lambda__", "config": {}}}}, "__lambda__"),
    ],
)
def test_a_config_with_code_is_refused_by_its_name(saved, tmp_path, changes, word):
    refuse(forge_layer(saved, tmp_path / "forged.keras", **changes), word)


def card_of(saved):
    with zipfile.ZipFile(saved) as archive:
        return json.loads(archive.read("nstk.json"))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"classes": ["one", "two"]}, "2 class names for 3 outputs"),
        ({"classes": "abc"}, "classes"),
        ({"size": None}, "size"),
        ({"format": 99}, "format 99"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(saved, tmp_path, changes, word):
    card = json.dumps({**card_of(saved), **changes})
    refuse(change_member(saved, tmp_path / "changed.keras", "nstk.json", card), word)


@pytest.mark.parametrize("content", ["not json", "[1, 2]", None])
def test_an_invalid_card_is_refused(saved, tmp_path, content):
    refuse(change_member(saved, tmp_path / "changed.keras", "nstk.json", content), "nstk.json")


def test_a_full_disk_is_not_reported_as_a_damaged_classifier(tiny, tmp_path, monkeypatch):
    path = tiny.save(tmp_path / "model.keras")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.models, "load_model", fail)
    with pytest.raises(ModelError, match=r"No space left on device"):
        Classifier.load(path)
