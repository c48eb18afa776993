"""From an image in any form — a file, its bytes, an array — to the crops for the network.

A folder is searched once, or watched for new files.
"""

import hashlib
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.classifiers.inference import InferencePipeline
from nstk.datasets.arrays import find_image
from nstk.datasets.listing import (
    SkippedFile,
    describe_unknown,
    find_images,
    is_single,
    list_files,
    list_sources,
)
from nstk.distribution.shards import WHOLE, Shard
from nstk.errors import ImageError
from nstk.features.crops import CropArray, needed_side
from nstk.images.decoding import read_content
from nstk.images.image import (
    VALUE_RANGE,
    Image,
    Levels,
    ValueRange,
    is_ambiguous,
    to_image,
    to_levels,
)
from nstk.images.loading import ImageReader
from nstk.settings import check_range
from nstk.settings.parsing import Color
from nstk.storage.array_files import digest_arrays
from nstk.storage.remote import is_remote, read_remote
from nstk.types import Images

_INFINITE = -1

FileState = tuple[int, int, int]
"""Inode, size and modification time; one of them changes when the file does."""


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One image to classify: a file, or bytes or an array whose path is as in ``image 3``."""

    path: Path
    given: Images = None
    value_range: ValueRange = VALUE_RANGE
    check_scale: bool = True
    """Whether to refuse an array that seems to be in another range; a batch is checked whole."""

    @property
    def is_array(self) -> bool:
        return self.given is not None and not isinstance(self.given, bytes)

    def read_content(self) -> bytes:
        if self.given is not None:
            return bytes(self.given)
        return read_remote(self.path) if is_remote(self.path) else read_content(self.path)

    def to_levels(self, background: Color) -> Levels:
        return to_levels(
            self.given,
            str(self.path),
            self.value_range,
            check_scale=self.check_scale,
            background=background,
        )

    def load(self, reader: ImageReader) -> Image:
        if self.is_array:
            return to_image(self.to_levels(reader.background), str(self.path))
        return reader.load_image(self.path, content=self.read_content()).pixels


@dataclass(frozen=True)
class Inputs:
    """Images to classify, in order; those of a ``tf.data.Dataset`` are read one after another."""

    images: Iterable[ImageInput]
    total: int
    """Their number; 0 if it is unknown."""
    unsearched: tuple[SkippedFile, ...] = ()


def list_inputs(sources: Images, value_range: ValueRange = VALUE_RANGE) -> Inputs:
    """List images; folders are searched recursively, and no file is opened."""
    if hasattr(sources, "as_numpy_iterator"):
        return Inputs(_iterate_dataset(sources, value_range), _count(sources))
    inputs: dict[Path, ImageInput] = {}
    unsearched: list[SkippedFile] = []
    position = 0
    for source in map(find_image, list_sources(find_image(sources))):
        if isinstance(source, str | Path):
            position += 1
            files, skipped = find_images([source])
            inputs |= {path: ImageInput(path) for path in files if path not in inputs}
            unsearched += skipped
            continue
        for each in _split(source, position, value_range):
            inputs[each.path] = each
            position += 1
    return Inputs(tuple(inputs.values()), len(inputs), tuple(unsearched))


def _split(source: Images, position: int, value_range: ValueRange) -> Iterator[ImageInput]:
    """The images of bytes, of an array, or of a batch; ``position`` counts those before them."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield ImageInput(Path(f"image {position + 1}"), bytes(source))
        return
    if not is_single(source):
        raise ImageError(f"image {position + 1}: {describe_unknown(source)}.")
    value_range = getattr(source, "value_range", value_range)
    array = np.asarray(source)
    images = array if array.ndim == 4 else array[np.newaxis]
    ambiguous = is_ambiguous(array, value_range)
    for number, image in enumerate(images, position + 1):
        yield ImageInput(Path(f"image {number}"), image, value_range, ambiguous)


def _iterate_dataset(dataset: Images, value_range: ValueRange) -> Iterator[ImageInput]:
    position = 0
    for element in dataset.as_numpy_iterator():
        images = element[0] if isinstance(element, tuple) else find_image(element)
        for each in _split(images, position, value_range):
            yield each
            position += 1


def _count(dataset: Images) -> int:
    """Number of elements of an unbatched dataset; 0 if the number of images is unknown."""
    elements = int(dataset.cardinality())
    if elements == _INFINITE:
        raise ImageError("The images: a dataset that repeats for ever; remove repeat().")
    spec = dataset.element_spec
    images = spec[0] if isinstance(spec, tuple) else find_image(spec)
    unbatched = len(getattr(images, "shape", None) or ()) == 3
    return max(elements, 0) if unbatched else 0


@dataclass(frozen=True, eq=False)
class CroppedImage:
    """One image, read and cropped; without crops if its prediction is known."""

    source: ImageInput
    digest: str
    """SHA-256 of its content."""
    crop: CropArray | None


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads and crops the images of a shard, except known ones, by path and digest; thread-safe."""

    pipeline: InferencePipeline
    reader: ImageReader
    known: Collection[tuple[Path, str]] = ()
    shard: Shard = WHOLE

    def read(self, source: ImageInput) -> CroppedImage | SkippedFile | None:
        """Read and crop an image; unreadable files are skipped, arrays an error.

        None if the image belongs to another shard.
        """
        if source.is_array:
            levels = source.to_levels(self.reader.background)
            digest = digest_arrays({"levels": levels})
            if not self.shard.holds(digest):
                return None
            return CroppedImage(source, digest, self.pipeline.prepare(levels))
        try:
            content = source.read_content()
        except ImageError as error:
            skipped = SkippedFile(source.path, error.message_for(source.path))
            return skipped if self.shard.holds_name(source.path) else None
        digest = hashlib.sha256(content).hexdigest()
        if not self.shard.holds(digest):
            return None
        if (source.path, digest) in self.known:
            return CroppedImage(source, digest, None)
        return self.crop(source, content, digest)

    def crop(self, source: ImageInput, content: bytes, digest: str) -> CroppedImage | SkippedFile:
        """Decode and crop an image file."""
        side = needed_side(self.pipeline.shape[-2])
        try:
            levels = self.reader.load_levels(source.path, side, content=content)
        except ImageError as error:
            return SkippedFile(source.path, error.message_for(source.path))
        return CroppedImage(source, digest, self.pipeline.prepare(levels))


def watch_folder(folder: str | Path, *, interval: float = 1.0) -> Iterator[tuple[Path, ...]]:
    """Watch a folder and its subfolders for new files, without end.

    The folder is scanned every ``interval`` seconds. A file is new when two scans find it in the
    same state; a file that changes later is new again. Removed files are dropped.

    Args:
        folder: The folder. It may disappear and come back.
        interval: Seconds between scans.

    Returns:
        Groups of new files in natural order; existing files are the first group.

    Raises:
        ImageError: If the folder does not exist.
        SettingsError: If the interval is out of range.
    """
    check_range("interval", interval, 0.01, 86400)
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder; create it, or check the spelling.")
    return _watch(folder, interval)


def _watch(folder: Path, interval: float) -> Iterator[tuple[Path, ...]]:
    before: dict[Path, FileState] = {}
    arrived: dict[Path, FileState] = {}
    while True:
        now = _scan(folder)
        arrived = {path: state for path, state in arrived.items() if now.get(path) == state}
        complete = {
            path: state
            for path, state in now.items()
            if before.get(path) == state and path not in arrived
        }
        before = now
        if complete:
            arrived |= complete
            yield tuple(complete)
        time.sleep(interval)


def _scan(folder: Path) -> dict[Path, FileState]:
    found = {}
    for path in list_files(folder)[0]:
        try:
            status = path.stat()
        except OSError:
            continue  # removed since it was listed, or a dangling link
        found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
