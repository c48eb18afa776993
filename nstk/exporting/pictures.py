"""Which pictures a proof is made with: real ones where there are some, drawn ones otherwise."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from nstk.errors import PictureError
from nstk.media.listing import list_files
from nstk.media.pictures import Levels, load_levels

_DRAWN = 64
_SIDES = (40, 480)


@dataclass(frozen=True)
class Album:
    """Pictures that are read when they are needed.

    Attributes:
        source: Whether they are ``"given"`` or ``"drawn"``.
        readers: One for each picture; gives None where the file turns out to be unusable.
    """

    source: Literal["given", "drawn"]
    readers: Sequence[Callable[[], Levels | None]]

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
    files = list(dict.fromkeys(file for place in places for file in _files(place)))
    generator.shuffle(files)
    album = Album("given", [partial(_read, file) for file in files])
    if next(Album("given", album.readers[:100]).read(), None) is None:
        named = ", ".join(map(str, places)) or "nothing"
        raise PictureError(f"{named}: no picture that can be read; give a folder of pictures.")
    return album


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


def _files(place: Path) -> list[Path]:
    if not place.exists():
        raise PictureError(f"{place}: no such file or folder; check the spelling.")
    return list_files(place)[0] if place.is_dir() else [place]


def _read(path: Path) -> Levels | None:
    try:
        return load_levels(path)
    except PictureError:
        return None
