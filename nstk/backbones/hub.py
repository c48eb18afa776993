"""Networks of KerasHub from a local folder: a Keras preset, or one of Hugging Face or timm.

The folder's ``config.json`` decides. Those of Hugging Face and timm name no classes: KerasHub
builds the network itself and reads its weights from safetensors. A Keras preset names the class of
its network, which has to be one of KerasHub. Nothing is fetched, and no code of the folder is run.
"""

import json
import re
from math import isqrt
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nstk.backbones.archives import check_config, import_hub
from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.networks import MEAN, STD, renumber_layers
from nstk.errors import BackboneError
from nstk.storage.files import check_regular
from nstk.types import Json, KerasLayer, KerasModel, Tensor

HUB = "hub:"

Scaling = list[float]
"""One number for each color."""

_LARGEST_CONFIG = 2**20
_HUGGING_FACE = ("deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "swin", "vit")
_TIMM = ("csp", "dark", "densenet", "efficientnet", "mobilenetv3", "resnet", "vgg")
_SIDE = 224
"""Side of the images of networks that take any size, or interpolate their position embeddings."""


@pinned_keras_config()
def load_hub_backbone(folder: Path) -> Backbone:
    """Load a network of KerasHub from a folder.

    Raises:
        BackboneError: If KerasHub is not installed, or the folder has no usable network.
    """
    config = _read_config(folder / "config.json")
    options, hub = _check_network(folder, config), import_hub(folder)
    try:
        scale, offset, side = _read_scaling(folder, config)
        network = hub.models.Backbone.from_preset(str(folder), **options)
        model = _build_model(network, scale, offset)
    except BackboneError:
        raise
    except Exception as error:  # KerasHub raises almost anything for damaged folders
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BackboneError(
            f"KerasHub cannot load {folder} ({reason}); download the folder again."
        ) from error
    side = model.input_shape[1] or side
    return Backbone(f"{HUB}{folder.resolve().name}", model, side, str(folder))


def _read_config(path: Path) -> dict[str, Json]:
    try:
        check_regular(path, _LARGEST_CONFIG)
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BackboneError(
            f"{path} cannot be read ({reason}); give the folder of a Keras preset, or of a "
            "network of Hugging Face or timm."
        ) from error
    if not isinstance(config, dict):
        raise BackboneError(f"{path} is not a JSON object; download the folder again.")
    return config


def _check_network(folder: Path, config: dict[str, Json]) -> dict[str, Any]:
    """Check what the folder asks KerasHub to build; return the options of its network."""
    if "registered_name" in config:
        check_config(folder, config, allowed=_is_hub_network)
        return {}
    kind = str(config.get("model_type", ""))
    if "model_type" in config and kind in _HUGGING_FACE:
        return {"image_shape": _image_shape(config)} if kind.startswith("dino") else {}
    architecture = str(config.get("architecture", ""))
    if "model_type" not in config and architecture.startswith(_TIMM):
        return {}
    raise BackboneError(
        f"{folder} has {kind or architecture or 'a network without a name'!r}; nstk reads "
        f"{', '.join(_HUGGING_FACE)} of Hugging Face, and {', '.join(_TIMM)} of timm."
    )


def _is_hub_network(module: str, name: str) -> bool:
    known = re.fullmatch(r"keras_hub\.src\.models\.\w+\.\w+_backbone", module)
    return known is not None and name.endswith("Backbone")


def _read_scaling(folder: Path, config: dict[str, Json]) -> tuple[Scaling, Scaling, int]:
    """Scale and offset of pixels in [0, 1], and the side of the images of the training.

    Folders that do not say it get ImageNet's mean and standard deviation.
    """
    converter, processor = folder / "image_converter.json", folder / "preprocessor_config.json"
    facts: dict[str, Json] = {"mean": MEAN, "std": STD, "side": _SIDE}
    if "registered_name" in config and converter.exists():
        stored = _read_config(converter).get("config", {})
        size = stored.get("image_size") or _SIDE
        facts["side"] = size[0] if isinstance(size, list) else size
        if stored.get("scale") is not None:
            scale, offset = stored["scale"], stored.get("offset") or 0.0
            return _three(255 * np.array(scale)), _three(offset), int(facts["side"])
    elif "model_type" in config and processor.exists():
        stored = _read_config(processor)
        facts |= {
            key: stored[f"image_{key}"] for key in ("mean", "std") if f"image_{key}" in stored
        }
    elif "architecture" in config:
        stored = config.get("pretrained_cfg") or {}
        facts |= {key: stored[key] for key in ("mean", "std") if key in stored}
        facts["side"] = stored.get("input_size", (3, _SIDE))[1]
    std = np.array(_three(facts["std"]))
    return _three(1 / std), _three(-np.array(_three(facts["mean"])) / std), int(facts["side"])


def _three(value: Any) -> Scaling:
    numbers: Scaling = np.broadcast_to(np.asarray(value, np.float64), 3).tolist()
    return numbers


def _image_shape(config: dict[str, Json]) -> tuple[int, int, int]:
    """About 224 px, a multiple of the patches, instead of the up to 518 px of the training."""
    patch, side = config.get("patch_size"), config.get("image_size")
    patch = patch if isinstance(patch, int) and 0 < patch <= _SIDE else 14
    side = min(_SIDE, side) if isinstance(side, int) and side >= patch else _SIDE
    return side // patch * patch, side // patch * patch, 3


def _build_model(network: KerasModel, scale: Scaling, offset: Scaling) -> KerasModel:
    """Build the model from images in [0, 1] to one map, with copies of the layers."""
    plain = keras.Model(keras.tree.flatten(network.inputs)[0], _last(network.output))
    image = keras.Input(plain.input_shape[1:], name="image")
    scaled = keras.layers.Rescaling([[scale]], offset=[[offset]], name="preprocessing")(image)

    def call(layer: KerasLayer, inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
        return layer(scaled if inputs is image else inputs, *args, **kwargs)

    model = keras.models.clone_model(
        plain,
        input_tensors=keras.tree.map_structure(lambda _: image, plain.input),
        call_function=call,
    )
    for layer in plain.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    renumber_layers(model)
    last = model.outputs[0]
    return keras.Model(model.inputs[0], last if len(last.shape) == 4 else _to_map(network, last))


def _last(output: Any) -> Tensor:
    return output[max(output)] if isinstance(output, dict) else output


def _to_map(network: KerasModel, tokens: Tensor) -> Tensor:
    """Tokens ``(N, T, D)`` as a map: those of patches beside the class token, if there is one.

    The mean over the positions is then that of the patches, and the class token itself.
    """
    count, width = tokens.shape[1:]
    patch = getattr(network, "patch_size", None)
    patch = patch[0] if isinstance(patch, list | tuple) else patch
    rows = network.inputs[0].shape[1] // patch if patch else isqrt(count)
    rows = rows if rows * rows <= count else isqrt(count)
    first = count - rows * rows
    layers = keras.layers
    patches = layers.Cropping1D((first, 0), name="patch_tokens")(tokens)
    patches = layers.Reshape((rows, rows, width), name="patches")(patches)
    if not first:
        return patches
    whole = layers.Cropping1D((0, count - 1), name="class_token")(tokens)
    whole = layers.Reshape((1, 1, width), name="class_cell")(whole)
    whole = layers.UpSampling2D(rows, name="class_map")(whole)
    return layers.Concatenate(name="tokens")([patches, whole])
