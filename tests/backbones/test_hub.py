"""Networks of KerasHub come from local folders, compute what KerasHub computes, and run no code."""

import json
import sys
from itertools import permutations
from math import prod

import numpy as np
import pytest

from nstk.backbones.candidates import list_candidates
from nstk.backbones.hub import load_hub_backbone
from nstk.backbones.loading import load_backbone
from nstk.classifiers.classifier import Classifier
from nstk.errors import BackboneError, ModelError, NstkError, SettingsError
from nstk.exporting.job import export
from nstk.finetuning.job import finetune

keras_hub = pytest.importorskip("keras_hub")

DINO = {
    "model_type": "dinov2_with_registers",
    "image_size": 28,
    "patch_size": 7,
    "hidden_size": 16,
    "mlp_ratio": 2,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "layerscale_value": 1.0,
    "num_register_tokens": 3,
    "use_swiglu_ffn": False,
    "hidden_dropout_prob": 0.0,
    "drop_path_rate": 0.0,
}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Weights:
    """Takes the place of KerasHub's reader: notes what it asks for, with random numbers."""

    def __init__(self):
        self.arrays = {}

    def port_weight(self, keras_variable, hf_weight_key, hook_fn=None):
        shape = tuple(keras_variable.shape)
        shapes = {*permutations(shape)}
        for split in range(1, len(shape)):
            both = prod(shape[:split]), prod(shape[split:])
            shapes |= {both, both[::-1]}
        shapes.add((prod(shape),))
        for each in sorted(shapes):
            try:
                kept = hook_fn(np.zeros(each), list(shape)) if hook_fn else np.zeros(each)
            except ValueError:
                continue
            if kept.shape == shape:
                drawn = np.random.default_rng(len(self.arrays)).normal(0, 0.3, each)
                self.arrays[hf_weight_key] = drawn.astype(np.float32)
                return
        raise AssertionError(f"{hf_weight_key} has an unknown shape")


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    """A folder of Hugging Face with a tiny DINOv2 with registers."""
    from keras_hub.src.utils.transformers import convert_dinov2 as converter
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("hub") / "dino"
    folder.mkdir()
    network = converter.backbone_cls(**converter.convert_backbone_config(DINO))
    weights = Weights()
    converter.convert_weights(network, weights, DINO)
    save_file(weights.arrays, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(DINO))
    processor = {"image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A Keras preset of a tiny ResNet."""
    folder = tmp_path_factory.mktemp("hub") / "resnet"
    keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 8],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    ).save_to_preset(str(folder))
    return folder


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((2, 28, 28, 3), np.float32)


def standardized(images):
    return (images - np.array(MEAN, np.float32)) / np.array(STD, np.float32)


def test_a_transformer_gives_a_map_of_patches_and_the_class_token(dino, images):
    backbone = load_backbone(f"hub:{dino}")
    assert (backbone.name, backbone.input_size) == ("hub:dino", 28)
    network = keras_hub.models.Backbone.from_preset(str(dino))
    tokens = network({"images": standardized(images)}).numpy()
    maps = backbone.model(images).numpy()
    assert maps.shape == (2, 4, 4, 32)
    np.testing.assert_allclose(maps[..., :16].reshape(2, 16, 16), tokens[:, 4:], atol=1e-5)
    np.testing.assert_allclose(
        maps[..., 16:], tokens[:, np.newaxis, :1] + 0 * maps[..., 16:], atol=1e-5
    )
    assert not backbone.model.trainable_variables


def test_a_convolutional_preset_has_taps_and_takes_any_size(resnet):
    backbone = load_hub_backbone(resnet)
    network = keras_hub.models.Backbone.from_preset(str(resnet))
    images = np.random.default_rng(1).random((1, 40, 36, 3), np.float32)
    imagenet = (images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(
        backbone.model(images).numpy(), network(imagenet).numpy(), rtol=1e-4, atol=1e-5
    )
    assert backbone.stride(backbone.taps[-1]) == 8
    assert next(each.name for each in list_candidates(["compact", f"hub:{resnet}"])) == "compact"


def test_a_transformer_has_one_size_and_no_statistics(dino, color_folder):
    for options in ({"size": 32}, {"features": "pooled+statistics"}):
        [name] = options
        with pytest.raises(SettingsError, match=name):
            finetune(color_folder, backbone=f"hub:{dino}", **options)


@pytest.mark.slow
def test_a_classifier_on_a_transformer_is_saved_loaded_and_exported(dino, color_folder, tmp_path):
    made = finetune(color_folder, backbone=f"hub:{dino}")
    assert made.forward_passes == 24
    assert made.classifier.size == 28
    file = made.classifier.save(tmp_path / "dino.keras")
    loaded = Classifier.load(file)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 50, 40, 3)).astype(np.uint8)
    expected = made.classifier.predict_proba(pixels)
    np.testing.assert_allclose(loaded.predict_proba(pixels), expected, atol=1e-6)
    exported = export(loaded, "savedmodel", tmp_path / "saved", images=color_folder, max_images=3)
    assert exported.agreement == 1


def test_a_classifier_with_layers_of_kerashub_says_what_it_needs(
    dino, color_folder, tmp_path, monkeypatch
):
    file = finetune(color_folder, backbone=f"hub:{dino}").classifier.save(tmp_path / "d.keras")
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    for needing in (lambda: Classifier.load(file), lambda: load_backbone(f"hub:{dino}")):
        with pytest.raises(BackboneError, match=r"nstk\[hub\]"):
            needing()


@pytest.mark.parametrize(
    "config",
    [
        {"module": "os", "class_name": "system", "registered_name": "x", "config": {}},
        {"module": "keras.layers", "class_name": "Lambda", "registered_name": "Lambda"},
        {
            "module": "keras_hub.src.models.bert.bert_tokenizer",
            "class_name": "BertTokenizer",
            "registered_name": "keras_hub>BertTokenizer",
        },
        {"model_type": "clip"},
        {"model_type": "dinov2"},
        {"architecture": "mobilenetv4_conv_small"},
        {"architecture": "resnet18", "pretrained_cfg": {"std": "wide"}},
        {},
        [],
    ],
)
def test_other_folders_are_refused_in_one_line(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(NstkError) as caught:
        load_backbone(f"hub:{tmp_path}")
    assert isinstance(caught.value, BackboneError | ModelError)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(BackboneError, match=r"config\.json"):
        load_backbone(f"hub:{tmp_path}")
