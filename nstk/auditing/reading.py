"""Every image read once: its digest, its hash, its quality and what the network sees in it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from nstk.datasets.listing import SkippedFile
from nstk.errors import FolderError, ImageError, WeightsError
from nstk.features.cache import CacheShard, FeatureCache, Row
from nstk.features.crops import VIEWS, crop_views
from nstk.features.extractor import HASH_RECIPE, FeatureExtractor
from nstk.features.networks import POOLED
from nstk.features.prefetching import BATCH, read_ahead
from nstk.images.decoding import Header, identify
from nstk.images.hashes import image_hash
from nstk.images.image import Image, load_image
from nstk.images.quality import ImageQuality, measure_image
from nstk.progress import Progress, Reporter, no_progress
from nstk.storage.files import digest_file

_THUMBNAIL = (32, 32)

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AuditedImage:
    """What one image is, without its pixels.

    Attributes:
        path: The file.
        format: By content: ``"JPEG"``, ``"PNG"``, ….
        several: Whether the file holds more images than this one.
        digest: SHA-256 of the file.
        hash: What `image_hash` gives.
        thumbnail: The whole image on a small square, uint8 ``(32, 32, 3)``.
        quality: What was measured.
    """

    path: Path
    format: str
    several: bool
    digest: str
    hash: int
    thumbnail: npt.NDArray[np.uint8]
    quality: ImageQuality


def read_images(
    paths: Sequence[Path],
    observer: FeatureExtractor,
    cache: FeatureCache | None = None,
    *,
    on_progress: Reporter = no_progress,
) -> tuple[list[AuditedImage], Vectors, list[SkippedFile]]:
    """Decode every image once; what is kept of it does not depend on its size.

    Args:
        paths: The files.
        observer: The network that looks, at its size.
        cache: What earlier runs kept of images, `nstk.finetune` among them; an image of which
            all is known is not decoded again. None keeps nothing.
        on_progress: Told after each batch, stage ``"images"``.

    Returns:
        What was seen, in order; the vectors of the same images, ``(n, D)``; and the files that
        cannot be read.

    Raises:
        FolderError: If a file goes or changes while it is read.
        WeightsError: If the network answers with what is no number.
    """
    backbone = observer.backbone
    shelves = _Shelves(observer, cache or FeatureCache())
    width = backbone.embed.output_shape[-1]
    sights: list[AuditedImage] = []
    vectors: list[Vectors] = [np.empty((0, width), np.float32)]
    skipped: list[SkippedFile] = []
    on_progress(Progress(stage="images", step=0, total=len(paths)))
    outcomes = read_ahead(paths, partial(_read, shelves), ahead=2 * BATCH)
    done = 0
    while batch := list(islice(outcomes, BATCH)):
        skipped += [each for each in batch if isinstance(each, SkippedFile)]
        read = [each for each in batch if not isinstance(each, SkippedFile)]
        if read:
            sights += [sight for sight, _ in read]
            vectors.append(_look(read, observer, shelves.vectors))
        done += len(batch)
        on_progress(Progress(stage="images", step=done, total=len(paths)))
    shelves.cache.close()
    seen = np.concatenate(vectors)
    if not np.isfinite(seen).all():
        raise WeightsError(
            f"'{backbone.name}' answers with infinite or undefined numbers; "
            f"its weights ({backbone.source}) are damaged, use others."
        )
    return sights, seen, skipped


class _Shelves:
    """What the cache knows of an image by its content."""

    def __init__(self, observer: FeatureExtractor, cache: FeatureCache) -> None:
        self.cache = cache
        self.size = observer.size
        self.vectors = cache.shelf(observer.recipe(POOLED, VIEWS[0]))
        self._facts = {
            "hash": cache.shelf(HASH_RECIPE),
            "thumbnail": cache.shelf({"block": "thumbnail", "size": _THUMBNAIL}),
            "quality": cache.shelf({"block": "quality"}),
        }

    def recall(self, digest: str) -> dict[str, Row] | None:
        """Everything but the vector, or None where anything is missing."""
        found = {name: shelf.find(digest) for name, shelf in self._facts.items()}
        known = {name: row for name, row in found.items() if row is not None}
        return known if len(known) == len(found) else None

    def keep(self, digest: str, facts: Mapping[str, Row]) -> None:
        """Keep what is new of it."""
        for name, shelf in self._facts.items():
            if shelf.find(digest) is None:
                shelf.add(digest, facts[name])


def _look(
    read: Sequence[tuple[AuditedImage, Row]], observer: FeatureExtractor, shelf: CacheShard
) -> Vectors:
    """Give the vectors of images, of which either these or the squares are known."""
    rows = [row for _, row in read]
    unseen = [place for place, row in enumerate(rows) if row.ndim > 1]
    if unseen:
        described = observer.describe(np.stack([rows[place] for place in unseen]))[POOLED]
        for place, row in zip(unseen, described, strict=True):
            rows[place] = row
            shelf.add(read[place][0].digest, row)
    return np.stack(rows)


def _read(shelves: _Shelves, path: Path) -> tuple[AuditedImage, Row] | SkippedFile:
    """What there is to know about an image, and its vector, or its square for the network."""
    before = _state(path)
    try:
        if not path.is_file():
            load_image(path)  # which says what is there instead
        digest = digest_file(path)
        facts, row = shelves.recall(digest), shelves.vectors.find(digest)
        if facts is None or row is None:
            pixels = load_image(path).pixels
            facts = _measure(pixels)
            if row is None:
                [row] = crop_views(pixels, shelves.size, VIEWS[:1])
        sight = _describe(path, identify(path), digest, facts)
    except ImageError as error:
        if _state(path) == before:
            return SkippedFile(path, error.message_for(path))
        raise _changed(path) from error
    except OSError as error:
        if _state(path) == before:
            return SkippedFile(path, f"cannot be read ({error.strerror})")
        raise _changed(path) from error
    if _state(path) != before:
        raise _changed(path)
    shelves.keep(digest, facts)
    return sight, row


def _measure(pixels: Image) -> dict[str, Row]:
    return {
        "hash": np.array([image_hash(pixels)], np.uint64),
        "thumbnail": _shrink(pixels),
        "quality": np.array(astuple(measure_image(pixels))),
    }


def _describe(path: Path, header: Header, digest: str, facts: Mapping[str, Row]) -> AuditedImage:
    height, width, *measures = facts["quality"].tolist()
    quality = ImageQuality(int(height), int(width), *measures)
    return AuditedImage(
        path=path,
        format=header.format,
        several=header.several,
        digest=digest,
        hash=int(facts["hash"][0]),
        thumbnail=facts["thumbnail"],
        quality=quality,
    )


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None where there is nothing at all."""
    try:
        status = os.stat(path)
    except OSError:
        # A link to nothing is a file that cannot be read, not one that has gone.
        return (0,) if os.path.lexists(path) else None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _changed(path: Path) -> FolderError:
    return FolderError(
        f"{path} changed while it was read; leave the images alone while they are audited, "
        "and start again."
    )


def _shrink(pixels: Image) -> npt.NDArray[np.uint8]:
    image = PILImage.fromarray(np.uint8(np.rint(pixels * 255)))
    return np.asarray(image.resize(_THUMBNAIL, PILImage.Resampling.BILINEAR))
