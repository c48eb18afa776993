"""A classifier whose head has random weights, for tests that need no training."""

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.inference import attach_head
from nstk.features.crops import CROPS, Crop
from nstk.features.networks import POOLED, build_extractor
from nstk.heads.head import Head

CLASSES = ("Ämeise", "蜂", "class 10")


def build_classifier(
    backbone: Backbone,
    size: int,
    spread: float,
    features: str = POOLED,
    crops: tuple[Crop, ...] = CROPS[:1],
) -> Classifier:
    """A classifier with a random head; ``spread`` suits the network's features."""
    generator = np.random.default_rng(5)
    extractor = build_extractor(backbone, size, features, crops)
    width = extractor.output.shape[-1]
    kernel = generator.normal(0, spread, (width, len(CLASSES))).astype(np.float32)
    bias, oof_logits = np.zeros(len(CLASSES), np.float32), np.empty((0, len(CLASSES)))
    head = Head(kernel, bias, np.ones(1), oof_logits)
    facts = {"name": backbone.name, "digest": backbone.digest, "source": backbone.source}
    return Classifier(attach_head(extractor, head), CLASSES, size, facts, {"seed": 0}, {"a": [1]})
