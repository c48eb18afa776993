"""From an image in any form — a file, its bytes, an array — to the crops for the network."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.classifiers.inference import InferencePipeline
from nstk.datasets.folders import find_images
from nstk.datasets.listing import SkippedFile, describe_unknown, is_single, list_sources
from nstk.errors import ImageError
from nstk.features.crops import CropArray
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
from nstk.images.loading import load_image, load_levels
from nstk.storage.array_files import digest_arrays
from nstk.types import Images

_INFINITE = -1


@dataclass(frozen=True)
class ImageInput:
    """One image to classify.

    Attributes:
        path: Its file; for bytes and arrays its position, as in ``image 3``.
        given: The bytes or the array; None for a file.
        value_range: Values of black and white where the array has floats.
        check_scale: Whether to refuse an array that seems to be in another range; False if a
            whole batch has been checked.
    """

    path: Path
    given: Images = None
    value_range: ValueRange = VALUE_RANGE
    check_scale: bool = True

    @property
    def is_array(self) -> bool:
        """Whether it is an array."""
        return self.given is not None and not isinstance(self.given, bytes)

    def read_content(self) -> bytes:
        """The bytes of the file.

        Raises:
            ImageError: If it cannot be read.
        """
        return read_content(self.path) if self.given is None else bytes(self.given)

    def to_levels(self) -> Levels:
        """The array in whole gray levels.

        Raises:
            ImageError: If the array is not an image, or contradicts its range.
        """
        name = str(self.path)
        return to_levels(self.given, name, self.value_range, check_scale=self.check_scale)

    def load(self) -> Image:
        """The image.

        Raises:
            ImageError: If it is not an image.
        """
        if self.is_array:
            return to_image(self.to_levels(), str(self.path))
        return load_image(self.path, content=self.read_content()).pixels


@dataclass(frozen=True)
class Inputs:
    """Images to classify, in order.

    Attributes:
        images: The images; those of a ``tf.data.Dataset`` are read as they are iterated.
        total: Number of images; 0 if it is unknown.
        unsearched: The folders that could not be searched.
    """

    images: Iterable[ImageInput]
    total: int
    unsearched: tuple[SkippedFile, ...] = ()


def list_inputs(sources: Images, value_range: ValueRange = VALUE_RANGE) -> Inputs:
    """List images; folders are searched recursively, and no file is opened.

    Args:
        sources: The images.
        value_range: Values of black and white in arrays of floats.

    Raises:
        ImageError: If a path does not exist, or a source is none of `Images`.
    """
    if hasattr(sources, "as_numpy_iterator"):
        return Inputs(_iterate_dataset(sources, value_range), _count(sources))
    inputs: dict[Path, ImageInput] = {}
    unsearched: list[SkippedFile] = []
    position = 0
    for source in list_sources(sources):
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
        images = element[0] if isinstance(element, tuple) else element
        for each in _split(images, position, value_range):
            yield each
            position += 1


def _count(dataset: Images) -> int:
    """Number of elements of an unbatched dataset; 0 if the number of images is unknown."""
    elements = int(dataset.cardinality())
    if elements == _INFINITE:
        raise ImageError("The images: a dataset that repeats for ever; remove repeat().")
    spec = dataset.element_spec
    images = spec[0] if isinstance(spec, tuple) else spec
    unbatched = len(getattr(images, "shape", None) or ()) == 3
    return max(elements, 0) if unbatched else 0


@dataclass(frozen=True, eq=False)
class CroppedImage:
    """One image, read and cropped.

    Attributes:
        source: The image.
        digest: SHA-256 of its content.
        crop: Its crops for the network; None if its prediction is known.
    """

    source: ImageInput
    digest: str
    crop: CropArray | None


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads and crops images; thread-safe.

    Attributes:
        pipeline: The network.
        known: Paths and digests of the images that need no crops.
    """

    pipeline: InferencePipeline
    known: Collection[tuple[Path, str]] = ()

    def read(self, source: ImageInput, out: CropArray | None = None) -> CroppedImage | SkippedFile:
        """Read an image, and crop it unless its path and content are known.

        Args:
            source: The image.
            out: Where to write its crops; None allocates an array.

        Raises:
            ImageError: If an array is not an image; unreadable files are skipped.
        """
        if source.is_array:
            levels = source.to_levels()
            digest = digest_arrays({"levels": levels})
            return CroppedImage(source, digest, self.pipeline.prepare(levels, out))
        try:
            content = source.read_content()
            digest = hashlib.sha256(content).hexdigest()
            if (source.path, digest) in self.known:
                return CroppedImage(source, digest, None)
            levels = load_levels(source.path, content=content)
            return CroppedImage(source, digest, self.pipeline.prepare(levels, out))
        except ImageError as error:
            return SkippedFile(source.path, error.message_for(source.path))
