"""Several processes that share a job: their shards of the data, and how they gather results."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.datasets.listing import SkippedFile
from nstk.features.cache import FeatureCache
from nstk.features.extractor import FeatureExtractor, Features, extract_features
from nstk.progress import Reporter, no_progress
from nstk.types import Strategy, Tensor

_WORD = 4


@dataclass(frozen=True, eq=False)
class Workers:
    """The processes of a ``tf.distribute`` strategy; without one, this process alone."""

    strategy: Strategy

    @cached_property
    def count(self) -> int:
        return sum(map(len, self._cluster.values())) or 1

    @cached_property
    def index(self) -> int:
        """Index of this process, from 0; the chief is first."""
        if self.count == 1:
            return 0
        resolver = self.strategy.cluster_resolver
        before = 0 if resolver.task_type == "chief" else len(self._cluster.get("chief", ()))
        return before + int(resolver.task_id)

    @property
    def replicas(self) -> int:
        """Replicas of the network in this process."""
        return max(1, int(self.strategy.num_replicas_in_sync) // self.count)

    def shard(self, items: Any) -> Any:
        """The items of a sequence, or rows of an array, of this process: every ``count``-th."""
        return items[self.index :: self.count]

    def all_gather(self, message: bytes) -> tuple[bytes, ...]:
        """The messages of all processes, in their order; every process must call it."""
        if self.count == 1:
            return (message,)
        padding = bytes(-len(message) % _WORD)
        words = np.frombuffer(message + padding, np.int32)
        sent = np.concatenate([np.array([len(message)], np.int32), words])
        empty = np.array([-1], np.int32)
        first = self.index * self.replicas

        def message_of(context: tf.distribute.experimental.ValueContext) -> Tensor:
            return tf.constant(sent if context.replica_id_in_sync_group == first else empty)

        values = self.strategy.experimental_distribute_values_from_function(message_of)
        return _split(self.strategy.gather(values, axis=0).numpy())

    def all_reduce_max(self, number: float) -> float:
        """The largest of the numbers of all processes; every process must call it."""
        messages = self.all_gather(np.float64(number).tobytes())
        return max(float(np.frombuffer(each, np.float64)[0]) for each in messages)

    def gather_rows(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The rows ``(n, k)`` of all processes, concatenated; every process must call it."""
        messages = self.all_gather(np.ascontiguousarray(rows).tobytes())
        return np.concatenate([np.frombuffer(each).reshape(-1, rows.shape[1]) for each in messages])

    @cached_property
    def _cluster(self) -> dict[str, list[str]]:
        resolver = getattr(self.strategy, "cluster_resolver", None)
        spec = resolver.cluster_spec().as_dict() if resolver else {}
        return {role: spec[role] for role in ("chief", "worker") if role in spec}


def _split(words: npt.NDArray[np.int32]) -> tuple[bytes, ...]:
    messages = []
    start = 0
    while start < len(words):
        length = int(words[start])
        start += 1
        if length >= 0:
            count = -(-length // _WORD)
            messages.append(words[start : start + count].tobytes()[:length])
            start += count
    return tuple(messages)


def extract_features_sharded(
    extractor: FeatureExtractor,
    paths: Sequence[Path],
    workers: Workers,
    *,
    cache: FeatureCache | None = None,
    on_progress: Reporter = no_progress,
) -> Features:
    """Run `extract_features` in every process on its shard of the images, and gather the rows.

    ``paths`` are all files, the same in every process; progress counts those of this process.
    """
    shard = workers.shard(paths)
    features = extract_features(extractor, shard, cache=cache, on_progress=on_progress)
    if workers.count == 1:
        return features
    features = replace(features, indices=features.indices * workers.count + workers.index)
    return _merge([_unpack(each) for each in workers.all_gather(_pack(features))])


def _pack(features: Features) -> bytes:
    file = io.BytesIO()
    facts = {
        "digests": features.digests,
        "hashes": features.hashes,
        "skipped": [(str(each.path), each.reason) for each in features.skipped],
        "forward_passes": features.forward_passes,
    }
    blocks: dict[str, Any] = {f"block {name}": rows for name, rows in features.blocks.items()}
    text = np.array(json.dumps(facts))
    np.savez(file, allow_pickle=False, indices=features.indices, facts=text, **blocks)
    return file.getvalue()


def _unpack(message: bytes) -> Features:
    with np.load(io.BytesIO(message), allow_pickle=False) as arrays:
        facts = json.loads(str(arrays["facts"]))
        names = [name for name in arrays.files if name.startswith("block ")]
        return Features(
            indices=arrays["indices"],
            blocks={name.removeprefix("block "): arrays[name] for name in names},
            digests=tuple(facts["digests"]),
            hashes=tuple(facts["hashes"]),
            skipped=tuple(SkippedFile(Path(path), reason) for path, reason in facts["skipped"]),
            forward_passes=facts["forward_passes"],
        )


def _merge(parts: Sequence[Features]) -> Features:
    indices = np.concatenate([part.indices for part in parts])
    order = np.argsort(indices)
    digests = [digest for part in parts for digest in part.digests]
    hashes = [hash for part in parts for hash in part.hashes]
    return Features(
        indices=indices[order],
        blocks={
            name: np.concatenate([part.blocks[name] for part in parts])[order]
            for name in parts[0].blocks
        },
        digests=tuple(digests[index] for index in order),
        hashes=tuple(hashes[index] for index in order),
        skipped=tuple(file for part in parts for file in part.skipped),
        forward_passes=sum(part.forward_passes for part in parts),
    )
