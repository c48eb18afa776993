"""Labeled images from memory: arrays, or a dataset that streams them.

Whatever looks at images looks at files: in threads, and twice if it must. So what comes from
memory is written to a private folder while it streams by, without loss, and memory holds one batch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

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
from nstk.errors import FolderError
from nstk.progress import Progress, Reporter, no_progress

_SOURCE = Path("the given images")
_INFINITE = -1
_LARGEST = 255

Label = int | npt.NDArray[np.bool_]
"""A position among the classes, or for every class whether the image shows it."""


def catalog_arrays(
    data: Iterable[Any],
    class_names: Sequence[str] | None = None,
    *,
    on_progress: Reporter = no_progress,
) -> Catalog:
    """Write images from memory to a private folder, and list them.

    Args:
        data: Arrays ``(images, labels)``; or what yields ``(image, label)``, alone or in batches,
            such as a ``tf.data.Dataset``; or either by part, under ``"train"``, ``"validation"``
            and ``"test"``. Images are ``(height, width, 3)`` from 0 to 255, as uint8 or as floats,
            which are rounded; labels are positions among the classes or rows of 0 and 1 with one
            number for each class, of which several may be 1.
        class_names: In the order of the positions; None takes those of the dataset, or numbers.
        on_progress: Told what was written, stage ``"store"``.

    Raises:
        FolderError: If it is none of these; says what was found instead.
    """
    folder = TemporaryFolder(_SOURCE)
    splits = _by_split(data)
    store = _Store(folder)
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


def _by_split(data: Iterable[Any]) -> dict[Split, Any]:
    if not isinstance(data, Mapping):
        return {"train": data}
    named = [(SPLITS.get(str(name).casefold()), given) for name, given in data.items()]
    splits: dict[Split, Any] = {split: given for split, given in named if split is not None}
    if len(splits) < len(named) or "train" not in splits:
        raise _refuse(
            f"have the parts {', '.join(map(str, data)) or 'of an empty mapping'}",
            "name them train, validation and test, each once; train is needed",
        )
    return splits


def _count(given: Any) -> int:
    """How many elements will stream by; 0 where nobody knows."""
    if _are_arrays(given):
        return len(given[0])
    count = int(given.cardinality()) if hasattr(given, "cardinality") else 0
    if count == _INFINITE:
        raise _refuse("never end", "take some of the dataset, or leave out repeat()")
    return max(count, 0)


def _are_arrays(given: Any) -> bool:
    return isinstance(given, tuple | list) and len(given) == 2 and np.ndim(given[1]) > 0


def _stream(given: Any) -> Iterator[list[tuple[Any, Label]]]:
    """Pairs of an image and its label, as many at once as come together."""
    if _are_arrays(given):
        images, labels = given
        if len(images) != len(labels):
            raise _refuse(f"are {len(images)} with {len(labels)} labels", "give one for each")
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
            raise _refuse(f"are {len(image)} with {len(label)} labels", "give one for each")


def _read_label(label: Any) -> Label:
    values = np.asarray(label)
    if values.dtype.kind not in "buif" or values.ndim > 1 or (values != np.rint(values)).any():
        raise _refuse(
            f"have a label like {str(label)[:60]!r}",
            "give whole numbers, or rows of 0 and 1 with one number for each class",
        )
    if values.size == 1:
        return int(values.ravel()[0])
    if not np.isin(values, (0, 1)).all():
        raise _refuse(f"have a label like {str(label)[:60]!r}", "rows may hold 0 and 1 only")
    return values.astype(bool)


def _name_labels(
    labels: Sequence[Label], names: Sequence[str] | None
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """The names of the classes, and the positions of every image's labels among them."""
    widths = {1 if isinstance(label, int) else len(label) for label in labels}
    if len(widths) > 1 or not labels:
        kinds = "labels of different lengths" if labels else "no image among them"
        raise _refuse(f"have {kinds}", "give a number for each, or a row for each")
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
            "give one name in class_names for every class, and labels from 0 on",
        )
    if len(set(classes)) < len(classes):
        raise _refuse("have two classes of one name", "give every class a name of its own")
    return classes, positions


@dataclass(eq=False)
class _Store:
    """Writes images to files, and keeps in mind what their values are like."""

    folder: TemporaryFolder
    written: int = 0
    whole: bool = False
    largest: float = field(default=0.0)

    def write(self, image: Any, split: Split) -> Path:
        """Write one image; refuse what is none."""
        values = np.asarray(image)
        if values.ndim != 3 or values.shape[-1] != 3 or 0 in values.shape:
            raise _refuse(
                f"have the shape {' × '.join(map(str, values.shape)) or 'of a number'}",
                "give (height, width, 3)",
            )
        if values.dtype.kind not in "uif":
            raise _refuse(f"hold values of type {values.dtype}", "give uint8 or floats")
        self._note(values)
        path = self.folder.path / split / f"{self.written:08d}.bmp"
        self.written += 1
        try:
            with open(path, "xb", opener=private_opener) as file:
                Image.fromarray(np.rint(values).astype(np.uint8)).save(file, "BMP")
        except OSError as error:
            raise FolderError(
                f"The given images cannot be kept in {self.folder.path} "
                f"({error.strerror or error}); make room there, or set TMPDIR to another folder."
            ) from error
        return path

    def check_scale(self) -> None:
        """Refuse floats that all lie in [0, 1], which would be black images.

        Raises:
            FolderError: With what to do.
        """
        if self.written and not self.whole and self.largest <= 1:
            raise _refuse("have values from 0 to 1", "multiply them by 255")

    def _note(self, values: npt.NDArray[Any]) -> None:
        low, high = float(values.min()), float(values.max())
        # What is no number is neither.
        if not (low >= 0 and high <= _LARGEST):
            raise _refuse(f"have values from {low:g} to {high:g}", "give 0 to 255")
        self.whole = self.whole or values.dtype.kind != "f"
        self.largest = max(self.largest, high)


def _refuse(what: str, cure: str) -> FolderError:
    return FolderError(f"The given images {what}; {cure}.")
