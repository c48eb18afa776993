"""Networks of KerasHub from a local folder: a Keras preset, or one of Hugging Face or timm.

The folder's ``config.json`` decides. Those of Hugging Face and timm name no classes: KerasHub
builds the network itself and reads its weights from safetensors. A Keras preset names the class of
its network, which has to be one of KerasHub. Nothing is fetched, and no code of the folder is run.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nstk.backbones.archives import check_config, import_hub
from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.errors import BackboneError
from nstk.storage.files import check_regular
from nstk.types import Json, KerasLayer, KerasModel, Tensor

HUB = "hub:"

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
    options = _choose_options(folder, config)
    hub = import_hub(folder)
    with _reported(folder):
        network = hub.models.Backbone.from_preset(str(folder), **options)
        converter = _load_converter(hub, folder)
        model = _build_model(network, converter)
    side = model.input_shape[1] or getattr(converter, "image_size", None) or _SIDE
    side = side if isinstance(side, int) else side[0]
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


def _choose_options(folder: Path, config: dict[str, Json]) -> dict[str, Any]:
    """Check what the folder asks KerasHub to build; return the options of its network."""
    if "registered_name" in config:
        check_config(folder, config, allowed=_is_hub_network)
        converter = folder / "image_converter.json"
        if converter.exists():
            check_config(converter, _read_config(converter), allowed=_is_hub_converter)
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


def _is_hub_converter(module: str, name: str) -> bool:
    return module.startswith("keras_hub.src.") and name.endswith("ImageConverter")


def _image_shape(config: dict[str, Json]) -> tuple[int, int, int]:
    """About 224 px, a multiple of the patches, instead of the up to 518 px of the training."""
    patch = config.get("patch_size", 14)
    patch = patch if isinstance(patch, int) and 0 < patch <= _SIDE else 14
    side = min(_SIDE, int(config.get("image_size", _SIDE))) // patch * patch
    return side, side, 3


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # KerasHub raises almost anything for damaged folders
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BackboneError(
            f"KerasHub cannot load {folder} ({reason}); download the folder again."
        ) from error


def _load_converter(hub: Any, folder: Path) -> Any:
    """What scales the pixels for the network; None where the folder does not say it."""
    try:
        return hub.layers.ImageConverter.from_preset(str(folder))
    except (OSError, ValueError):
        return None


def _build_model(network: KerasModel, converter: Any) -> KerasModel:
    """Build the model from images in [0, 1] to one map, of the same layers."""
    plain = keras.Model(network.inputs[0], _last(network.output))
    image = keras.Input(plain.input_shape[1:], name="image")
    scale, offset = (getattr(converter, name, None) for name in ("scale", "offset"))
    scale = 255 * np.broadcast_to(1 / 255 if scale is None else scale, 3)
    offset = np.broadcast_to(0.0 if offset is None else offset, 3)
    layer = keras.layers.Rescaling(
        [[scale.tolist()]], offset=[[offset.tolist()]], name="preprocessing"
    )
    scaled = layer(image)

    def call(layer: KerasLayer, inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
        return layer(scaled if inputs is image else inputs, *args, **kwargs)

    model = keras.models.clone_model(
        plain, input_tensors=image, clone_function=lambda layer: layer, call_function=call
    )
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
    patches = keras.layers.Reshape((rows, rows, width), name="patches")(tokens[:, first:])
    if not first:
        return patches
    whole = keras.layers.Reshape((1, 1, width), name="class_token")(tokens[:, :1])
    whole = keras.layers.UpSampling2D(rows, name="class_token_map")(whole)
    return keras.layers.Concatenate(name="tokens")([patches, whole])
