"""Which pictures a proof is made with: real ones where there are some, drawn ones otherwise."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.run_records import find_record
from nstk.datasets.catalogs import Catalogue
from nstk.datasets.folders import find_pictures
from nstk.datasets.sources import open_catalogue
from nstk.errors import NstkError, PictureError
from nstk.images.decoding import read_content
from nstk.images.image import Levels, load_levels

Source = Literal["given", "recorded", "drawn"]
"""Whether pictures were named, are those of the run that made the classifier, or drawn."""

_DRAWN = 64
_SIDES = (40, 480)


@dataclass(frozen=True)
class Album:
    """Pictures that are read when they are needed.

    Attributes:
        source: Where they come from.
        readers: One for each picture; gives None where the file turns out to be unusable.
        catalogue: What keeps the files of a zip where they are.
    """

    source: Source
    readers: Sequence[Callable[[], Levels | None]]
    catalogue: Catalogue | None = field(default=None, repr=False)

    @property
    def is_usable(self) -> bool:
        """Whether one of the first hundred is a picture."""
        beginning = Album(self.source, self.readers[:100])
        return next(beginning.read(), None) is not None

    def read(self) -> Iterator[Levels]:
        """Read one picture after the other, leaving out what is unusable."""
        for reader in self.readers:
            if (pixels := reader()) is not None:
                yield pixels


def gather_pictures(pictures: str | Path | Iterable[str | Path] | None, seed: int) -> Album:
    """Gather pictures in an order drawn at random.

    Args:
        pictures: Files and folders, searched to the bottom; None to draw some.
        seed: Of the order, and of what is drawn.

    Raises:
        PictureError: If a path does not exist, or none of the first hundred files is a picture.
    """
    generator = np.random.default_rng(seed)
    if pictures is None:
        return Album(
            "drawn", [partial(draw_picture, int(s)) for s in generator.integers(2**31, size=_DRAWN)]
        )
    places = [Path(p) for p in ([pictures] if isinstance(pictures, str | Path) else pictures)]
    files = list(find_pictures(places)[0])
    generator.shuffle(files)
    album = Album("given", [partial(_read, file) for file in files])
    if not album.is_usable:
        named = ", ".join(map(str, places)) or "nothing"
        raise PictureError(f"{named}: no picture that can be read; give a folder of pictures.")
    return album


def gather_recorded(record: str | Path, classifier: Classifier, seed: int) -> Album | None:
    """Gather the pictures of the run that made a classifier, by the record beside it.

    First those that it has not learned from, which tell most; then those that it has. What has
    changed since is left out.

    Args:
        record: What `nstk.save_manifest` wrote.
        classifier: Whose record it should be.
        seed: Of the order.

    Returns:
        None where there is no such record, or none of its pictures any more.
    """
    card = find_record(record, classifier)
    if card is None or not isinstance(card["given"]["data"], str):
        return None
    try:
        catalogue = open_catalogue(card["given"]["data"])
    except NstkError:
        return None
    files = [*card["files"]]
    np.random.default_rng(seed).shuffle(files)
    files.sort(key=lambda file: file["part"] == "train")
    readers = [
        partial(_read_recorded, catalogue.root / file["path"], file["sha256"]) for file in files
    ]
    album = Album("recorded", readers, catalogue)
    return album if album.is_usable else None


def draw_picture(seed: int) -> Levels:
    """Draw a picture of random size whose spectrum falls like that of photographs, as 1/f.

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
    centred = (mixed - mixed.mean()) / mixed.std()
    drawn: Levels = np.clip(128 + 55 * centred, 0, 255).astype(np.uint8)
    return drawn


def _read(path: Path) -> Levels | None:
    try:
        return load_levels(path)
    except PictureError:
        return None


def _read_recorded(path: Path, digest: str) -> Levels | None:
    try:
        content = read_content(path)
        known = hashlib.sha256(content).hexdigest() == digest
        return load_levels(path, content=content) if known else None
    except PictureError:
        return None
