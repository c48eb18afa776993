"""Every image read once: digest, hash, thumbnail, quality and features."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.datasets.listing import SkippedFile
from nstk.errors import FolderError, ImageError, WeightsError
from nstk.features.cache import CacheShard, FeatureCache
from nstk.features.crops import CROPS, extract_crops, needed_side
from nstk.features.extractor import BATCH_SIZE, FeatureExtractor
from nstk.features.networks import POOLED
from nstk.features.prefetching import prefetch
from nstk.images.decoding import Header, identify
from nstk.images.hashes import image_hash
from nstk.images.image import Image
from nstk.images.loading import load_image
from nstk.images.quality import ImageQuality, measure_image
from nstk.progress import Progress, Reporter, no_progress
from nstk.storage.files import digest_file
from nstk.types import Array, FeatureVectors

_THUMBNAIL = (32, 32)


@dataclass(frozen=True, eq=False)
class AuditedImage:
    """What an audit keeps of an image; ``several`` if its file holds more than this one."""

    path: Path
    format: str
    several: bool
    digest: str
    hash: int
    thumbnail: npt.NDArray[np.uint8]
    quality: ImageQuality


def read_images(
    paths: Sequence[Path],
    extractor: FeatureExtractor,
    cache: FeatureCache | None = None,
    *,
    on_progress: Reporter = no_progress,
) -> tuple[list[AuditedImage], FeatureVectors, list[SkippedFile]]:
    """The images, their features ``(n, D)``, and the unreadable files.

    Every image is decoded once, unless the cache of earlier runs knows everything about it. The
    memory used does not depend on the sizes of images.
    """
    backbone = extractor.backbone
    known = _Cache(extractor, cache or FeatureCache())
    images: list[AuditedImage] = []
    vectors: list[FeatureVectors] = [np.empty((0, backbone.embed.output_shape[-1]), np.float32)]
    skipped: list[SkippedFile] = []
    on_progress(Progress(stage="images", step=0, total=len(paths)))
    outcomes = prefetch(paths, partial(_read, known), ahead=2 * BATCH_SIZE)
    done = 0
    while batch := list(islice(outcomes, BATCH_SIZE)):
        skipped += [each for each in batch if isinstance(each, SkippedFile)]
        read = [each for each in batch if not isinstance(each, SkippedFile)]
        if read:
            images += [image for image, _ in read]
            vectors.append(_extract(read, extractor, known.vectors))
        done += len(batch)
        on_progress(Progress(stage="images", step=done, total=len(paths)))
    known.cache.close()
    features = np.concatenate(vectors)
    if not np.isfinite(features).all():
        raise WeightsError(
            f"the outputs of '{backbone.name}' are not finite; its weights ({backbone.source}) "
            "are damaged: use others."
        )
    return images, features, skipped


class _Cache:
    """What the cache knows about images, by digest."""

    def __init__(self, extractor: FeatureExtractor, cache: FeatureCache) -> None:
        self.cache = cache
        self.extractor = extractor
        self.vectors = cache.shard(extractor.recipe(POOLED, CROPS[0]))
        self._facts = {
            "hash": cache.shard(extractor.pixel_recipe("image_hash")),
            "thumbnail": cache.shard({**extractor.pixel_recipe("thumbnail"), "size": _THUMBNAIL}),
            "quality": cache.shard(extractor.pixel_recipe("quality")),
        }

    def find(self, digest: str) -> dict[str, Array] | None:
        """Everything but the features, or None if anything is missing."""
        rows = {name: shard.find(digest) for name, shard in self._facts.items()}
        known = {name: row for name, row in rows.items() if row is not None}
        return known if len(known) == len(rows) else None

    def add(self, digest: str, facts: Mapping[str, Array]) -> None:
        for name, shard in self._facts.items():
            if shard.find(digest) is None:
                shard.add(digest, facts[name])


def _extract(
    read: Sequence[tuple[AuditedImage, Array]], extractor: FeatureExtractor, shard: CacheShard
) -> FeatureVectors:
    """Features of images; each row is either the features already, or the crop."""
    rows = [row for _, row in read]
    missing = [index for index, row in enumerate(rows) if row.ndim > 1]
    if missing:
        vectors = extractor.extract(np.stack([rows[index] for index in missing]))[POOLED]
        for index, row in zip(missing, vectors, strict=True):
            rows[index] = row
            shard.add(read[index][0].digest, row)
    return np.stack(rows)


def _read(known: _Cache, path: Path) -> tuple[AuditedImage, Array] | SkippedFile:
    """An image, and its features or the crop to compute them from."""
    before = _stat(path)
    try:
        if not path.is_file():
            load_image(path)  # raises an error that says what is there instead
        digest = digest_file(path)
        facts, row = known.find(digest), known.vectors.find(digest)
        header = identify(path)
        if facts is None or row is None:
            size = known.extractor.size
            pixels = known.extractor.reader.load_image(path, needed_side(size)).pixels
            facts = _measure(pixels, header)
            if row is None:
                [row] = extract_crops(pixels, size, CROPS[:1])
    except ImageError as error:
        if _stat(path) == before:
            return SkippedFile(path, error.message_for(path))
        raise _changed(path) from error
    except OSError as error:
        if _stat(path) == before:
            return SkippedFile(path, f"cannot be read ({error.strerror})")
        raise _changed(path) from error
    if _stat(path) != before:
        raise _changed(path)
    known.add(digest, facts)
    height, width, *measures = facts["quality"].tolist()
    image = AuditedImage(
        path=path,
        format=header.format,
        several=header.several,
        digest=digest,
        hash=int(facts["hash"][0]),
        thumbnail=facts["thumbnail"],
        quality=ImageQuality(int(height), int(width), *measures),
    )
    return image, row


def _measure(pixels: Image, header: Header) -> dict[str, Array]:
    """What is known of an image, of which a fraction of the size may have been decoded."""
    quality = measure_image(pixels)
    height, width = sorted((header.height, header.width), reverse=quality.height > quality.width)
    image = PILImage.fromarray(np.uint8(np.rint(pixels * 255)))
    thumbnail = image.resize(_THUMBNAIL, PILImage.Resampling.BILINEAR)
    return {
        "hash": np.array([image_hash(pixels)], np.uint64),
        "thumbnail": np.asarray(thumbnail),
        "quality": np.array(astuple(replace(quality, height=height, width=width))),
    }


def _stat(path: Path) -> tuple[int, ...] | None:
    """A value that changes when a file does; None if the file is missing."""
    try:
        status = os.stat(path)
    except OSError:
        # A dangling link is a file that cannot be read, not one that has disappeared.
        return (0,) if os.path.lexists(path) else None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _changed(path: Path) -> FolderError:
    return FolderError(
        f"{path} changed while it was read; do not change the images during an audit, and run it "
        "again."
    )
