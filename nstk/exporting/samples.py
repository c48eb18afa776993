"""Images for verification and calibration: real ones if there are any, else synthetic ones."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.run_records import find_record
from nstk.datasets.catalogs import Catalog, DataSettings
from nstk.datasets.folders import find_images
from nstk.datasets.sources import open_catalog
from nstk.errors import ImageError, NstkError
from nstk.images.decoding import read_content
from nstk.images.image import Levels
from nstk.images.loading import load_levels

Source = Literal["given", "recorded", "synthetic"]
"""Images given by the user, those of the run that made the classifier, or synthetic ones."""

_SYNTHETIC = 64
_SIDES = (40, 480)


@dataclass(frozen=True)
class SampleSet:
    """Images that are read when they are needed.

    Attributes:
        source: Where they come from.
        readers: One for each image; returns None if the file turns out to be unusable.
        catalog: Keeps the unpacked files of a zip alive.
    """

    source: Source
    readers: Sequence[Callable[[], Levels | None]]
    catalog: Catalog | None = field(default=None, repr=False)

    @property
    def is_usable(self) -> bool:
        """Whether one of the first hundred can be read."""
        first = SampleSet(self.source, self.readers[:100])
        return next(first.read(), None) is not None

    def read(self) -> Iterator[Levels]:
        """Read one image after the other, leaving out the unusable ones."""
        for reader in self.readers:
            if (pixels := reader()) is not None:
                yield pixels


def find_samples(images: str | Path | Iterable[str | Path] | None, seed: int) -> SampleSet:
    """Find images, in random order.

    Args:
        images: Files and folders, searched recursively; None for synthetic images.
        seed: Of the order, and of synthetic images.

    Raises:
        ImageError: If a path does not exist, or none of the first hundred files is an image.
    """
    generator = np.random.default_rng(seed)
    if images is None:
        seeds = generator.integers(2**31, size=_SYNTHETIC)
        return SampleSet("synthetic", [partial(synthesize_image, int(each)) for each in seeds])
    places = [Path(each) for each in ([images] if isinstance(images, str | Path) else images)]
    files = list(find_images(places)[0])
    generator.shuffle(files)
    samples = SampleSet("given", [partial(_read, file) for file in files])
    if not samples.is_usable:
        named = ", ".join(map(str, places)) or "nothing"
        raise ImageError(f"{named}: no readable image; give a folder of images.")
    return samples


def find_recorded(record: str | Path, classifier: Classifier, seed: int) -> SampleSet | None:
    """Find the images of the run that made a classifier, from the record beside it.

    Held-out images come first, as they say most, then training images. Files that have changed
    since are left out.

    Args:
        record: The ``.json`` file that ``nstk finetune`` wrote beside the classifier.
        classifier: The classifier of that run.
        seed: Of the order.

    Returns:
        None if there is no such record, or all of its images are gone.
    """
    card = find_record(record, classifier)
    if card is None or not isinstance(card["given"]["data"], str):
        return None
    try:
        pattern = card["settings"].get("label_pattern")
        catalog = open_catalog(card["given"]["data"], DataSettings(label_pattern=pattern))
    except NstkError:
        return None
    files = [*card["files"]]
    np.random.default_rng(seed).shuffle(files)
    files.sort(key=lambda file: file["split"] == "train")
    readers = [
        partial(_read_recorded, catalog.root / file["path"], file["sha256"]) for file in files
    ]
    samples = SampleSet("recorded", readers, catalog)
    return samples if samples.is_usable else None


def synthesize_image(seed: int) -> Levels:
    """An image of random size whose spectrum falls as 1/f, like that of photographs."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers(*_SIDES, size=2)
    rows = np.fft.fftfreq(height)[:, np.newaxis, np.newaxis]
    columns = np.fft.rfftfreq(width)[:, np.newaxis]
    noise = np.fft.rfft2(generator.normal(size=(height, width, 3)), axes=(0, 1))
    falling = noise / np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    waves = np.fft.irfft2(falling, s=(height, width), axes=(0, 1))
    mixed = waves @ generator.normal(size=(3, 3)) + generator.normal(size=3)
    centered = (mixed - mixed.mean()) / mixed.std()
    levels: Levels = np.clip(128 + 55 * centered, 0, 255).astype(np.uint8)
    return levels


def _read(path: Path) -> Levels | None:
    try:
        return load_levels(path)
    except ImageError:
        return None


def _read_recorded(path: Path, digest: str) -> Levels | None:
    try:
        content = read_content(path)
        unchanged = hashlib.sha256(content).hexdigest() == digest
        return load_levels(path, content=content) if unchanged else None
    except ImageError:
        return None
