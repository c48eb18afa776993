"""Features: a few rows of numbers for each image from the frozen network, computed once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.datasets.listing import SkippedFile
from nstk.distribution.shards import WHOLE, Shard
from nstk.errors import ImageError
from nstk.features.cache import CacheShard, FeatureCache
from nstk.features.crops import CROPS, Crop, CropArray, crop_levels, needed_side
from nstk.features.executors import NetworkExecutor, depends_on_rows
from nstk.features.networks import BLOCKS, build_feature_network
from nstk.features.prefetching import prefetch
from nstk.images.hashes import image_hash
from nstk.images.loading import DEFAULT_READER, ImageReader, load_levels
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import ExecutorName
from nstk.storage.files import digest_file
from nstk.types import FeatureVectors, Json, KerasModel

BATCH_SIZE = 32
"""Images that pass through a network together."""


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """A frozen network at one size, with the features that are taken from it.

    ``size`` is the side of the crops in pixels; ``blocks`` are those of `build_feature_network`;
    by the number of ``images`` the executor ``"auto"`` chooses.
    """

    backbone: Backbone
    size: int
    blocks: tuple[str, ...] = BLOCKS["pooled"]
    crops: tuple[Crop, ...] = CROPS[:1]
    executor: ExecutorName = "tensorflow"
    images: int = 0
    reader: ImageReader = DEFAULT_READER

    @cached_property
    def network(self) -> KerasModel:
        """A model from crops ``(N, size, size, 3)`` to ``{block: (N, D)}``."""
        return build_feature_network(self.backbone, self.size, self.blocks)

    @cached_property
    def chosen_executor(self) -> str:
        """What runs the network: ``"tensorflow"`` or ``"litert"``."""
        return self._executors.choose(self.executor, self.images * len(self.crops))

    def extract(self, crops: CropArray) -> dict[str, FeatureVectors]:
        """Pass crops ``(N, size, size, 3)`` through the network: ``{block: (N, D)}``."""
        rows = self._executors.run(self.chosen_executor)(crops)
        # Keras flattens dictionaries in the order of their keys.
        return dict(zip(keras.tree.flatten({b: b for b in self.blocks}), rows, strict=True))

    def recipe(self, block: str, crop: Crop) -> dict[str, Json]:
        """Everything that a row of a block depends on apart from the image."""
        return {
            "backbone": self.backbone.digest,
            "name": self.backbone.name,
            "size": self.size,
            "block": block,
            "view": [crop.row, crop.column, crop.zoomed, crop.flipped],
            "executor": self.chosen_executor,
            **self.reader.recipe(),
        }

    def pixel_recipe(self, block: str) -> dict[str, Json]:
        """The same for a row that depends on the pixels alone, such as a hash."""
        return {"block": block, "side": needed_side(self.size), **self.reader.recipe()}

    @cached_property
    def _executors(self) -> NetworkExecutor:
        return NetworkExecutor(self.network)


@dataclass(frozen=True, eq=False)
class Features:
    """The features of all readable images, in ascending order of their indices among the paths.

    Blocks are ``(n, crops, D)``. Digests are SHA-256 of the files, hashes from `image_hash`.
    ``forward_passes`` counts the crops that passed through the network; cached ones did not.
    """

    indices: npt.NDArray[np.int64]
    blocks: dict[str, FeatureVectors]
    digests: tuple[str, ...]
    hashes: tuple[int, ...]
    skipped: tuple[SkippedFile, ...]
    forward_passes: int

    def vectors(self, features: str) -> FeatureVectors:
        """Mean over the crops of a choice of features or of a single block, ``(n, D)``."""
        wanted = BLOCKS.get(features, (features,))
        rows = np.concatenate([self.blocks[block] for block in wanted], axis=2)
        mean: FeatureVectors = rows.mean(axis=1)
        return mean


def extract_features(
    extractor: FeatureExtractor,
    paths: Sequence[Path],
    *,
    cache: FeatureCache | None = None,
    shard: Shard = WHOLE,
    on_progress: Reporter = no_progress,
) -> Features:
    """Compute the features of all images of a shard that are not in the cache.

    Threads read and decode ahead while the network works. Only the rows stay in memory: 4 bytes
    for each value of each block and crop. Progress has the stage ``"features"``.
    """
    store = FeatureStore(extractor, cache or FeatureCache(), shard)
    on_progress(Progress(stage="features", step=0, total=len(paths)))
    extracted: dict[int, _ExtractedRow] = {}
    skipped: list[SkippedFile] = []
    batches = _Batches(store, len(paths) * len(extractor.crops))
    rows = prefetch(paths, store.load, ahead=max(2, 2 * BATCH_SIZE // len(extractor.crops)))
    for index, row in enumerate(rows):
        if isinstance(row, SkippedFile):
            skipped.append(row)
        elif row is not None:
            extracted[index] = row
            batches.add(index * len(extractor.crops), row)
        if index + 1 == len(paths) or index % BATCH_SIZE == BATCH_SIZE - 1:
            on_progress(Progress(stage="features", step=index + 1, total=len(paths)))
    batches.compute()
    store.cache.close()
    return Features(
        indices=np.array(list(extracted), np.int64),
        blocks=store.stack(extracted.values()),
        digests=tuple(row.digest for row in extracted.values()),
        hashes=tuple(row.hash for row in extracted.values()),
        skipped=tuple(skipped),
        forward_passes=batches.passes,
    )


@dataclass(eq=False)
class _ExtractedRow:
    """One image: its rows by block and crop, and the crops that the network has yet to see."""

    digest: str
    hash: int
    rows: dict[tuple[str, int], FeatureVectors]
    crops: dict[int, CropArray] = field(default_factory=dict)


_CropOfRow = tuple[_ExtractedRow, int, CropArray]
"""An image, the number of one of its crops, and the crop."""


class _Batches:
    """Crops on their way through the network, each at the place it has in a run over all images.

    What TensorFlow computes for a crop on a processor may depend in the last bit on the size of its
    batch and on its row there, but not on the other crops: where crops are cached or in another
    shard, rows stay zero. LiteRT computes each by itself.
    """

    def __init__(self, store: "FeatureStore", total: int) -> None:
        self.store, self.total, self.passes = store, total, 0
        self._keeps_rows = depends_on_rows(store.extractor.chosen_executor)
        self._pending: dict[int, _CropOfRow] = {}
        self._number = 0

    def add(self, place: int, row: _ExtractedRow) -> None:
        """Add the missing crops of an image, whose first crop has this place among all."""
        for number, crop in row.crops.items():
            batch, in_batch = divmod(place + number, BATCH_SIZE)
            if self._keeps_rows and batch != self._number:
                self.compute()
            self._number = batch
            free = in_batch if self._keeps_rows else len(self._pending)
            self._pending[free] = row, number, crop
            if len(self._pending) == BATCH_SIZE:
                self.compute()
        row.crops.clear()

    def compute(self) -> None:
        """Pass what is pending through the network."""
        size = min(BATCH_SIZE, self.total - self._number * BATCH_SIZE)
        if self._pending:
            self.store.compute(self._pending, size if self._keeps_rows else len(self._pending))
        self.passes += len(self._pending)
        self._pending.clear()


class FeatureStore:
    """The cache shards of an extractor, and the way from a file to its rows."""

    def __init__(self, extractor: FeatureExtractor, cache: FeatureCache, shard: Shard) -> None:
        self.extractor, self.shard = extractor, shard
        self.cache = cache
        self._hashes = cache.shard(extractor.pixel_recipe("image_hash"))
        self._shards: dict[tuple[str, int], CacheShard] = {
            (block, number): cache.shard(extractor.recipe(block, crop))
            for block in extractor.blocks
            for number, crop in enumerate(extractor.crops)
        }

    def load(self, path: Path) -> _ExtractedRow | SkippedFile | None:
        """Load the rows of one file from the cache, or its crops where rows are missing.

        None if the file belongs to another shard.
        """
        try:
            if not path.is_file():
                load_levels(path)  # raises the error that says what it is
            before = path.stat()
            digest = digest_file(path)
            if not self.shard.holds(digest):
                return None
            rows = {key: shard.find(digest) for key, shard in self._shards.items()}
            known = {key: row for key, row in rows.items() if row is not None}
            hashed = self._hashes.find(digest)
            missing = sorted({number for (_, number), row in rows.items() if row is None})
            extracted = _ExtractedRow(digest, 0 if hashed is None else int(hashed[0]), known)
            if missing or hashed is None:
                self._read(extracted, path, missing)
            after = path.stat()
        except ImageError as error:
            return SkippedFile(path, error.message_for(path))
        except OSError as error:
            return SkippedFile(path, f"cannot be read ({error.strerror})")
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return SkippedFile(path, "changed while it was read")
        if hashed is None:
            self._hashes.add(digest, np.array([extracted.hash], np.uint64))
        return extracted

    def compute(self, batch: Mapping[int, _CropOfRow], size: int) -> None:
        """Pass crops, by row in a batch of this size, through the network; store the features."""
        crops = np.zeros((size, *next(iter(batch.values()))[2].shape), np.float32)
        for place, (_, _, crop) in batch.items():
            crops[place] = crop
        for block, rows in self.extractor.extract(crops).items():
            for (extracted, number, _), row in zip(batch.values(), rows[[*batch]], strict=True):
                extracted.rows[block, number] = row
                self._shards[block, number].add(extracted.digest, row)

    def knows(self, path: Path) -> bool:
        """Whether the cache has all rows of a file, or the file belongs to another shard."""
        try:
            digest = digest_file(path)
        except OSError:
            return True  # the one who reads it says why it cannot be read
        shards = (self._hashes, *self._shards.values())
        return not self.shard.holds(digest) or all(each.find(digest) is not None for each in shards)

    def add(self, features: "Features") -> None:
        """Store the rows of features that were computed elsewhere."""
        for row, (digest, hash) in enumerate(zip(features.digests, features.hashes, strict=True)):
            self._hashes.add(digest, np.array([hash], np.uint64))
            for (block, number), shard in self._shards.items():
                shard.add(digest, features.blocks[block][row, number])

    def stack(self, extracted: Collection[_ExtractedRow]) -> dict[str, FeatureVectors]:
        """Stack the rows of all images, ``(n, crops, D)`` for each block."""
        numbers = range(len(self.extractor.crops))
        return {
            block: np.stack(
                [np.stack([each.rows[block, number] for number in numbers]) for each in extracted]
            )
            if extracted
            else np.empty((0, len(numbers), self._width(block)), np.float32)
            for block in self.extractor.blocks
        }

    def _read(self, extracted: _ExtractedRow, path: Path, missing: Sequence[int]) -> None:
        levels = self.extractor.reader.load_levels(path, needed_side(self.extractor.size))
        extracted.hash = image_hash(levels)
        crops = tuple(self.extractor.crops[number] for number in missing)
        if crops:
            arrays = crop_levels(levels, self.extractor.size, crops)
            extracted.crops = dict(zip(missing, arrays, strict=True))

    def _width(self, block: str) -> int:
        return int(self.extractor.network.output[block].shape[-1])
