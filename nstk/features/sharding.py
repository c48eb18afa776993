"""Feature extraction in several processes: each takes a shard, and all gather every row."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nstk.datasets.listing import SkippedFile
from nstk.features.cache import FeatureCache
from nstk.features.extractor import FeatureExtractor, Features, extract_features
from nstk.features.workers import Workers
from nstk.progress import Reporter, no_progress


def extract_features_sharded(
    extractor: FeatureExtractor,
    paths: Sequence[Path],
    workers: Workers,
    *,
    cache: FeatureCache | None = None,
    on_progress: Reporter = no_progress,
) -> Features:
    """Run `extract_features` in every process on its shard of the images, and gather the rows.

    Args:
        extractor: The network.
        paths: All files, the same in every process.
        workers: The processes.
        cache: See `extract_features`.
        on_progress: Receives the number of finished files of this process, stage ``"features"``.
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
        "skipped": [(str(each.path), each.reason) for each in features.skipped],
        "forward_passes": features.forward_passes,
    }
    np.savez(
        file,
        allow_pickle=False,
        indices=features.indices,
        hashes=np.array(features.hashes, np.uint64),
        facts=np.array(json.dumps(facts)),
        **{f"block {name}": rows for name, rows in features.blocks.items()},
    )
    return file.getvalue()


def _unpack(message: bytes) -> Features:
    with np.load(io.BytesIO(message), allow_pickle=False) as arrays:
        facts = json.loads(str(arrays["facts"]))
        return Features(
            indices=arrays["indices"],
            blocks={
                name.removeprefix("block "): arrays[name]
                for name in arrays.files
                if name.startswith("block ")
            },
            digests=tuple(facts["digests"]),
            hashes=tuple(map(int, arrays["hashes"])),
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
