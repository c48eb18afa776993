"""The feature pass on an engine: workers compute rows, which one process writes into the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from nstk.backbones.candidates import Candidate
from nstk.distribution.shards import WHOLE, Shard
from nstk.features.cache import FeatureCache
from nstk.features.extractor import (
    BATCH_SIZE,
    FeatureExtractor,
    Features,
    FeatureStore,
    extract_features,
)
from nstk.progress import Progress, Reporter, no_progress
from nstk.types import Engine

_CHUNK = 2 * BATCH_SIZE
"""Images in a task: whole batches, as one run has them."""


@dataclass(frozen=True)
class _ExtractorRecipe:
    """An extractor without its network, which each worker loads by name."""

    network: Candidate
    fields: tuple[tuple[str, Any], ...]

    def build(self) -> FeatureExtractor:
        return FeatureExtractor(self.network.load(), **dict(self.fields))


_build = lru_cache(maxsize=2)(_ExtractorRecipe.build)


def cache_features_on_engine(
    engine: Engine,
    network: Candidate,
    extractor: FeatureExtractor,
    paths: Sequence[Path],
    cache: FeatureCache,
    *,
    shard: Shard = WHOLE,
    on_progress: Reporter = no_progress,
) -> int:
    """Compute the missing features of a shard on an engine and add them to the cache.

    `extract_features` then finds all of them there. Returns the number of crops that were computed.
    """
    store = FeatureStore(extractor, cache, shard)
    names = ("size", "blocks", "crops", "images", "reader")
    fields = {name: getattr(extractor, name) for name in names}
    fields["executor"] = extractor.chosen_executor
    recipe = _ExtractorRecipe(network, tuple(fields.items()))
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    missing = [chunk for chunk in chunks if not all(map(store.knows, chunk))]
    on_progress(Progress(stage="features", step=0, total=len(missing) * _CHUNK))
    passes = 0
    for step, found in enumerate(engine(partial(_extract_chunk, recipe, shard), missing), 1):
        store.add(found)
        passes += found.forward_passes
        on_progress(Progress(stage="features", step=step * _CHUNK, total=len(missing) * _CHUNK))
    cache.close()
    return passes


def _extract_chunk(recipe: _ExtractorRecipe, shard: Shard, paths: Sequence[Path]) -> Features:
    """Compute the features of one chunk in a worker."""
    return extract_features(_build(recipe), paths, shard=shard)
