"""The feature pass of fine-tuning alone: one shard of the images, or all of them on an engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nstk.backbones.backbone import Backbone
from nstk.backbones.candidates import BackboneChoice, list_candidates
from nstk.datasets.sources import Data
from nstk.distribution.shards import WHOLE, Shard
from nstk.errors import SettingsError
from nstk.features.cache import FeatureCache
from nstk.features.distribution import cache_features_on_engine
from nstk.features.extractor import extract_features
from nstk.finetuning.job import FinetuneJob
from nstk.images.image import VALUE_RANGE
from nstk.progress import Reporter, Stopwatch, no_progress
from nstk.settings import FinetuneSettings
from nstk.types import Engine, Json


@dataclass(frozen=True)
class CachedFeatures:
    """The features of a shard: images in it, crops that were computed now, images of all shards."""

    folder: Path
    images: int
    forward_passes: int
    total: int

    def to_dict(self) -> dict[str, Json]:
        return {**vars(self), "folder": str(self.folder)}


def cache_features(
    data: Data,
    cache: Path | None,
    settings: FinetuneSettings,
    *,
    backbone: BackboneChoice,
    shard: Shard = WHOLE,
    engine: Engine | None = None,
    on_progress: Reporter = no_progress,
) -> CachedFeatures:
    """Compute the features that `finetune` needs of a shard into the cache, and no more.

    `finetune` with the same settings, and the merged caches of all shards, then starts at the head.
    """
    if cache is None:
        raise SettingsError("Features alone need a `cache` folder to be kept in; give one.")
    job = FinetuneJob(data, None, VALUE_RANGE, backbone, settings, cache, None, on_progress)
    folder, extractor, _ = job.prepare(cache, Stopwatch())
    paths = [image.path for image in folder.images]
    shared: dict[str, Any] = {"shard": shard, "on_progress": on_progress}
    passes = 0
    if engine:
        network, *others = list_candidates(backbone)
        if others or isinstance(network.given, Backbone):
            raise SettingsError("`dask` needs one network by its name; give it as `backbone`.")
        store = FeatureCache(cache)
        passes = cache_features_on_engine(engine, network, extractor, paths, store, **shared)
    found = extract_features(extractor, paths, cache=FeatureCache(cache), **shared)
    return CachedFeatures(cache, len(found.indices), passes + found.forward_passes, len(paths))
