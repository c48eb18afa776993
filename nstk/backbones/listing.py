"""Which backbones there are, told without loading TensorFlow."""

import difflib
import hashlib
import math
import re
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import Any

import numpy as np

from nstk.backbones.applications import APPLICATIONS
from nstk.errors import BackboneError, WeightsError

COMPACT = "compact"
COMPACT_INPUT_SIZE = 224
COMPACT_DIGEST = "c2e11c444c50de20eff7d0395d76a9c9020d8d30b4c4b281034c4c5adffcc607"
"""SHA-256 of the packaged file, checked whenever it is used."""

_FLOAT32_BYTES = 4


def backbone_names() -> tuple[str, ...]:
    """The names that `nstk.load_backbone` takes, the packaged network first."""
    return (COMPACT, *APPLICATIONS)


def match_name(name: str) -> str:
    """Find the backbone meant by a name, whatever its capitals, dashes and underscores.

    A network that comes in several widths goes by its bare name at its full width:
    ``mobilenet`` is ``mobilenet-1.0``.

    Raises:
        BackboneError: If there is none; the message says which names are nearest.
    """
    names = {_strip(known): known for known in backbone_names()}
    for meant in (_strip(name), _strip(f"{name}-1.0")):
        if meant in names:
            return names[meant]
    nearest = difflib.get_close_matches(_strip(name), names, n=3, cutoff=0)
    raise BackboneError(
        f"No backbone is called '{name}'; the nearest are "
        f"{', '.join(names[near] for near in nearest)}; `nstk backbones` lists them all."
    )


def describe_backbones() -> list[dict[str, Any]]:
    """Describe every backbone that goes by a name.

    Returns:
        One dictionary for each, in the order of `backbone_names`, with ``name``; ``source``,
        ``"packaged"`` or ``"keras.applications download"``; ``parameters``, without the
        classification top; ``file_bytes``, of the packaged file, or about what the download
        takes (four bytes a parameter); ``input_size``, the side in pixels it was trained on;
        ``channels`` of its last feature map; ``taps``, all of the packaged network's and the
        deepest one at each stride of the others (`Backbone.taps` lists all of a loaded one).

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
    """Find the weights file that comes with nstk.

    Raises:
        WeightsError: If it is missing from this installation, or is another file.
    """
    packaged = resources.files("nstk.backbones") / "data" / "compact.npz"
    if not packaged.is_file():
        raise WeightsError(
            "The packaged weights nstk/backbones/data/compact.npz are missing; install nstk anew."
        )
    if hashlib.sha256(packaged.read_bytes()).hexdigest() != COMPACT_DIGEST:
        raise WeightsError(
            "The packaged weights nstk/backbones/data/compact.npz are not those that nstk comes "
            "with; install nstk anew."
        )
    return packaged


def _describe_compact() -> dict[str, Any]:
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
