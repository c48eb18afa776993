"""What the frozen network sees in every image: a few rows of numbers, computed once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.datasets.listing import SkippedFile
from nstk.errors import ImageError
from nstk.features.cache import CacheShard, FeatureCache
from nstk.features.crops import VIEWS, Squares, View, cut_views
from nstk.features.networks import BLOCKS, build_describer
from nstk.features.prefetching import BATCH, read_ahead
from nstk.images.hashes import image_hash
from nstk.images.image import load_levels
from nstk.progress import Progress, Reporter, no_progress
from nstk.storage.files import digest_file

Vectors = npt.NDArray[np.float32]

HASH_RECIPE = {"block": "image_hash"}
"""What the hash of an image depends on in the cache."""


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """A frozen network at one size, and what is kept of its answers.

    Attributes:
        backbone: The network.
        size: Side in pixels of the squares it sees.
        blocks: The blocks of features; see `nstk.features.networks.build_describer`.
        views: The views of every image.
    """

    backbone: Backbone
    size: int
    blocks: tuple[str, ...] = BLOCKS["pooled"]
    views: tuple[View, ...] = VIEWS[:1]

    @cached_property
    def network(self) -> Any:
        """Squares ``(N, size, size, 3)`` to ``{block: (N, D)}``."""
        return build_describer(self.backbone, self.size, self.blocks)

    @cached_property
    def describe(self) -> Callable[[Squares], dict[str, Vectors]]:
        """The network, compiled."""
        compiled = tf.function(
            lambda squares: self.network(squares, training=False),
            input_signature=[tf.TensorSpec((None, self.size, self.size, 3), tf.float32)],
            autograph=False,
        ).get_concrete_function()
        return lambda squares: {
            block: rows.numpy() for block, rows in compiled(tf.constant(squares)).items()
        }

    def recipe(self, block: str, view: View) -> dict[str, Any]:
        """What a row of a block depends on apart from the image."""
        return {
            "backbone": self.backbone.digest,
            "name": self.backbone.name,
            "size": self.size,
            "block": block,
            "view": [view.row, view.column, view.closer, view.flipped],
        }


@dataclass(frozen=True, eq=False)
class Features:
    """The rows of those images that could be read.

    Attributes:
        indices: Which of the paths they belong to, int64 ``(n,)``, ascending.
        blocks: For each block float32 ``(n, views, D)``.
        digests: SHA-256 of the files.
        hashes: What `nstk.images.hashes.image_hash` says of the images.
        skipped: The files that could not be read, and why.
        forward_passes: How many squares went through the network; what the cache had did not.
    """

    indices: npt.NDArray[np.int64]
    blocks: dict[str, Vectors]
    digests: tuple[str, ...]
    hashes: tuple[int, ...]
    skipped: tuple[SkippedFile, ...]
    forward_passes: int

    def vectors(self, features: str) -> Vectors:
        """The mean over the views of one choice of features or one block, ``(n, D)``."""
        wanted = BLOCKS.get(features, (features,))
        rows = np.concatenate([self.blocks[block] for block in wanted], axis=2)
        mean: Vectors = rows.mean(axis=1)
        return mean


def extract_features(
    observer: FeatureExtractor,
    paths: Sequence[Path],
    *,
    cache: FeatureCache | None = None,
    on_progress: Reporter = no_progress,
) -> Features:
    """Look at every image that the cache does not know, once in each view.

    Threads read and decode ahead while the network works; memory grows by the rows alone: 4 bytes
    for each number of each block and view.

    Args:
        observer: The network.
        paths: The files.
        cache: Where rows are kept from one run to the next; None keeps none.
        on_progress: Told how many files are done, stage ``"features"``.
    """
    library = _FeatureStore(observer, cache or FeatureCache())
    on_progress(Progress(stage="features", step=0, total=len(paths)))
    seen: dict[int, _ExtractedRow] = {}
    skipped: list[SkippedFile] = []
    waiting: list[tuple[_ExtractedRow, int, Squares]] = []
    passes = 0
    sights = read_ahead(paths, library.look_up, ahead=max(2, 2 * BATCH // len(observer.views)))
    for index, sight in enumerate(sights):
        if isinstance(sight, SkippedFile):
            skipped.append(sight)
        else:
            seen[index] = sight
            waiting += [(sight, view, square) for view, square in sight.squares.items()]
            sight.squares.clear()
        done = index + 1 == len(paths)
        while len(waiting) >= BATCH or (waiting and done):
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            library.describe(batch)
            passes += len(batch)
        if done or index % BATCH == BATCH - 1:
            on_progress(Progress(stage="features", step=index + 1, total=len(paths)))
    library.cache.close()
    return Features(
        indices=np.array(list(seen), np.int64),
        blocks=library.collect(seen.values()),
        digests=tuple(sight.digest for sight in seen.values()),
        hashes=tuple(sight.hash for sight in seen.values()),
        skipped=tuple(skipped),
        forward_passes=passes,
    )


@dataclass(eq=False)
class _ExtractedRow:
    """What is known of one image: rows by block and view, squares of the views still to see."""

    digest: str
    hash: int
    rows: dict[tuple[str, int], Vectors]
    squares: dict[int, Squares] = field(default_factory=dict)


class _FeatureStore:
    """The shelves of an observer, and the way from a file to its rows."""

    def __init__(self, observer: FeatureExtractor, cache: FeatureCache) -> None:
        self.observer = observer
        self.cache = cache
        self._hashes = cache.shelf(HASH_RECIPE)
        self._shelves: dict[tuple[str, int], CacheShard] = {
            (block, number): cache.shelf(observer.recipe(block, view))
            for block in observer.blocks
            for number, view in enumerate(observer.views)
        }

    def look_up(self, path: Path) -> _ExtractedRow | SkippedFile:
        """Read one file: its rows from the cache, or its squares where there are none."""
        try:
            if not path.is_file():
                load_levels(path)  # which says what is there instead
            before = path.stat()
            digest = digest_file(path)
            rows = {place: shelf.find(digest) for place, shelf in self._shelves.items()}
            known = {place: row for place, row in rows.items() if row is not None}
            hashed = self._hashes.find(digest)
            missing = sorted({view for (_, view), row in rows.items() if row is None})
            sight = _ExtractedRow(digest, 0 if hashed is None else int(hashed[0]), known)
            if missing or hashed is None:
                self._see(sight, path, missing)
            after = path.stat()
        except ImageError as error:
            return SkippedFile(path, error.message_for(path))
        except OSError as error:
            return SkippedFile(path, f"cannot be read ({error.strerror})")
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return SkippedFile(path, "changed while it was read")
        if hashed is None:
            self._hashes.add(digest, np.array([sight.hash], np.uint64))
        return sight

    def describe(self, batch: Sequence[tuple[_ExtractedRow, int, Squares]]) -> None:
        """Pass squares through the network, and keep the rows."""
        described = self.observer.describe(np.stack([square for _, _, square in batch]))
        for block, rows in described.items():
            for (sight, view, _), row in zip(batch, rows, strict=True):
                sight.rows[block, view] = row
                self._shelves[block, view].add(sight.digest, row)

    def collect(self, sights: Sequence[_ExtractedRow] | Any) -> dict[str, Vectors]:
        """Stack the rows of all images, ``(n, views, D)`` for each block."""
        views = range(len(self.observer.views))
        return {
            block: np.stack(list(_rows(sights, block, views)))
            if sights
            else np.empty((0, len(views), self._width(block)), np.float32)
            for block in self.observer.blocks
        }

    def _see(self, sight: _ExtractedRow, path: Path, missing: Sequence[int]) -> None:
        levels = load_levels(path)
        sight.hash = image_hash(levels)
        views = tuple(self.observer.views[number] for number in missing)
        if views:
            squares = cut_views(levels, self.observer.size, views)
            sight.squares = dict(zip(missing, squares, strict=True))

    def _width(self, block: str) -> int:
        return int(self.observer.network.output[block].shape[-1])


def _rows(sights: Sequence[_ExtractedRow], block: str, views: Sequence[int]) -> Iterator[Vectors]:
    for sight in sights:
        yield np.stack([sight.rows[block, view] for view in views])
