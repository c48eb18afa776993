"""From a name or a file to a frozen backbone."""

import os
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from nstk.backbones.applications import APPLICATIONS, Application
from nstk.backbones.backbone import Backbone
from nstk.backbones.classifier_files import open_classifier
from nstk.backbones.compact import build_compact
from nstk.backbones.downloads import fetch_network
from nstk.backbones.listing import COMPACT, COMPACT_INPUT_SIZE, find_packaged, match_name
from nstk.backbones.networks import build_network
from nstk.backbones.weights import assign_weights, list_weights
from nstk.backbones.weights_files import open_weights
from nstk.errors import ModelError, WeightsError
from nstk.progress import Progress, Reporter, no_progress

StrPath = str | os.PathLike[str]

_WEIGHTS_EXTENSIONS = (".h5", ".hdf5", ".npz")
_PATH_EXTENSIONS = (".keras", *_WEIGHTS_EXTENSIONS)


def load_backbone(
    name: StrPath = COMPACT,
    *,
    weights: StrPath | None = None,
    on_progress: Reporter = no_progress,
) -> Backbone:
    """Load a frozen pretrained network.

    Args:
        name: ``"compact"``, which comes with nstk and needs no network; another name that
            `backbone_names` lists, whose ImageNet weights Keras downloads once; or the path of a
            classifier that `nstk.finetune` made, whose backbone is then used.
        weights: A local weights file for the named network instead of its own weights, with or
            without a classification top: Keras weights (``.weights.h5``, ``.h5``) or ``.npz``.
        on_progress: Told before and after weights are fetched; nothing else takes long.

    Raises:
        BackboneError: If nothing goes by this name.
        WeightsError: If the weights file cannot be read or belongs to another network.
        DownloadError: If the weights could not be fetched.
        ModelError: If the path is no classifier that nstk can use.
    """
    if _is_path(name):
        if weights is not None:
            raise WeightsError(
                f"{name} brings its own weights, and {weights} was given too; "
                "use --weights with a name that `nstk backbones` lists, or leave it out."
            )
        if Path(name).suffix in _WEIGHTS_EXTENSIONS:
            raise ModelError(
                f"{name} is no classifier that nstk finetune made; if it holds weights, name their "
                "network as --backbone and give the file as --weights."
            )
        return open_classifier(Path(name))
    matched = match_name(str(name))
    if matched == COMPACT:
        return _load_compact(weights)
    if weights is None:
        return _fetch(APPLICATIONS[matched], on_progress)
    return _load_application(APPLICATIONS[matched], weights)


def _is_path(name: StrPath) -> bool:
    return isinstance(name, os.PathLike) or os.sep in name or name.endswith(_PATH_EXTENSIONS)


def _load_compact(weights: StrPath | None) -> Backbone:
    with resources.as_file(find_packaged()) as packaged:
        network = _fill(build_compact, packaged if weights is None else weights, COMPACT)
    source = "packaged with nstk" if weights is None else os.fspath(weights)
    return Backbone(COMPACT, network, COMPACT_INPUT_SIZE, source)


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


def _fill(build: Callable[[], Any], weights: StrPath, name: str) -> Any:
    with open_weights(weights) as stored:  # what is no weights file fails before the long build
        network = build()
        assign_weights(network, stored, name=name, origin=os.fspath(weights))
    return network
