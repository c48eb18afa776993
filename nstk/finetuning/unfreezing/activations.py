"""What the trainable part sees: crops, or activations of the frozen part, computed once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.errors import ImageError
from nstk.features.activation_store import ActivationStore
from nstk.features.crops import CropArray, crop_levels, needed_side
from nstk.features.extractor import BATCH_SIZE, FeatureExtractor
from nstk.features.prefetching import prefetch
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel
from nstk.finetuning.unfreezing.planning import Deadline
from nstk.progress import Progress, Reporter
from nstk.types import Array


@dataclass(frozen=True, eq=False)
class Activations:
    """Inputs of the trainable part, one row for each of the views of each image.

    The maps are crops or maps at the split point; the features are those from below it. Targets
    are float32 ``(n, C)``, weights float32 ``(n, q)``.
    """

    maps: ActivationStore
    features: ActivationStore
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    views: int

    def batch(self, images: npt.NDArray[np.integer], views: npt.NDArray[np.integer]) -> list[Array]:
        """One view each of some images; both arguments are ``(n,)``."""
        rows = self.rows(images * self.views + views)
        return [*rows, self.targets[images], self.weights[images]]

    def rows(self, rows: npt.NDArray[np.integer]) -> tuple[Array, Array]:
        return self.maps.take_rows(rows).astype(np.float32), self.features.take_rows(rows)


def precompute(
    network: PartiallyFrozenModel | None,
    extractor: FeatureExtractor,
    paths: Sequence[Path],
    labels: Sequence[npt.NDArray[np.float32]],
    deadline: Deadline,
    on_progress: Reporter,
) -> Activations | None:
    """Run the frozen part once over images; without a network, keep their crops.

    Files that have become unreadable are left out. None after the deadline.
    """
    compute = tf.function(network.activations, autograph=False) if network else _keep_crops
    views, total, dtype = len(extractor.crops), len(paths), np.float32 if network else np.float16
    stores: list[ActivationStore] = []
    known: list[int] = []
    waiting: list[CropArray] = []
    on_progress(Progress(stage="activations", step=0, total=total))
    read = partial(_read_crops, extractor)
    for index, crops in enumerate(prefetch(paths, read, ahead=2 * BATCH_SIZE)):
        if crops is not None:
            known.append(index)
            waiting.append(crops)
        if not waiting or (len(waiting) * views < BATCH_SIZE and index + 1 < total):
            continue
        if deadline.remaining <= 0:
            return None
        computed = [np.asarray(each) for each in compute(np.concatenate(waiting))]
        stores = stores or [
            ActivationStore(total * views, rows.shape[1:], kind)
            for rows, kind in zip(computed, (dtype, np.float32), strict=True)
        ]
        for store, rows in zip(stores, computed, strict=True):
            store.write(rows)
        waiting = []
        on_progress(Progress(stage="activations", step=index + 1, total=total))
    if not stores:
        return None
    maps, features = stores
    targets, weights = (each[known] for each in labels)
    return Activations(maps, features, targets, weights, views)


def _keep_crops(crops: CropArray) -> tuple[CropArray, npt.NDArray[np.float32]]:
    return crops, np.zeros((len(crops), 0), np.float32)


def _read_crops(extractor: FeatureExtractor, path: Path) -> CropArray | None:
    try:
        levels = extractor.reader.load_levels(path, needed_side(extractor.size))
        return crop_levels(levels, extractor.size, extractor.crops)
    except ImageError:
        return None
