"""Loading backbones by name and from files."""

import json
import socket
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import nstk
from nstk.backbones.applications import APPLICATIONS
from nstk.backbones.listing import backbone_names, describe_backbones, match_name
from nstk.backbones.loading import load_backbone
from nstk.backbones.networks import MEAN, STD
from nstk.backbones.weights import set_weights
from nstk.errors import BackboneError, DownloadError, ModelError, WeightsError


def random_image(side, seed=0):
    return np.random.default_rng(seed).random((1, side, side, 3), dtype=np.float32)


# Names


def test_the_packaged_network_is_the_default_and_listed_first():
    backbone = load_backbone()
    assert backbone.name == backbone_names()[0] == "compact"
    assert backbone.source == "packaged with nstk"
    assert np.isfinite(backbone.embed(random_image(64))).all()


def test_every_name_matches_itself():
    assert all(match_name(name) == name for name in backbone_names())
    assert len(set(backbone_names())) == len(backbone_names())


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("mobilenet", "mobilenet-1.0"),
        ("MobileNetV2", "mobilenet_v2-1.0"),
        ("mobilenet_v2_0.35", "mobilenet_v2-0.35"),
        ("ResNet50V2", "resnet50_v2"),
        ("EfficientNetB0", "efficientnet_b0"),
        ("efficientnet-v2-s", "efficientnet_v2_s"),
        ("ConvNeXtTiny", "convnext_tiny"),
        ("Compact", "compact"),
    ],
)
def test_case_and_dashes_do_not_matter(spelling, name):
    assert match_name(spelling) == name


def test_every_image_network_of_keras_has_a_name():
    constructors = {
        name
        for name in dir(keras.applications)
        if callable(getattr(keras.applications, name)) and name[0].isupper()
    }
    assert constructors == {application.constructor for application in APPLICATIONS.values()}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("vgg91", "vgg19"), ("mobilnet", "mobilenet-1.0"), ("kompakt", "compact"), ("", "vgg")],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(name, nearest):
    with pytest.raises(BackboneError, match=nearest) as caught:
        load_backbone(name)
    assert "nstk backbones" in str(caught.value)


# The list


@pytest.mark.parametrize(("name", "most"), [("compact", 5e6), ("efficientnet-lite0", 7.1e6)])
def test_the_list_describes_the_packaged_networks(name, most):
    described = next(each for each in describe_backbones() if each["name"] == name)
    backbone = load_backbone(name)
    assert described["source"] == "packaged"
    assert described["parameters"] == backbone.model.count_params()
    assert described["channels"] == backbone.embed.outputs[0].shape[-1]
    assert described["input_size"] == backbone.input_size
    assert set(described["taps"]) <= set(backbone.taps)
    assert 0 < described["file_bytes"] <= most


def test_every_backbone_is_listed_with_the_same_facts():
    described = describe_backbones()
    assert tuple(each["name"] for each in described) == backbone_names()
    for each in described:
        assert each.keys() == described[0].keys()
        assert each["parameters"] > 1e5
        assert each["taps"]
    assert json.loads(json.dumps(described)) == described


def test_the_list_does_not_need_tensorflow():
    program = (
        "import sys; from nstk.backbones.listing import backbone_names, describe_backbones;"
        "describe_backbones(); backbone_names();"
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_missing_packaged_file_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    for ask in (describe_backbones, load_backbone):
        with pytest.raises(WeightsError, match=r"compact\.npz"):
            ask()


# Downloads


@pytest.fixture
def published(monkeypatch, tmp_path):
    """The file that Keras would download; a test may write it."""

    def fetch(name, *args, **kwargs):
        path = tmp_path / "published.weights.h5"
        if not path.exists():
            raise Exception(f"URL fetch failure on https://example.org/{name}: no network")
        return str(path)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fetch)
    return tmp_path / "published.weights.h5"


def test_a_failed_download_names_alternatives(published):
    name = "mobilenet-0.25"
    with pytest.raises(DownloadError) as caught:
        load_backbone(name)
    message = str(caught.value)
    assert "\n" not in message
    for words in (f"'{name}'", "no network", "`backbone='compact'`", "`weights`"):
        assert words in message


def test_a_download_without_data_times_out(monkeypatch):
    timeouts = []
    monkeypatch.setattr(
        "keras.src.utils.file_utils.get_file",
        lambda *args, **kwargs: timeouts.append(socket.getdefaulttimeout()),
    )
    before = socket.getdefaulttimeout()
    with pytest.raises(DownloadError):
        load_backbone("mobilenet-0.25")
    assert timeouts == [20.0]
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize(
    "name", ["mobilenet-0.25", pytest.param("efficientnet_b0", marks=pytest.mark.slow)]
)
def test_a_downloaded_network_equals_that_of_keras(published, capsys, name):
    application = APPLICATIONS[name]
    constructor = getattr(keras.applications, application.constructor)
    trained = constructor(include_top=False, weights=None, **application.options)
    for layer in trained.layers:
        if isinstance(layer, keras.layers.Normalization):
            set_weights(layer, [np.array(MEAN), np.array(STD), np.array(0)])
    trained.save_weights(published)

    events = []
    backbone = load_backbone(name, on_progress=events.append)
    assert [(event.stage, event.step) for event in events] == [
        (f"weights of {name}", 0),
        (f"weights of {name}", 1),
    ]
    assert backbone.source == "keras.applications (ImageNet)"
    assert capsys.readouterr().out == ""
    theirs = trained
    if application.family.divides_again:
        theirs = constructor(include_top=False, weights="imagenet", input_shape=(97, 97, 3))
    images = random_image(97 if application.family.divides_again else 224)
    module = getattr(keras.applications, application.family.module)
    expected = np.asarray(theirs(module.preprocess_input(images * 255)))
    np.testing.assert_allclose(
        backbone.model(images), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )


# Classifiers


@pytest.fixture
def classifier(tmp_path, tiny_backbone):
    """A classifier as `nstk.finetune` saves it, with the tiny network."""
    image = keras.Input((None, None, 3), name="image")
    scaled = keras.layers.Rescaling(1 / 255)(image)
    square = keras.layers.Resizing(32, 32)(scaled)
    network = keras.Model(
        tiny_backbone.model.inputs[0], tiny_backbone.model.outputs[0], name="backbone"
    )
    vectors = keras.layers.GlobalAveragePooling2D()(network(square, training=False))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(vectors))
    return save_classifier(
        tmp_path / "insects.keras", model, {"backbone": {"name": "tiny", "input_size": 32}}
    )


def save_classifier(path, model, card):
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("nstk.json", json.dumps(card))
    return path


def test_the_backbone_of_a_classifier_is_loaded_by_path(classifier, tiny_backbone):
    for path in (classifier, str(classifier)):
        backbone = load_backbone(path)
        assert backbone.digest == tiny_backbone.digest
        assert backbone.taps == tiny_backbone.taps
        assert (backbone.name, backbone.input_size) == ("tiny", 32)
        assert backbone.source == str(classifier)
        assert not backbone.model.trainable_weights
    images = random_image(24)
    np.testing.assert_allclose(backbone.model(images), tiny_backbone.model(images), rtol=1e-6)
    prepared = backbone.prepared(edge="replicate", pooling="average")
    assert prepared.digest == tiny_backbone.digest
    for name in backbone.taps:
        assert backbone.reach(name) == tiny_backbone.reach(name)


def test_stylizing_with_a_classifier_equals_its_backbone(classifier, tiny_backbone, scene, strokes):
    settings = nstk.StylizeSettings(size=32, steps=2, scales=1)
    one, other = (
        nstk.stylize(scene, strokes, backbone=network, settings=settings).image
        for network in (classifier, tiny_backbone)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_classifier_refuses_other_weights(classifier):
    with pytest.raises(WeightsError, match=r"other\.h5"):
        load_backbone(classifier, weights="other.h5")


@pytest.mark.parametrize("name", ["vgg19.weights.h5", "folder/vgg19.h5", "vgg19.npz"])
def test_a_weights_file_instead_of_a_network_is_refused(name):
    with pytest.raises(ModelError, match=r"`backbone` .*`weights`"):
        load_backbone(name)


def refuse(path, words):
    with pytest.raises(ModelError, match=words) as caught:
        load_backbone(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_other_files_are_refused(tmp_path, tiny_backbone):
    refuse(tmp_path / "absent.keras", "No such file")
    refuse(tmp_path, "a folder")
    text = tmp_path / "text.keras"
    text.write_text("I am a classifier\n")
    refuse(text, r"text\.keras")
    tiny_backbone.model.save(tmp_path / "plain.keras")
    refuse(tmp_path / "plain.keras", r"nstk\.json")


def test_a_classifier_without_a_usable_backbone_is_refused(tmp_path, tiny_backbone):
    card = {"backbone": {"name": "tiny", "input_size": 32}}
    path = save_classifier(tmp_path / "flat.keras", tiny_backbone.model, card)
    refuse(path, "backbone")
    path = save_classifier(tmp_path / "silent.keras", tiny_backbone.model, {"classes": []})
    refuse(path, "backbone")
    vectors = keras.Model(tiny_backbone.model.inputs[0], tiny_backbone.embed.outputs[0])
    vectors.name = "backbone"
    image = keras.Input((None, None, 3))
    path = save_classifier(tmp_path / "vectors.keras", keras.Model(image, vectors(image)), card)
    refuse(path, "'backbone'")


def test_a_truncated_classifier_is_refused(classifier):
    content = classifier.read_bytes()
    classifier.write_bytes(content[: len(content) // 2])
    refuse(classifier, r"\.keras archive")


def test_code_in_a_classifier_is_not_run(tmp_path):
    image = keras.Input((None, None, 3))
    maps = keras.layers.Lambda(lambda pixels: pixels * 2)(image)
    network = keras.Model(image, maps, name="backbone")
    model = keras.Model(image, network(image))
    card = {"backbone": {"name": "harm", "input_size": 32}}
    refuse(save_classifier(tmp_path / "harm.keras", model, card), "Lambda")
