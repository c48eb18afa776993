"""Catalogs: labeled images as their source lists them, before any file is read."""

import os
import re
import shutil
import unicodedata
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from nstk.datasets.listing import SkippedFile, natural_key, natural_path_key, warn_similar_names
from nstk.errors import FolderError
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.settings import check_pattern
from nstk.storage.files import make_temporary_folder

Split = Literal["train", "validation", "test"]

SPLIT_ORDER: tuple[Split, ...] = ("train", "validation", "test")

_SPLIT = re.compile(
    r"(?:(?:images?|imgs?|data|seg)[ _-]?)?(?:(?P<train>train|training)"
    r"|(?P<validation>val|valid|validate|validation|dev|eval|evaluation)"
    r"|(?P<test>test|tests|testing))(?:[ _-]?(?:set|split|data|images?|imgs?|20\d\d))?",
    re.IGNORECASE,
)


def read_split(name: str) -> Split | None:
    """The split that a folder or a cell names: ``Training_set`` is train, ``dev`` validation."""
    found = _SPLIT.fullmatch(name.strip())
    return cast(Split, found.lastgroup) if found else None


def normalize(name: str) -> str:
    """One encoding for accents, which macOS, Excel and Linux encode differently."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """How labeled images are read.

    Attributes:
        class_names: Names of the classes of images from memory, in the order of their labels.
        value_range: Values of black and white in arrays of floats, as in Keras.
        label_pattern: Regular expression that finds the label in the name of a file, as its group
            ``label`` or its first one; with a ``/``, in its path below the folder.
    """

    class_names: Sequence[str] | None = None
    value_range: ValueRange = VALUE_RANGE
    label_pattern: str | None = None

    def __post_init__(self) -> None:
        check_pattern("label_pattern", self.label_pattern)


DEFAULTS = DataSettings()

MEMORY = Path("images from memory")


@dataclass(frozen=True, eq=False)
class TemporaryFolder:
    """A private folder for images from a zip or from memory, deleted together with this object."""

    source: Path
    notices: tuple[str, ...] = ()
    path: Path = field(default_factory=make_temporary_folder)

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def display_path(self, path: Path) -> Path:
        return self.source / path.relative_to(self.path)

    def display_message(self, message: str) -> str:
        return message.replace(str(self.path), str(self.source))


def private_opener(path: str, flags: int) -> int:
    """Let ``open`` create a file that only its owner can read."""
    return os.open(path, flags, 0o600)


@dataclass(frozen=True)
class LabeledImage:
    """One labeled image.

    Attributes:
        path: The file. In a `LabeledFolder` it is known to decode.
        labels: Ascending class indices: exactly one, or any number for multi-label data.
        split: The split it belongs to.
    """

    path: Path
    labels: tuple[int, ...]
    split: Split

    @property
    def label(self) -> int:
        """Its class; an error where it has several or none."""
        if len(self.labels) != 1:
            raise FolderError(
                f"{self.path} has {len(self.labels)} labels; exactly one is needed here: give data "
                "with one label per image."
            )
        return self.labels[0]


@dataclass(frozen=True)
class Catalog:
    """The images of a source with their labels; the files are not checked yet.

    Attributes:
        source: The folder, manifest or zip; words for images from memory.
        root: The folder that contains the images.
        classes: Class names: in natural order (1, 2, 10), or from memory in that of their labels.
        images: The images, by split, labels and natural order of their paths.
        splits: The splits that the source defines.
        multi_label: Whether an image may have several labels, or none.
        skipped: Files that were left out, and why.
        notices: Warnings about the data, one sentence each.
        unpacked: Temporary folder of images from a zip or from memory.
    """

    source: Path = field(compare=False)
    root: Path
    classes: tuple[str, ...]
    images: tuple[LabeledImage, ...]
    splits: frozenset[Split]
    multi_label: bool = False
    skipped: tuple[SkippedFile, ...] = ()
    notices: tuple[str, ...] = ()
    unpacked: TemporaryFolder | None = field(default=None, compare=False, repr=False)

    def display_path(self, path: Path) -> Path:
        """Path of an image as the user knows it: inside the zip, if it is from one."""
        return self.unpacked.display_path(path) if self.unpacked else path

    def display_message(self, message: str) -> str:
        return self.unpacked.display_message(message) if self.unpacked else message


NamedImage = tuple[Path, Collection[str], Split]
"""A file with the names of its classes."""


def build_catalog(
    source: Path,
    images: Iterable[NamedImage],
    classes: Mapping[Split, Collection[str]],
    *,
    to_learn: bool,
    multi_label: bool = False,
    skipped: Iterable[SkippedFile] = (),
    notices: Iterable[str] = (),
) -> Catalog:
    """Sort named images into a catalog; ``classes`` of a split may be without images.

    To learn, there must be two classes, and no split may have classes that train lacks.
    """
    if to_learn:
        _check_classes(source, classes, multi_label)
    splits = [split for split in SPLIT_ORDER if split in classes]
    names = list(dict.fromkeys(name for split in splits for name in classes[split]))
    if source != MEMORY:
        names.sort(key=natural_key)
    indices = {name: index for index, name in enumerate(names)}
    listed = [
        LabeledImage(path, tuple(sorted(indices[name] for name in labels)), split)
        for path, labels, split in images
    ]
    listed.sort(key=lambda each: natural_path_key(each.path))
    listed.sort(key=lambda each: (SPLIT_ORDER.index(each.split), each.labels))
    return Catalog(
        source=source,
        root=source.parent if source.is_file() else source,
        classes=tuple(names),
        images=tuple(listed),
        splits=frozenset(splits),
        multi_label=multi_label,
        skipped=tuple(skipped),
        notices=(*notices, *warn_similar_names(names)),
    )


def _check_classes(
    source: Path, classes: Mapping[Split, Collection[str]], multi_label: bool
) -> None:
    if "train" not in classes:
        raise FolderError(f"{source} has no training image; give some images the split train.")
    known = sorted(classes["train"], key=natural_key)
    for split, names in classes.items():
        unknown = sorted(set(names) - set(known), key=natural_key)
        if unknown:
            raise FolderError(
                f"{source}: the {split} split has classes that train lacks: {', '.join(unknown)}; "
                f"rename or remove them (train has {', '.join(known)})."
            )
    if not known or (len(known) == 1 and not multi_label):
        raise FolderError(
            f"{source} has only one class, {', '.join(known)}; give at least two classes."
        )
