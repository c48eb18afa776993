"""What the frozen network sees in every picture: one vector each, computed once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.finetuning.networks import Passage
from nstk.finetuning.passes import run_passes
from nstk.media.listing import SkippedFile
from nstk.progress import Reporter, ignore


@dataclass(frozen=True, eq=False)
class Features:
    """The vectors of those pictures that could be read.

    Attributes:
        indices: Which of the paths they belong to, int64 ``(n,)``, ascending.
        vectors: float32 ``(n, D)``.
        skipped: The files that could not be read, and why.
        forward_passes: How many pictures went through the network.
    """

    indices: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    skipped: tuple[SkippedFile, ...]
    forward_passes: int


def extract_features(
    extractor: Any, paths: Sequence[Path], *, on_progress: Reporter = ignore
) -> Features:
    """Compute the feature vector of every picture, in one forward pass each.

    Args:
        extractor: What `build_extractor` gave.
        paths: The files.
        on_progress: Told after each batch, stage ``"features"``.
    """
    batches = list(run_passes(Passage(extractor), paths, stage="features", on_progress=on_progress))
    vectors = [batch.outputs for batch in batches if batch.indices]
    indices = [index for batch in batches for index in batch.indices]
    return Features(
        indices=np.array(indices, np.int64),
        vectors=np.concatenate(vectors or [np.empty((0, extractor.output.shape[-1]), np.float32)]),
        skipped=tuple(file for batch in batches for file in batch.skipped),
        forward_passes=len(indices),
    )
