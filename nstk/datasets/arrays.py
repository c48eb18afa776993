"""Labeled images from memory: arrays, or a dataset that streams them.

Images are read from files everywhere, by several threads and repeatedly. Images from memory are
therefore written to a temporary folder, without loss and batch by batch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nstk.datasets.catalogs import (
    SPLIT_ORDER,
    Catalog,
    LabeledImage,
    TemporaryFolder,
    private_opener,
)
from nstk.datasets.layout import SPLITS, Split
from nstk.errors import FolderError, ImageError
from nstk.images.image import (
    VALUE_RANGE,
    ValueRange,
    ambiguous_range_error,
    is_ambiguous,
    to_levels,
)
from nstk.progress import Progress, Reporter, no_progress
from nstk.types import Examples

_SOURCE = Path("images from memory")
_INFINITE = -1

Label = int | npt.NDArray[np.bool_]
"""Index of a class, or for each class whether the image shows it."""


def catalog_arrays(
    data: Iterable[object],
    class_names: Sequence[str] | None = None,
    *,
    value_range: ValueRange = VALUE_RANGE,
    on_progress: Reporter = no_progress,
) -> Catalog:
    """Write images from memory to a temporary folder, and list them.

    Args:
        data: Arrays ``(images, labels)``; or an iterable of pairs ``(image, label)``, single or in
            batches, such as a ``tf.data.Dataset``; or a mapping with either under ``"train"``,
            ``"validation"`` and ``"test"``. Images are ``(height, width, 3)``, uint8 or floats,
            which are rounded to 256 levels. Labels are class indices, or rows with 0 or 1 for each
            class.
        class_names: Names of the classes, in the order of their indices; None takes those of the
            dataset, or numbers.
        value_range: Values of black and white in arrays of floats, as in Keras.
        on_progress: Called after each element, stage ``"store"``.

    Raises:
        FolderError: If the data has another form.
    """
    folder = TemporaryFolder(_SOURCE)
    splits = _by_split(data)
    store = _Store(folder, value_range)
    images: list[tuple[Path, Label, Split]] = []
    for split, given in splits.items():
        (folder.path / split).mkdir()
        total = _count(given)
        on_progress(Progress(stage="store", step=0, total=total))
        for step, pairs in enumerate(_stream(given), 1):
            images += [(store.write(image, split), label, split) for image, label in pairs]
            on_progress(Progress(stage="store", step=step, total=max(total, step)))
    store.check_scale()
    names = class_names or next(
        (given.class_names for given in splits.values() if hasattr(given, "class_names")), None
    )
    classes, labels = _name_labels([label for _, label, _ in images], names)
    listed = [
        LabeledImage(path, positions, split)
        for (path, _, split), positions in zip(images, labels, strict=True)
    ]
    listed.sort(key=lambda each: (SPLIT_ORDER.index(each.split), each.labels, each.path))
    return Catalog(
        source=_SOURCE,
        root=folder.path,
        classes=classes,
        images=tuple(listed),
        splits=frozenset(splits),
        multi_label=any(len(positions) != 1 for positions in labels),
        unpacked=folder,
    )


def _by_split(data: Iterable[object]) -> dict[Split, Examples]:
    if not isinstance(data, Mapping):
        return {"train": data}
    named = [(SPLITS.get(str(name).casefold()), given) for name, given in data.items()]
    splits: dict[Split, Examples] = {split: given for split, given in named if split is not None}
    if len(splits) < len(named) or "train" not in splits:
        raise _refuse(
            f"are a mapping with the keys {', '.join(map(str, data)) or 'of no split'}",
            "name the splits train, validation and test, each once; train is required",
        )
    return splits


def _count(given: Examples) -> int:
    """Number of elements; 0 if it is unknown."""
    if _are_arrays(given):
        return len(given[0])
    count = int(given.cardinality()) if hasattr(given, "cardinality") else 0
    if count == _INFINITE:
        raise _refuse("are an infinite dataset", "use take(), or leave out repeat()")
    return max(count, 0)


def _are_arrays(given: Examples) -> bool:
    return isinstance(given, tuple | list) and len(given) == 2 and np.ndim(given[1]) > 0


def _stream(given: Examples) -> Iterator[list[tuple[npt.ArrayLike, Label]]]:
    """Pairs of an image and its label, batch by batch."""
    if _are_arrays(given):
        images, labels = given
        if len(images) != len(labels):
            raise _refuse(
                f"are {len(images)} with {len(labels)} labels", "give one label per image"
            )
        pairs = zip(images, labels, strict=True)
        yield from ([(image, _read_label(label))] for image, label in pairs)
        return
    elements = given.as_numpy_iterator() if hasattr(given, "as_numpy_iterator") else given
    if not isinstance(elements, Iterable):
        raise _refuse(f"are of type {type(given).__name__}", "give a dataset or arrays")
    for element in elements:
        if not isinstance(element, tuple | list) or len(element) != 2:
            raise _refuse(
                "come without labels",
                "give a dataset of pairs of image and label, or the arrays (images, labels)",
            )
        image, label = element
        if np.ndim(image) != 4:
            yield [(image, _read_label(label))]
        elif len(image) == len(label):
            yield [(each, _read_label(one)) for each, one in zip(image, label, strict=True)]
        else:
            raise _refuse(f"are {len(image)} with {len(label)} labels", "give one label per image")


def _read_label(label: npt.ArrayLike) -> Label:
    values = np.asarray(label)
    if values.dtype.kind not in "buif" or values.ndim > 1 or (values != np.rint(values)).any():
        raise _refuse(
            f"have the label {str(label)[:60]!r}",
            "give whole numbers, or rows with 0 or 1 for each class",
        )
    if values.size == 1:
        return int(values.ravel()[0])
    if not np.isin(values, (0, 1)).all():
        raise _refuse(f"have the label {str(label)[:60]!r}", "rows may contain only 0 and 1")
    return values.astype(bool)


def _name_labels(
    labels: Sequence[Label], names: Sequence[str] | None
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Names of the classes, and the class indices of every image."""
    widths = {1 if isinstance(label, int) else len(label) for label in labels}
    if len(widths) > 1 or not labels:
        problem = "have labels of different lengths" if labels else "are none"
        raise _refuse(problem, "give images with one number each, or with one row each")
    positions = [
        (label,) if isinstance(label, int) else tuple(map(int, np.flatnonzero(label)))
        for label in labels
    ]
    [width] = widths
    count = max(chain.from_iterable(positions), default=0) + 1 if width == 1 else width
    classes = tuple(map(str, range(count) if names is None else names))
    lowest = min(chain.from_iterable(positions), default=0)
    if lowest < 0 or count > len(classes) or (width > 1 and width != len(classes)):
        raise _refuse(
            f"have labels from {lowest} to {count - 1}, but there are {len(classes)} classes",
            "give one name per class in `class_names`, and labels from 0 on",
        )
    if len(set(classes)) < len(classes):
        raise _refuse("have two classes with the same name", "give each class its own name")
    return classes, positions


@dataclass(eq=False)
class _Store:
    """Writes images to files, and checks their values together."""

    folder: TemporaryFolder
    value_range: ValueRange
    written: int = 0
    ambiguous: bool = False
    certain: bool = False

    def write(self, image: npt.ArrayLike, split: Split) -> Path:
        """Write one image."""
        name = f"image {self.written}"
        try:
            levels = to_levels(image, name, self.value_range, check_scale=False)
        except ImageError as error:
            raise FolderError(str(error)) from error
        values = np.asarray(image)
        ambiguous = is_ambiguous(values, getattr(image, "value_range", self.value_range))
        self.ambiguous |= ambiguous
        self.certain |= not ambiguous and bool(values.max() > 1)
        path = self.folder.path / split / f"{self.written:08d}.bmp"
        self.written += 1
        try:
            with open(path, "xb", opener=private_opener) as file:
                Image.fromarray(levels).save(file, "BMP")
        except OSError as error:
            raise FolderError(
                f"The images cannot be stored in {self.folder.path} ({error.strerror or error}); "
                "free disk space there, or set TMPDIR to another folder."
            ) from error
        return path

    def check_scale(self) -> None:
        """Refuse floats that are all in [0, 1] where the range is (0, 255)."""
        if self.ambiguous and not self.certain:
            raise FolderError(str(ambiguous_range_error("The images")))


def _refuse(what: str, cure: str) -> FolderError:
    return FolderError(f"The images {what}; {cure}.")
