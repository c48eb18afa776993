"""The findings of an audit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nstk.datasets.catalogs import Catalog, LabeledImage, Split
from nstk.datasets.listing import SkippedFile
from nstk.images.quality import ImageQuality
from nstk.types import Json


@dataclass(frozen=True)
class ClassBalance:
    """Number of readable images of one class, by split."""

    name: str
    counts: Mapping[Split, int]

    @property
    def images(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class WrongExtension:
    """A file whose extension does not match its true format, such as ``"JPEG"``."""

    path: Path
    format: str


@dataclass(frozen=True)
class LabelSuspect:
    """An image whose label is likely wrong, according to out-of-fold predictions.

    The suggestion is the predicted class; of several labels, which have | between them, all with
    the doubtful one added or removed. The probabilities are then of the doubtful one.
    """

    path: Path
    label: str
    suggestion: str
    label_probability: float
    probability: float


@dataclass(frozen=True)
class ImageIssue:
    """An outlier, or an image of poor quality; the unit of the value depends on the list."""

    path: Path
    value: float


Groups = tuple[tuple[Path, ...], ...]
"""Groups of duplicates, each in the order of the data."""

_DUPLICATES = ("exact", "near", "cross_class", "cross_split")
MEASURES = {
    "outliers": "ood_score",
    "tiny": "side",
    "blurred": "blur",
    "dark": "brightness",
    "low_contrast": "contrast",
}


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """The findings of an audit. Lists begin with the worst.

    Attributes:
        skipped: Files outside the class folders, and folders that cannot be searched.
        near_duplicates: Images that look the same; not all have the same bytes.
        cross_class_duplicates: Duplicates of both kinds with different labels.
        cross_split_duplicates: Duplicates of both kinds in different splits.
        outliers: Images unlike all others; distance to their neighbors above the upper quartile,
            in interquartile ranges.
        tiny: Images much smaller than a network needs or than the others; shorter side in
            pixels.
        blurred: Images without sharp edges; `ImageQuality.blur`.
        dark: Nearly black images; mean luma.
        low_contrast: Nearly empty images; `ImageQuality.contrast`.
        qualities: Quality metrics of each readable image.
        executor: What ran the backbone: ``"tensorflow"`` or ``"litert"``.
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
    outliers: tuple[ImageIssue, ...]
    tiny: tuple[ImageIssue, ...]
    blurred: tuple[ImageIssue, ...]
    dark: tuple[ImageIssue, ...]
    low_contrast: tuple[ImageIssue, ...]
    qualities: Mapping[Path, ImageQuality]
    notices: tuple[str, ...]
    backbone: str
    executor: str
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        duplicates = len(self.exact_duplicates) + len(self.near_duplicates)
        return (
            f"Audit({self.images} images, {len(self.label_suspects)} label suspects, "
            f"{duplicates} groups of duplicates, {len(self.outliers)} outliers, "
            f"{len(self.unreadable)} unreadable)"
        )

    @property
    def images(self) -> int:
        """Number of readable images."""
        return len(self.qualities)

    def display_path(self, path: Path) -> Path:
        """The path of an image as the user knows it: inside the zip, if it comes from one."""
        return self.catalog.display_path(path)

    def labels(self, path: Path) -> tuple[str, ...]:
        """The classes of an image."""
        return tuple(self.catalog.classes[label] for label in self._by_path[path].labels)

    def split(self, path: Path) -> Split:
        """The split of an image."""
        return self._by_path[path].split

    def to_dict(self) -> dict[str, Json]:
        """All findings as plain values for JSON, with the paths that the user knows."""

        def shown(path: Path) -> str:
            return str(self.display_path(path))

        def plain(name: str) -> list[dict[str, Json]]:
            return [vars(each) | {"path": shown(each.path)} for each in getattr(self, name)]

        def groups(name: str) -> list[list[str]]:
            return [[shown(path) for path in group] for group in getattr(self, name)]

        return {
            "images": self.images,
            "classes": [
                {"name": each.name, "images": each.images, **each.counts} for each in self.classes
            ],
            **{name: plain(name) for name in ("unreadable", "wrong_extension")},
            **{f"{kind}_duplicates": groups(f"{kind}_duplicates") for kind in _DUPLICATES},
            "label_suspects": plain("label_suspects"),
            **{
                name: [{"path": shown(each.path), measure: each.value} for each in issues]
                for name, measure in MEASURES.items()
                for issues in [getattr(self, name)]
            },
            "skipped": [file.to_dict() for file in self.skipped],
            "notices": self.notices,
            "backbone": self.backbone,
            "executor": self.executor,
            "seconds": dict(self.seconds),
        }

    @cached_property
    def _by_path(self) -> Mapping[Path, LabeledImage]:
        return {image.path: image for image in self.catalog.images}
