"""From whatever an image comes as — a file, its bytes, an array — to what the network sees."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.datasets.folders import find_images
from nstk.datasets.listing import SkippedFile, describe_unknown, is_single, list_sources
from nstk.errors import ImageError
from nstk.features.crops import Squares
from nstk.features.networks import InferencePipeline
from nstk.images.decoding import read_content
from nstk.images.image import (
    Image,
    Levels,
    load_image,
    load_levels,
    take_array,
)
from nstk.storage.array_files import digest_arrays

Source = str | Path | bytes | npt.NDArray[Any]
"""A file or a folder; the bytes of a file; or an array ``(height, width, 3)``, sRGB, uint8 or
floats in ``[0, 1]``."""


@dataclass(frozen=True)
class InputRow:
    """One image that is to be classified.

    Attributes:
        path: Its file; for bytes and arrays its place in what was given, as in ``image 3``.
        given: The bytes or the array, None for a file.
    """

    path: Path
    given: bytes | npt.NDArray[Any] | None = None

    def open(self) -> Image:
        """The image itself.

        Raises:
            ImageError: If it is none.
        """
        if isinstance(self.given, np.ndarray):
            return take_array(round_levels(self.path, self.given), str(self.path))
        content = read_content(self.path) if self.given is None else self.given
        return load_image(self.path, content=content).pixels


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """One image as it was found.

    Attributes:
        entry: Which one.
        digest: SHA-256 of its content.
        square: What the network sees; None where nobody wants to know any more.
    """

    entry: InputRow
    digest: str
    square: Squares | None


@dataclass(frozen=True, eq=False)
class Reader:
    """The way of one image to the network; thread-safe.

    Attributes:
        passage: The network.
        done: Paths with the digests that need no answer any more.
    """

    passage: InferencePipeline
    done: Collection[tuple[Path, str]] = ()

    def read(self, entry: InputRow, out: Squares | None = None) -> PreparedImage | SkippedFile:
        """Read an image, unless it is known by its path and content.

        Args:
            entry: Which one.
            out: Where its square goes; None makes a new array.
        """
        try:
            if isinstance(entry.given, np.ndarray):
                levels = round_levels(entry.path, entry.given)
                known = digest_arrays({"levels": levels})
                return PreparedImage(entry, known, self.passage.prepare(levels, out))
            content = read_content(entry.path) if entry.given is None else entry.given
            known = digest(content)
            if (entry.path, known) in self.done:
                return PreparedImage(entry, known, None)
            levels = load_levels(entry.path, content=content)
            return PreparedImage(entry, known, self.passage.prepare(levels, out))
        except ImageError as error:
            return SkippedFile(entry.path, error.message_for(entry.path))


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def round_levels(path: Path, array: npt.NDArray[Any]) -> Levels:
    """An array in whole gray levels.

    Raises:
        ImageError: If it is no image.
    """
    fits = array.ndim == 3 and array.shape[2] == 3 and array.size
    if not fits or not (array.dtype == np.uint8 or np.issubdtype(array.dtype, np.floating)):
        raise ImageError(
            f"{path}: an array {array.shape} of {array.dtype}; "
            "give (height, width, 3) of uint8, or of floats from 0 to 1."
        )
    levels: Levels = array
    if array.dtype == np.uint8:
        return levels
    if not (array.min() >= 0 and array.max() <= 1):
        raise ImageError(
            f"{path}: floats from {array.min():g} to {array.max():g}; "
            "give floats from 0 to 1, or uint8 from 0 to 255."
        )
    levels = np.rint(array * 255).astype(np.uint8)
    return levels


def list_input_rows(
    sources: Source | Iterable[Source],
) -> tuple[tuple[InputRow, ...], tuple[SkippedFile, ...]]:
    """List the images: folders are searched to the bottom, nothing is opened.

    Returns:
        The images in the order given, and the folders that could not be searched.

    Raises:
        ImageError: If a path does not exist, or something is no image of any kind.
    """
    entries: dict[Path, InputRow] = {}
    unsearched: list[SkippedFile] = []
    for number, source in enumerate(list_sources(sources), start=1):
        if isinstance(source, str | Path):
            files, skipped = find_images([source])
            entries |= {path: InputRow(path) for path in files if path not in entries}
            unsearched += skipped
        else:
            place = Path(f"image {number}")
            entries[place] = InputRow(place, _take(str(place), source))
    return tuple(entries.values()), tuple(unsearched)


def _take(name: str, source: Any) -> bytes | npt.NDArray[Any]:
    """The bytes of a file, or whatever NumPy takes for an array."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not is_single(source):
        raise ImageError(f"{name}: {describe_unknown(source)}.")
    return np.asarray(source)
