"""``nstk finetune`` with --shard or --dask: the feature pass alone, or in other processes."""

from pathlib import Path
from typing import TYPE_CHECKING

from nstk.errors import SettingsError
from nstk.progress import Reporter
from nstk.settings import FinetuneSettings

if TYPE_CHECKING:
    from nstk.backbones.candidates import BackboneChoice
    from nstk.finetuning.feature_pass import CachedFeatures


def cache_features(
    data: Path | None,
    network: "BackboneChoice",
    settings: FinetuneSettings,
    cache: Path | None,
    report: Reporter,
    *,
    shard: str,
    dask: str | None,
) -> "CachedFeatures":
    """Compute the features of a shard into the cache, in Dask workers if an address is given."""
    from contextlib import ExitStack

    from nstk.distribution.dask_engine import DaskEngine
    from nstk.distribution.shards import Shard
    from nstk.finetuning.feature_pass import cache_features as run

    if data is None:
        raise SettingsError("DATA is missing; `shard` and `dask` need it.")
    chosen = Shard.parse(shard)
    with ExitStack() as stack:
        engine = stack.enter_context(DaskEngine(dask)) if dask else None
        return run(
            *(data, cache, settings),
            backbone=network,
            shard=chosen,
            engine=engine,
            on_progress=report,
        )
