"""Small seeded networks, and their feature maps."""

import keras
import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.packaged import build_compact


def make_backbone(*, widths=(4, 6, 8), depths=(1, 1, 1), seed=7) -> Backbone:
    keras.utils.set_random_seed(seed)
    model = build_compact(widths=widths, depths=depths)
    return Backbone(name="tiny", model=model, input_size=32, source="seeded")


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).random((1, height, width, 3), dtype=np.float32)


def extract(backbone, name, image):
    return backbone.tap([name])(image)[name].numpy()
