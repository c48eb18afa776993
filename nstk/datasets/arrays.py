"""Labeled images from memory: arrays, or a dataset that streams them.

Images are read from files everywhere, by several threads and repeatedly. Images from memory are
therefore written to a temporary folder, without loss and batch by batch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nstk.datasets.catalogs import (
    DEFAULTS,
    MEMORY,
    Catalog,
    DataSettings,
    NamedImage,
    Split,
    TemporaryFolder,
    build_catalog,
    private_opener,
    read_split,
)
from nstk.datasets.listing import shorten
from nstk.errors import FolderError, ImageError
from nstk.images.image import ValueRange, ambiguous_range_error, is_ambiguous, to_levels
from nstk.progress import Progress, Reporter, no_progress
from nstk.types import Examples

_INFINITE = -1
_KEYS = (("image", "images"), ("label", "labels"))
_NO_LABELS = "give a dataset of pairs of image and label, or the arrays (images, labels)"
_PAIR = "Of the two datasets, the first is taken for training, the second for validation."
_WEIGHTS = "The sample weights are not used: every image counts once. (See `balance` for classes.)"

Label = tuple[tuple[int, ...], int]  # indices of classes; length of the row, or 0 for a number


def catalog_arrays(
    data: Iterable[object],
    settings: DataSettings = DEFAULTS,
    *,
    classes: Sequence[str] | None = None,
    on_progress: Reporter = no_progress,
) -> Catalog:
    """Write images from memory to a temporary folder, and list them.

    Args:
        data: Arrays ``(images, labels)``; an iterable of pairs ``(image, label)``, single or in
            batches, such as a ``tf.data.Dataset``; a mapping with either under ``"train"``,
            ``"validation"`` and ``"test"``; or the pair of a training and a validation dataset.
            Pairs may be mappings with ``image`` and ``label``, or have weights. Images are
            ``(height, width, 3)``, uint8 or floats, which are rounded to 256 levels. Labels are
            class indices, or rows with 0 or 1 for each class.
        settings: Names of the classes, and the range of floats.
        classes: The classes of a classifier to evaluate, which labels without names stand for.
        on_progress: Called after each element, stage ``"store"``.
    """
    splits, notices = _by_split(data, to_learn=classes is None)
    store = _Store(TemporaryFolder(MEMORY), settings.value_range)
    stored = {split: store.write_all(given, split, on_progress) for split, given in splits.items()}
    if store.ambiguous == {True}:
        raise FolderError(str(ambiguous_range_error("The images")))
    own = {
        split: tuple(map(str, given.class_names))
        for split, given in splits.items()
        if getattr(given, "class_names", None) is not None
    }
    names, assumed = _name_labels(stored, own, settings.class_names, classes)
    images: list[NamedImage] = [
        (path, [names[split][index] for index in indices], split)
        for split, labeled in stored.items()
        for path, (indices, _) in labeled
    ]
    catalog = build_catalog(
        MEMORY,
        images,
        names,
        to_learn=classes is None,
        multi_label=any(len(found) != 1 for _, found, _ in images),
        notices=(*notices, *assumed, *([_WEIGHTS] if store.weighted else [])),
    )
    return replace(catalog, root=store.folder.path, unpacked=store.folder)


def _by_split(
    data: Iterable[object], *, to_learn: bool
) -> tuple[dict[Split, Examples], Sequence[str]]:
    several = list(data) if isinstance(data, tuple | list) else []
    if len(several) == 2 and all(hasattr(each, "as_numpy_iterator") for each in several):
        return {"train": several[0], "validation": several[1]}, [_PAIR]  # as from subset="both"
    if not isinstance(data, Mapping) or any(key in data for key in _KEYS[0]):
        return {"train": data}, []
    named = [(read_split(str(name)), given) for name, given in data.items()]
    splits: dict[Split, Examples] = {split: given for split, given in named if split is not None}
    if len(splits) < len(named) or not splits or (to_learn and "train" not in splits):
        raise _refuse(
            f"are a mapping with the keys {', '.join(map(str, data)) or 'of no split'}",
            "name the splits train, validation and test, each once; train is required",
        )
    return splits, []


def _name_labels(
    stored: Mapping[Split, Sequence[tuple[Path, Label]]],
    own: Mapping[Split, Sequence[str]],
    given: Sequence[str] | None,
    classes: Sequence[str] | None,
) -> tuple[dict[Split, Sequence[str]], list[str]]:
    """The classes of each split, in the order of its labels; and what was assumed.

    A dataset may have names of its own. Those of the training split are replaced by given names,
    in all splits. Labels without names follow the given, the training or the known classes.
    """
    first = own.get("train") or next(iter(own.values()), None)
    if given is not None and first is not None:
        if len(given) != len(first):
            raise _refuse(f"have {len(first)} classes of their own", "name each in `class_names`")
        renamed = dict(zip(first, given, strict=True))
        own = {split: [renamed.get(name, name) for name in names] for split, names in own.items()}
    counts = {split: _count_classes([label for _, label in each]) for split, each in stored.items()}
    known = given or first or classes or range(max(counts.values()))
    found: dict[Split, Sequence[str]] = {}
    notices = []
    for split, count in counts.items():
        names = found[split] = own.get(split) or list(map(str, known))
        in_rows = stored[split][0][1][1] > 1
        if count > len(names) or (in_rows and count != len(names)):
            raise _refuse(
                f"have labels up to {count - 1}, but there are {len(names)} classes",
                "give one name per class in `class_names`, and labels from 0 on",
            )
        if len(set(names)) < len(names):
            raise _refuse("have two classes with the same name", "give each class its own name")
        in_other_order = classes is not None and list(names) != sorted(names)
        if not (split in own or given) and (own or count < len(names) or in_other_order):
            where = f" of the {split} split" if len(stored) > 1 else ""
            notices.append(
                f"The images{where} have no class names; their labels from 0 to {count - 1} are "
                f"taken for {shorten(names[:count])}. Give `class_names` if they are others."
            )
    return found, notices


def _count_classes(labels: Sequence[Label]) -> int:
    widths = {width for _, width in labels}
    if len(widths) != 1:
        problem = "have labels of different lengths" if labels else "are none"
        raise _refuse(problem, "give images with one number each, or with one row each")
    return max(widths) or max(index for indices, _ in labels for index in indices) + 1


def _are_arrays(given: Examples) -> bool:
    """Whether these are all images, all labels and perhaps all weights; not two or three pairs."""
    return (
        isinstance(given, tuple | list)
        and len(given) in (2, 3)
        and _ndim(given[1]) in (1, 2)
        and not all(map(_is_example, given))
    )


def find_image(element: Examples) -> Examples:
    """The image or the images of an element with labels; another object as it is."""
    if isinstance(element, Mapping):
        return next((element[key] for key in _KEYS[0] if key in element), element)
    return element[0] if _is_example(element) else element


def _is_example(element: Examples) -> bool:
    """Whether an element is an image with its label, or a batch of these."""
    return isinstance(element, Mapping) or (
        isinstance(element, tuple | list)
        and len(element) in (2, 3)
        and _ndim(element[0]) in (3, 4)
        and _ndim(element[1]) in (0, 1, 2)
    )


def _ndim(value: npt.ArrayLike) -> int:
    """Number of dimensions; -1 for lists of arrays of different shapes."""
    try:
        return np.ndim(value)
    except ValueError:
        return -1


def _list_elements(given: Examples) -> tuple[Iterable[Sequence[Examples]], int]:
    """Images with labels and perhaps weights, single or in batches; how many, 0 if unknown."""
    given = _unpack(given) if isinstance(given, Mapping) else given
    if _are_arrays(given):
        return _split_batch(*given), len(given[0])
    count = int(given.cardinality()) if hasattr(given, "cardinality") else 0
    if count == _INFINITE:
        raise _refuse("are an infinite dataset", "use take(), or leave out repeat()")
    elements = given.as_numpy_iterator() if hasattr(given, "as_numpy_iterator") else given
    if not isinstance(elements, Iterable):
        raise _refuse(f"are of type {type(given).__name__}", "give a dataset or arrays")
    return map(_unpack, elements), max(count, 0)


def _unpack(element: Examples) -> Sequence[Examples]:
    """Image, label and perhaps weight of an element of a dataset."""
    if isinstance(element, Mapping):
        element = [element[key] for keys in _KEYS for key in keys if key in element][:2]
    if not isinstance(element, tuple | list) or len(element) not in (2, 3):
        raise _refuse("come without labels", _NO_LABELS)
    return element


def _split_batch(*columns: Examples) -> Iterator[Sequence[Examples]]:
    for what, values in zip(("labels", "weights"), columns[1:], strict=False):
        if len(columns[0]) != len(values):
            raise _refuse(f"are {len(columns[0])} with {len(values)} {what}", "give one per image")
    yield from zip(*columns, strict=True)


def _read_label(label: npt.ArrayLike) -> Label:
    values = np.asarray(label)
    if values.dtype.kind not in "buif" or values.ndim > 1 or (values != np.rint(values)).any():
        raise _refuse(
            f"have the label {str(label)[:60]!r}",
            "give whole numbers, or rows with 0 or 1 for each class",
        )
    if values.size == 1:
        if values < 0:
            raise _refuse(f"have the label {int(values)}", "give labels from 0 on")
        return (int(values.ravel()[0]),), 0
    if not np.isin(values, (0, 1)).all():
        raise _refuse(f"have the label {str(label)[:60]!r}", "rows may contain only 0 and 1")
    return tuple(np.flatnonzero(values).tolist()), len(values)


@dataclass(eq=False)
class _Store:
    """Writes images to files; notes whether floats seem to be in [0, 1] or are beyond."""

    folder: TemporaryFolder
    value_range: ValueRange
    written: int = 0
    weighted: bool = False
    ambiguous: set[bool] = field(default_factory=set)

    def write_all(
        self, given: Examples, split: Split, on_progress: Reporter
    ) -> list[tuple[Path, Label]]:
        (self.folder.path / split).mkdir()
        images: list[tuple[Path, Label]] = []
        elements, total = _list_elements(given)
        on_progress(Progress(stage="store", step=0, total=total))
        for step, element in enumerate(elements, 1):
            is_batch = _ndim(element[0]) in (-1, 4)
            for image, label, *weight in _split_batch(*element) if is_batch else [element]:
                self.weighted |= any(each != 1 for each in weight)
                images.append((self.write(image, split), _read_label(label)))
            on_progress(Progress(stage="store", step=step, total=max(total, step)))
        return images

    def write(self, image: npt.ArrayLike, split: Split) -> Path:
        name, scale = f"image {self.written}", self.value_range
        try:
            levels = to_levels(image, name, scale, check_scale=False, background=None)
        except ImageError as error:
            raise FolderError(str(error)) from error
        values = np.asarray(image)
        if is_ambiguous(values, getattr(image, "value_range", scale)):
            self.ambiguous.add(True)
        elif values.max() > 1:
            self.ambiguous.add(False)
        kind = "BMP" if levels.shape[-1] == 3 else "TIFF"  # TIFF keeps alpha
        path = self.folder.path / split / f"{self.written:08d}.{kind.lower()}"
        self.written += 1
        try:
            with open(path, "xb", opener=private_opener) as file:
                Image.fromarray(levels).save(file, kind)
        except OSError as error:
            raise FolderError(
                f"The images cannot be stored in {self.folder.path} ({error.strerror or error}); "
                "free disk space there, or set TMPDIR to another folder."
            ) from error
        return path


def _refuse(what: str, cure: str) -> FolderError:
    return FolderError(f"The images {what}; {cure}.")
