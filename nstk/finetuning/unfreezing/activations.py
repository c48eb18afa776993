"""Activations at the split point: computed once, then read in every epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.errors import ImageError
from nstk.features.activation_store import ActivationStore
from nstk.features.crops import Crop, CropArray, extract_crops
from nstk.features.extractor import BATCH_SIZE, FeatureExtractor, prefetch
from nstk.finetuning.unfreezing.augmentation import Batch
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel
from nstk.finetuning.unfreezing.planning import Deadline
from nstk.images.loading import load_image
from nstk.progress import Progress, Reporter
from nstk.types import FeatureVectors

STAGE = "activations"


@dataclass(frozen=True, eq=False)
class LabeledPaths:
    """Image files with targets float32 ``(n, C)`` and sample weights float32 ``(n, q)``."""

    paths: Sequence[Path]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PrecomputedActivations:
    """Inputs of the trainable part, one row for each of the views of each image.

    The maps are crops or maps at the split point; the features are those from below it.
    """

    maps: ActivationStore
    features: ActivationStore
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    views: int

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, images: npt.NDArray[np.integer], views: npt.NDArray[np.integer]) -> Batch:
        """One view each of some images; both arguments are ``(n,)``."""
        rows = images * self.views + views
        maps = self.maps.take_rows(rows).astype(np.float32)
        return maps, self.features.take_rows(rows), self.targets[images], self.weights[images]


def precompute_activations(
    network: PartiallyFrozenModel,
    images: LabeledPaths,
    extractor: FeatureExtractor,
    *,
    keep_crops: bool,
    deadline: Deadline,
    on_progress: Reporter,
) -> PrecomputedActivations | None:
    """Run the frozen part once over images; files that have become unreadable are left out.

    Returns:
        None after the deadline.

    Raises:
        OutputError: If the disk is full.
    """
    compute = _keep_crops if keep_crops else tf.function(network.activations, autograph=False)
    views, total = extractor.crops, len(images.paths)
    maps = features = None
    known: list[int] = []
    waiting: list[CropArray] = []
    on_progress(Progress(stage=STAGE, step=0, total=total))
    read = partial(_read_crops, size=extractor.size, views=views)
    for index, crops in enumerate(prefetch(images.paths, read, ahead=2 * BATCH_SIZE)):
        if crops is not None:
            known.append(index)
            waiting.append(crops)
        full = len(waiting) * len(views) >= BATCH_SIZE or index + 1 == total
        if not (waiting and full):
            continue
        if deadline.remaining <= 0:
            return None
        split, below = (np.asarray(each) for each in compute(np.concatenate(waiting)))
        if maps is None or features is None:
            count, dtype = total * len(views), np.float16 if keep_crops else np.float32
            maps = ActivationStore(count, split.shape[1:], dtype)
            features = ActivationStore(count, below.shape[1:], np.float32)
        maps.write(split)
        features.write(below)
        waiting = []
        on_progress(Progress(stage=STAGE, step=index + 1, total=total))
    if maps is None or features is None:
        return None
    targets, weights = images.targets[known], images.weights[known]
    return PrecomputedActivations(maps, features, targets, weights, len(views))


def _keep_crops(crops: CropArray) -> tuple[CropArray, FeatureVectors]:
    return crops, np.zeros((len(crops), 0), np.float32)


def _read_crops(path: Path, size: int, views: tuple[Crop, ...]) -> CropArray | None:
    try:
        return extract_crops(load_image(path).pixels, size, views)
    except ImageError:
        return None
