"""What an audit finds, in values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nstk.datasets.catalogs import Catalog, LabeledImage
from nstk.datasets.layout import Split
from nstk.datasets.listing import SkippedFile
from nstk.images.quality import ImageQuality


@dataclass(frozen=True)
class ClassBalance:
    """How many readable images of one class there are.

    Attributes:
        name: The class.
        counts: Images by part.
    """

    name: str
    counts: Mapping[Split, int]

    @property
    def images(self) -> int:
        """In all parts."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class WrongExtension:
    """A file whose name says another format than its content.

    Attributes:
        path: The file.
        format: What it is: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"TIFF"``, ``"BMP"``, ``"GIF"``.
    """

    path: Path
    format: str


@dataclass(frozen=True)
class LabelSuspect:
    """An image that looks like one of another class to heads which have not seen it.

    Attributes:
        path: The file.
        label: The class it is given; several with | between them.
        suggestion: The class it looks like; of several labels all, with the one in doubt added or
            taken away.
        label_probability: Probability of the class it is given; of several labels, that the one in
            doubt is right.
        probability: Probability of the class it looks like; of several labels, that the one in
            doubt is wrong.
    """

    path: Path
    label: str
    suggestion: str
    label_probability: float
    probability: float


@dataclass(frozen=True)
class Flaw:
    """An image that stands out by something measured in it.

    Attributes:
        path: The file.
        value: The measure, in the unit of the list it stands in.
    """

    path: Path
    value: float


Groups = tuple[tuple[Path, ...], ...]
"""Images that belong together, each group in the order of the data."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found in labeled data. Lists begin with what is worst.

    Attributes:
        catalog: The data.
        classes: How many images every class has.
        unreadable: Files that no image can be read from.
        skipped: Files beside the classes, and folders that cannot be searched.
        wrong_ending: Images whose name says another format.
        exact_duplicates: Images with the same bytes.
        near_duplicates: Images that look the same; not all have the same bytes.
        cross_class_duplicates: Those of both kinds that have different labels.
        cross_split_duplicates: Those of both kinds that stand in different parts.
        label_suspects: Images whose label is likely wrong.
        outliers: Images unlike all others; how many spreads above the upper quartile their
            distance to their neighbors is.
        tiny: Images far smaller than a network needs or than the others are; shorter side in
            pixels.
        blurred: Images without sharp edges; `ImageQuality.blur`.
        dark: Nearly black images; mean luma.
        low_contrast: Nearly empty images; `ImageQuality.contrast`.
        qualities: What was measured in each readable image.
        notices: What the reader should know, one sentence each.
        backbone: Name of the network that looked.
        seconds: Wall time by stage and in ``total``.
    """

    catalog: Catalog
    classes: tuple[ClassBalance, ...]
    unreadable: tuple[SkippedFile, ...]
    skipped: tuple[SkippedFile, ...]
    wrong_extension: tuple[WrongExtension, ...]
    exact_duplicates: Groups
    near_duplicates: Groups
    cross_class_duplicates: Groups
    cross_split_duplicates: Groups
    label_suspects: tuple[LabelSuspect, ...]
    outliers: tuple[Flaw, ...]
    tiny: tuple[Flaw, ...]
    blurred: tuple[Flaw, ...]
    dark: tuple[Flaw, ...]
    low_contrast: tuple[Flaw, ...]
    qualities: Mapping[Path, ImageQuality]
    notices: tuple[str, ...]
    backbone: str
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many images could be read."""
        return len(self.qualities)

    def name(self, path: Path) -> Path:
        """The path of an image as its owner knows it: inside the zip, if it is from one."""
        return self.catalog.name(path)

    def labels(self, path: Path) -> tuple[str, ...]:
        """The classes of an image."""
        return tuple(self.catalog.classes[label] for label in self._found[path].labels)

    def split(self, path: Path) -> Split:
        """The part in which an image stands."""
        return self._found[path].split

    @cached_property
    def _found(self) -> Mapping[Path, LabeledImage]:
        return {image.path: image for image in self.catalog.images}
