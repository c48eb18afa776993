"""Listing the backbones without loading TensorFlow."""

import difflib
import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from nstk.backbones.applications import APPLICATIONS, Application, deepest_taps
from nstk.errors import BackboneError, WeightsError
from nstk.types import Json

COMPACT = "compact"
EFFICIENTNET_LITE0 = "efficientnet-lite0"

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Packaged:
    """A network whose weights are part of nstk.

    Attributes:
        name: Its name, and that of its file in ``data``.
        digest: SHA-256 of the file, checked on every use.
        input_size: Side of the images it was trained on, in pixels.
        parameters: Number of weights.
        channels: Channels of the last feature map.
    """

    name: str
    digest: str
    input_size: int
    parameters: int
    channels: int

    def find_file(self) -> Traversable:
        """Find the weights file.

        Raises:
            WeightsError: If it is missing or damaged.
        """
        file = resources.files("nstk.backbones") / "data" / f"{self.name}.npz"
        if not file.is_file():
            fault = "missing"
        elif hashlib.sha256(file.read_bytes()).hexdigest() != self.digest:
            fault = "damaged"
        else:
            return file
        raise WeightsError(
            f"The packaged weights nstk/backbones/data/{file.name} are {fault}; reinstall nstk."
        )


_PACKAGED = (
    Packaged(
        COMPACT,
        "c2e11c444c50de20eff7d0395d76a9c9020d8d30b4c4b281034c4c5adffcc607",
        input_size=224,
        parameters=2_543_280,
        channels=384,
    ),
    Packaged(
        EFFICIENTNET_LITE0,
        "701926d28ccc9492aafc042532fe8767a1e00f40b7bd41070455b9d7d53205b7",
        input_size=224,
        parameters=3_413_024,
        channels=1280,
    ),
)
PACKAGED = {row.name: row for row in _PACKAGED}
"""The packaged networks by name."""


def backbone_names() -> tuple[str, ...]:
    """List the names for `nstk.load_backbone`, the packaged networks first."""
    return (*PACKAGED, *APPLICATIONS)


def match_name(name: str) -> str:
    """Find a backbone by name; case, dashes and underscores do not matter.

    The name of a network without its width means full width: ``mobilenet`` is ``mobilenet-1.0``.
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
        pixels; ``channels`` of its last feature map; and ``taps``, all of `compact`'s, and the
        deepest one per stride of the others (`Backbone.taps` lists all).

    Raises:
        WeightsError: If a packaged file is missing.
    """
    files = {name: packaged.find_file() for name, packaged in PACKAGED.items()}
    rows: list[Packaged | Application] = [*PACKAGED.values(), *APPLICATIONS.values()]
    return [
        {
            "name": row.name,
            "source": "packaged" if row.name in files else "keras.applications download",
            "parameters": row.parameters,
            "file_bytes": len(files[row.name].read_bytes())
            if row.name in files
            else row.parameters * _FLOAT32_BYTES,
            "input_size": row.input_size,
            "channels": row.channels,
            "taps": deepest_taps(row.name),
        }
        for row in rows
    ]


def _strip(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())
