"""Loading a frozen backbone by name or from a file."""

import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import resources
from pathlib import Path

import keras

from nstk.backbones.applications import APPLICATIONS, Application
from nstk.backbones.archives import ADVICE, read_archive
from nstk.backbones.backbone import Backbone
from nstk.backbones.hub import HUB, load_hub_backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.listing import COMPACT, EFFICIENTNET_LITE0, PACKAGED, match_name
from nstk.backbones.networks import build_network, fetch_network
from nstk.backbones.packaged import build_compact, build_efficientnet_lite0
from nstk.backbones.weights import assign_weights, list_weights, open_weights
from nstk.errors import ModelError, WeightsError
from nstk.progress import Progress, Reporter, no_progress
from nstk.types import KerasModel

StrPath = str | os.PathLike[str]

WEIGHTS_EXTENSIONS = (".h5", ".hdf5", ".npz")
_PATH_EXTENSIONS = (".keras", *WEIGHTS_EXTENSIONS)
_BUILDERS: Mapping[str, Callable[[], KerasModel]] = {
    COMPACT: build_compact,
    EFFICIENTNET_LITE0: build_efficientnet_lite0,
}


def load_backbone(
    backbone: Backbone | StrPath = COMPACT,
    *,
    weights: StrPath | None = None,
    on_progress: Reporter = no_progress,
) -> Backbone:
    """Load a frozen pretrained network; the same as `Backbone.from_preset`.

    Args:
        backbone: ``"compact"``, the best small network for stylization, or
            ``"efficientnet-lite0"``, the best one for classifiers: both are packaged with nstk and
            work offline. Or another name from `backbone_names`, whose ImageNet weights Keras
            downloads once; or the path of a classifier made by `nstk.finetune`, whose backbone is
            used; or ``"hub:FOLDER"``, a folder with a network of KerasHub, Hugging Face or timm,
            which needs ``nstk[hub]``. A `Backbone` is returned unchanged.
        weights: A local weights file for the named network, with or without a classification top:
            Keras weights (``.weights.h5``, ``.h5``) or ``.npz``.
        on_progress: Called before and after a download.

    Raises:
        BackboneError: If the name is unknown, or a folder has no network that can be used.
        WeightsError: If the weights file cannot be read or does not fit the network.
        DownloadError: If the weights cannot be downloaded.
        ModelError: If the path is not a classifier of nstk.
    """
    if weights is not None and (isinstance(backbone, Backbone) or _is_path(backbone)):
        raise WeightsError(
            f"{getattr(backbone, 'name', backbone)} has its own weights, and `weights` is "
            f"{os.fspath(weights)!r}; leave out `weights`, or give the name of a network."
        )
    if isinstance(backbone, Backbone):
        return backbone
    if str(backbone).startswith(HUB):
        return load_hub_backbone(Path(str(backbone).removeprefix(HUB)))
    if _is_path(backbone):
        if Path(backbone).suffix in WEIGHTS_EXTENSIONS:
            raise ModelError(
                f"{backbone} is not a classifier of nstk; if it is a weights file, give the name "
                "of its network as `backbone` and the file as `weights`."
            )
        return open_classifier(Path(backbone))
    matched = match_name(str(backbone))
    if matched in PACKAGED:
        return _load_packaged(matched, weights)
    if weights is None:
        return _fetch(APPLICATIONS[matched], on_progress)
    return _load_application(APPLICATIONS[matched], weights)


def _is_path(name: StrPath) -> bool:
    return isinstance(name, os.PathLike) or os.sep in name or name.endswith(_PATH_EXTENSIONS)


def _load_packaged(name: str, weights: StrPath | None) -> Backbone:
    if weights is None:
        PACKAGED[name].find_file()  # refuses damage on every use
        return _open_packaged(name)
    model = _fill(_BUILDERS[name], weights, name)
    return Backbone(name, model, PACKAGED[name].input_size, os.fspath(weights))


@cache
def _open_packaged(name: str) -> Backbone:
    """Open it once: what jobs compile for it serves the next one that names it, too."""
    with resources.as_file(PACKAGED[name].find_file()) as packaged:
        model = _fill(_BUILDERS[name], packaged, name)
    return Backbone(name, model, PACKAGED[name].input_size, "packaged with nstk")


def _load_application(application: Application, weights: StrPath) -> Backbone:
    network = _fill(partial(build_network, application), weights, application.name)
    return Backbone(application.name, network, application.input_size, os.fspath(weights))


def _fetch(application: Application, on_progress: Reporter) -> Backbone:
    stage, source = f"weights of {application.name}", "keras.applications (ImageNet)"
    on_progress(Progress(stage=stage, step=0, total=1))
    fetched = list_weights(fetch_network(application))
    on_progress(Progress(stage=stage, step=1, total=1))
    network = build_network(application)
    assign_weights(network, fetched, name=application.name, origin=source)
    return Backbone(application.name, network, application.input_size, source)


def _fill(build: Callable[[], KerasModel], weights: StrPath, name: str) -> KerasModel:
    with open_weights(weights) as stored:  # other files fail before the long build
        network = build()
        assign_weights(network, stored, name=name, origin=os.fspath(weights))
    return network


def open_classifier(path: Path) -> Backbone:
    """Open the backbone of a ``.keras`` classifier; no code from the file is run."""
    classifier, card = read_archive(path)
    try:
        name, input_size = str(card["backbone"]["name"]), int(card["backbone"]["input_size"])
        network = classifier.get_layer("backbone")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} has no usable backbone ({reason}); {ADVICE}.") from error
    if not isinstance(network, keras.Model) or len(network.outputs[0].shape) != 4:
        raise ModelError(f"{path} has a 'backbone' without feature maps; {ADVICE}.")
    return make_backbone(network, name, input_size, str(path))


@pinned_keras_config()
def make_backbone(network: KerasModel, name: str, input_size: int, source: str) -> Backbone:
    """Make a backbone from a classifier's layer ``backbone``."""
    if len(network.outputs) > 1:  # the head also uses earlier maps; the first is the last map
        network = keras.Model(network.inputs[0], network.outputs[0], name=network.name)
    return Backbone(name=name, model=network, input_size=input_size, source=source)
