"""Backbones with random weights, for measuring time and memory."""

import keras

from nstk.backbones.applications import APPLICATIONS
from nstk.backbones.backbone import Backbone
from nstk.backbones.listing import PACKAGED
from nstk.backbones.loading import load_backbone
from nstk.backbones.networks import build_network


def load_network(name: str) -> Backbone:
    """Return a packaged network, or one of keras.applications with seeded random weights."""
    if name in PACKAGED:
        return load_backbone(name)
    keras.utils.set_random_seed(0)
    application = APPLICATIONS[name]
    return Backbone(name, build_network(application), application.input_size, "seeded")
