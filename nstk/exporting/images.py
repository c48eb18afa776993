"""Which images a proof is made with: real ones where there are some, drawn ones otherwise."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.run_records import find_record
from nstk.datasets.catalogs import Catalog
from nstk.datasets.folders import find_images
from nstk.datasets.sources import open_catalog
from nstk.errors import ImageError, NstkError
from nstk.images.decoding import read_content
from nstk.images.image import Levels, load_levels

Source = Literal["given", "recorded", "drawn"]
"""Whether images were named, are those of the run that made the classifier, or drawn."""

_DRAWN = 64
_SIDES = (40, 480)


@dataclass(frozen=True)
class SampleSet:
    """Images that are read when they are needed.

    Attributes:
        source: Where they come from.
        readers: One for each image; gives None where the file turns out to be unusable.
        catalog: What keeps the files of a zip where they are.
    """

    source: Source
    readers: Sequence[Callable[[], Levels | None]]
    catalog: Catalog | None = field(default=None, repr=False)

    @property
    def is_usable(self) -> bool:
        """Whether one of the first hundred is an image."""
        beginning = SampleSet(self.source, self.readers[:100])
        return next(beginning.read(), None) is not None

    def read(self) -> Iterator[Levels]:
        """Read one image after the other, leaving out what is unusable."""
        for reader in self.readers:
            if (pixels := reader()) is not None:
                yield pixels


def gather_images(images: str | Path | Iterable[str | Path] | None, seed: int) -> SampleSet:
    """Gather images in an order drawn at random.

    Args:
        images: Files and folders, searched to the bottom; None to draw some.
        seed: Of the order, and of what is drawn.

    Raises:
        ImageError: If a path does not exist, or none of the first hundred files is an image.
    """
    generator = np.random.default_rng(seed)
    if images is None:
        return SampleSet(
            "drawn", [partial(draw_image, int(s)) for s in generator.integers(2**31, size=_DRAWN)]
        )
    places = [Path(p) for p in ([images] if isinstance(images, str | Path) else images)]
    files = list(find_images(places)[0])
    generator.shuffle(files)
    album = SampleSet("given", [partial(_read, file) for file in files])
    if not album.is_usable:
        named = ", ".join(map(str, places)) or "nothing"
        raise ImageError(f"{named}: no image that can be read; give a folder of images.")
    return album


def gather_recorded(record: str | Path, classifier: Classifier, seed: int) -> SampleSet | None:
    """Gather the images of the run that made a classifier, by the record beside it.

    First those that it has not learned from, which tell most; then those that it has. What has
    changed since is left out.

    Args:
        record: What `nstk.save_manifest` wrote.
        classifier: Whose record it should be.
        seed: Of the order.

    Returns:
        None where there is no such record, or none of its images any more.
    """
    card = find_record(record, classifier)
    if card is None or not isinstance(card["given"]["data"], str):
        return None
    try:
        catalog = open_catalog(card["given"]["data"])
    except NstkError:
        return None
    files = [*card["files"]]
    np.random.default_rng(seed).shuffle(files)
    files.sort(key=lambda file: file["split"] == "train")
    readers = [
        partial(_read_recorded, catalog.root / file["path"], file["sha256"]) for file in files
    ]
    album = SampleSet("recorded", readers, catalog)
    return album if album.is_usable else None


def draw_image(seed: int) -> Levels:
    """Draw an image of random size whose spectrum falls like that of photographs, as 1/f.

    Args:
        seed: Of everything in it.
    """
    generator = np.random.default_rng(seed)
    height, width = generator.integers(*_SIDES, size=2)
    rows = np.fft.fftfreq(height)[:, np.newaxis, np.newaxis]
    columns = np.fft.rfftfreq(width)[:, np.newaxis]
    noise = np.fft.rfft2(generator.normal(size=(height, width, 3)), axes=(0, 1))
    falling = noise / np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    waves = np.fft.irfft2(falling, s=(height, width), axes=(0, 1))
    mixed = waves @ generator.normal(size=(3, 3)) + generator.normal(size=3)
    centered = (mixed - mixed.mean()) / mixed.std()
    drawn: Levels = np.clip(128 + 55 * centered, 0, 255).astype(np.uint8)
    return drawn


def _read(path: Path) -> Levels | None:
    try:
        return load_levels(path)
    except ImageError:
        return None


def _read_recorded(path: Path, digest: str) -> Levels | None:
    try:
        content = read_content(path)
        known = hashlib.sha256(content).hexdigest() == digest
        return load_levels(path, content=content) if known else None
    except ImageError:
        return None
