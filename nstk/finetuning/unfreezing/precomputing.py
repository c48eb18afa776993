"""The images of a second stage: looked at once up to the border, then read as often as needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.errors import ImageError
from nstk.features.activation_store import ActivationStore
from nstk.features.crops import Squares, View, crop_views
from nstk.features.prefetching import BATCH, read_ahead
from nstk.finetuning.unfreezing.augmentation import Batch
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel
from nstk.finetuning.unfreezing.planning import Deadline
from nstk.images.image import load_image
from nstk.progress import Progress, Reporter

STAGE = "border"

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PrecomputedActivations:
    """What was seen of some images.

    Attributes:
        maps: Squares, or maps at the border: a row for each view of each image.
        features: What the head sees from below the border, ``(n · views, d)``; d may be 0.
        targets: Which labels they have, float32 ``(n, C)``.
        weights: How much their questions count, float32 ``(n, q)``.
        views: How many rows an image has.
    """

    maps: ActivationStore
    features: ActivationStore
    targets: Vectors
    weights: Vectors
    views: int

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, places: npt.NDArray[np.integer], views: npt.NDArray[np.integer]) -> Batch:
        """One view each of some images, ``(n,)`` both."""
        rows = places * self.views + views
        maps = self.maps.take(rows).astype(np.float32)
        return maps, self.features.take(rows), self.targets[places], self.weights[places]


def precompute_activations(
    network: PartiallyFrozenModel,
    paths: Sequence[Path],
    targets: Vectors,
    weights: Vectors,
    size: int,
    views: tuple[View, ...],
    *,
    keep_squares: bool,
    clock: Deadline,
    on_progress: Reporter,
) -> PrecomputedActivations | None:
    """Look at images once; those that cannot be read any more are left out.

    Args:
        network: What looks.
        paths: The files.
        targets: ``(n, C)``.
        weights: ``(n, q)``.
        size: Side of the squares in pixels.
        views: The views of each image.
        keep_squares: Keep the squares themselves, in half precision, for augmentation that
            reaches pixels; else maps at the border, in float32.
        clock: Says when to give up.
        on_progress: Told after each batch, stage ``"border"``.

    Returns:
        None if the time was over before all were seen.

    Raises:
        OutputError: If the disk is full.
    """
    see = _look_no_further if keep_squares else tf.function(network.see, autograph=False)
    maps = features = None
    known: list[int] = []
    on_progress(Progress(stage=STAGE, step=0, total=len(paths)))
    read = partial(_read, size=size, views=views)
    waiting: list[Squares] = []
    for place, squares in enumerate(read_ahead(paths, read, ahead=2 * BATCH)):
        if squares is not None:
            known.append(place)
            waiting.append(squares)
        full = len(waiting) * len(views) >= BATCH or place + 1 == len(paths)
        if not (waiting and full):
            continue
        if clock.left <= 0:
            return None
        border, below = (np.asarray(each) for each in see(np.concatenate(waiting)))
        if maps is None or features is None:
            count, kind = len(paths) * len(views), np.float16 if keep_squares else np.float32
            maps = ActivationStore(count, border.shape[1:], kind)
            features = ActivationStore(count, below.shape[1:], np.float32)
        maps.write(border)
        features.write(below)
        waiting = []
        on_progress(Progress(stage=STAGE, step=place + 1, total=len(paths)))
    if maps is None or features is None:
        return None
    return PrecomputedActivations(maps, features, targets[known], weights[known], len(views))


def _look_no_further(squares: Squares) -> tuple[Squares, Vectors]:
    return squares, np.zeros((len(squares), 0), np.float32)


def _read(path: Path, size: int, views: tuple[View, ...]) -> Squares | None:
    try:
        return crop_views(load_image(path).pixels, size, views)
    except ImageError:
        return None
