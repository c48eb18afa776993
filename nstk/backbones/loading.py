"""From a name to a frozen backbone."""

import os
from importlib import resources
from pathlib import Path

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.compact import build_compact
from nstk.errors import BackboneError, WeightsError


def load_backbone(
    name: str | os.PathLike[str] = "compact", *, weights: str | os.PathLike[str] | None = None
) -> Backbone:
    """Load a frozen backbone by name."""
    if name != "compact" or weights is not None:
        raise BackboneError(f"No backbone is called '{name}'; see `nstk backbones`.")
    network = build_compact()
    packaged = resources.files("nstk.backbones") / "data" / "compact.npz"
    if not packaged.is_file():
        raise WeightsError(
            "The packaged file nstk/backbones/data/compact.npz is missing; reinstall nstk."
        )
    with resources.as_file(packaged) as path, np.load(Path(path), allow_pickle=False) as arrays:
        for layer in network.layers:
            if layer.weights:
                layer.set_weights(
                    [
                        arrays[f"{layer.name}/{variable.name}"].astype(np.float32)
                        for variable in layer.weights
                    ]
                )
    return Backbone(name="compact", model=network, input_size=96, source="packaged with nstk")
