"""Listing the backbones without loading TensorFlow."""

import difflib
import hashlib
import math
import re
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise

import numpy as np

from nstk.backbones.applications import APPLICATIONS
from nstk.errors import BackboneError, WeightsError
from nstk.types import Json

COMPACT = "compact"
COMPACT_INPUT_SIZE = 224
COMPACT_DIGEST = "c2e11c444c50de20eff7d0395d76a9c9020d8d30b4c4b281034c4c5adffcc607"
"""SHA-256 of the packaged file, checked on every use."""

_FLOAT32_BYTES = 4


def backbone_names() -> tuple[str, ...]:
    """List the names for `nstk.load_backbone`, the packaged network first."""
    return (COMPACT, *APPLICATIONS)


def match_name(name: str) -> str:
    """Find a backbone by name; case, dashes and underscores do not matter.

    The name of a network without its width means full width: ``mobilenet`` is ``mobilenet-1.0``.

    Raises:
        BackboneError: If there is no such backbone; lists the nearest names.
    """
    names = {_strip(known): known for known in backbone_names()}
    for meant in (_strip(name), _strip(f"{name}-1.0")):
        if meant in names:
            return names[meant]
    nearest = difflib.get_close_matches(_strip(name), names, n=3, cutoff=0)
    raise BackboneError(
        f"unknown `backbone` '{name}'; the nearest names are "
        f"{', '.join(names[near] for near in nearest)}; `nstk backbones` lists all of them."
    )


def describe_backbones() -> list[dict[str, Json]]:
    """Describe every named backbone.

    Returns:
        One dictionary per backbone, in the order of `backbone_names`, with ``name``; ``source``,
        ``"packaged"`` or ``"keras.applications download"``; ``parameters``, without the
        classification top; ``file_bytes`` of the packaged file, or the approximate size of the
        download (four bytes per parameter); ``input_size``, the side of its training images in
        pixels; ``channels`` of its last feature map; and ``taps``, all of the packaged network's,
        and the deepest one per stride of the others (`Backbone.taps` lists all).

    Raises:
        WeightsError: If the packaged file is missing.
    """
    downloads = [
        {
            "name": application.name,
            "source": "keras.applications download",
            "parameters": application.parameters,
            "file_bytes": application.parameters * _FLOAT32_BYTES,
            "input_size": application.input_size,
            "channels": application.channels,
            "taps": list(application.taps),
        }
        for application in APPLICATIONS.values()
    ]
    return [_describe_compact(), *downloads]


def find_packaged() -> Traversable:
    """Find the packaged weights file.

    Raises:
        WeightsError: If it is missing or damaged.
    """
    packaged = resources.files("nstk.backbones") / "data" / "compact.npz"
    if not packaged.is_file():
        raise WeightsError(
            "The packaged weights nstk/backbones/data/compact.npz are missing; reinstall nstk."
        )
    if hashlib.sha256(packaged.read_bytes()).hexdigest() != COMPACT_DIGEST:
        raise WeightsError(
            "The packaged weights nstk/backbones/data/compact.npz are damaged; reinstall nstk."
        )
    return packaged


def _describe_compact() -> dict[str, Json]:
    with resources.as_file(find_packaged()) as path:
        file_bytes = path.stat().st_size
        with np.load(path, allow_pickle=False) as arrays:
            shapes = {key: arrays[key].shape for key in arrays}
    convolutions = list(dict.fromkeys(key.rpartition("/")[0] for key in shapes))
    blocks = [name.partition("_")[0] for name in convolutions]
    taps = convolutions[:1]
    for (block, following), name in zip(pairwise(blocks), convolutions[1:], strict=True):
        taps += [name] if block == following else [f"{block}_pool", name]
    return {
        "name": COMPACT,
        "source": "packaged",
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "file_bytes": file_bytes,
        "input_size": COMPACT_INPUT_SIZE,
        "channels": shapes[f"{convolutions[-1]}/bias"][0],
        "taps": taps,
    }


def _strip(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())
