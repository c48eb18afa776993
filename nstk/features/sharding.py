"""The feature pass, shared by several processes: each looks at its images, all know every row."""

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


def extract_together(
    observer: FeatureExtractor,
    paths: Sequence[Path],
    workers: Workers,
    *,
    cache: FeatureCache | None = None,
    on_progress: Reporter = no_progress,
) -> Features:
    """Do what `extract_features` does, each process for its share of the images.

    Args:
        observer: The network.
        paths: All files, the same in every process.
        workers: The processes.
        cache: See `extract_features`.
        on_progress: Told how many of this process's files are done, stage ``"features"``.
    """
    own = workers.share(paths)
    features = extract_features(observer, own, cache=cache, on_progress=on_progress)
    if workers.count == 1:
        return features
    features = replace(features, indices=features.indices * workers.count + workers.index)
    return _join([_unpack(each) for each in workers.all_gather(_pack(features))])


def _pack(features: Features) -> bytes:
    file = io.BytesIO()
    words = {
        "digests": features.digests,
        "skipped": [(str(each.path), each.reason) for each in features.skipped],
        "forward_passes": features.forward_passes,
    }
    np.savez(
        file,
        allow_pickle=False,
        indices=features.indices,
        hashes=np.array(features.hashes, np.uint64),
        words=np.array(json.dumps(words)),
        **{f"block {name}": rows for name, rows in features.blocks.items()},
    )
    return file.getvalue()


def _unpack(message: bytes) -> Features:
    with np.load(io.BytesIO(message), allow_pickle=False) as told:
        words = json.loads(str(told["words"]))
        return Features(
            indices=told["indices"],
            blocks={
                name.removeprefix("block "): told[name]
                for name in told.files
                if name.startswith("block ")
            },
            digests=tuple(words["digests"]),
            hashes=tuple(map(int, told["hashes"])),
            skipped=tuple(SkippedFile(Path(path), reason) for path, reason in words["skipped"]),
            forward_passes=words["forward_passes"],
        )


def _join(parts: Sequence[Features]) -> Features:
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
        digests=tuple(digests[place] for place in order),
        hashes=tuple(hashes[place] for place in order),
        skipped=tuple(file for part in parts for file in part.skipped),
        forward_passes=sum(part.forward_passes for part in parts),
    )
