"""The findings of an audit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nstk.datasets.catalogs import Catalog, LabeledImage
from nstk.datasets.layout import Split
from nstk.datasets.listing import SkippedFile
from nstk.images.quality import ImageQuality
from nstk.types import Json


@dataclass(frozen=True)
class ClassBalance:
    """Number of readable images of one class.

    Attributes:
        name: The class.
        counts: Images by split.
    """

    name: str
    counts: Mapping[Split, int]

    @property
    def images(self) -> int:
        """Images in all splits."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class WrongExtension:
    """A file whose extension does not match its content.

    Attributes:
        path: The file.
        format: The true format: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"TIFF"``, ``"BMP"`` or
            ``"GIF"``.
    """

    path: Path
    format: str


@dataclass(frozen=True)
class LabelSuspect:
    """An image whose label is likely wrong, according to out-of-fold predictions.

    Attributes:
        path: The file.
        label: Its label; several with | between them.
        suggestion: The predicted class; of several labels all, with the doubtful one added or
            removed.
        label_probability: Probability of its label; of several labels, that the doubtful one is
            right.
        probability: Probability of the suggestion; of several labels, that the doubtful one is
            wrong.
    """

    path: Path
    label: str
    suggestion: str
    label_probability: float
    probability: float


@dataclass(frozen=True)
class ImageIssue:
    """An outlier, or an image of poor quality.

    Attributes:
        path: The file.
        value: The measure; its unit depends on the list.
    """

    path: Path
    value: float


Groups = tuple[tuple[Path, ...], ...]
"""Groups of duplicates, each in the order of the data."""


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """The findings of an audit. Lists begin with the worst.

    Attributes:
        catalog: The data.
        classes: Number of images of every class.
        unreadable: Files that contain no readable image.
        skipped: Files outside the class folders, and folders that cannot be searched.
        wrong_extension: Images with the extension of another format.
        exact_duplicates: Images with the same bytes.
        near_duplicates: Images that look the same; not all have the same bytes.
        cross_class_duplicates: Duplicates of both kinds with different labels.
        cross_split_duplicates: Duplicates of both kinds in different splits.
        label_suspects: Images whose label is likely wrong.
        outliers: Images unlike all others; distance to their neighbors above the upper quartile,
            in interquartile ranges.
        tiny: Images much smaller than a network needs or than the others; shorter side in
            pixels.
        blurred: Images without sharp edges; `ImageQuality.blur`.
        dark: Nearly black images; mean luma.
        low_contrast: Nearly empty images; `ImageQuality.contrast`.
        qualities: Quality metrics of each readable image.
        notices: Warnings, one sentence each.
        backbone: Name of the network.
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

        def groups(many: Groups) -> list[list[str]]:
            return [[shown(path) for path in group] for group in many]

        def issues(many: Sequence[ImageIssue], measure: str) -> list[dict[str, Json]]:
            return [{"path": shown(issue.path), measure: issue.value} for issue in many]

        return {
            "images": self.images,
            "classes": [
                {"name": each.name, "images": each.images, **each.counts} for each in self.classes
            ],
            "unreadable": [
                {"path": shown(file.path), "reason": file.reason} for file in self.unreadable
            ],
            "wrong_extension": [
                {"path": shown(file.path), "format": file.format} for file in self.wrong_extension
            ],
            "exact_duplicates": groups(self.exact_duplicates),
            "near_duplicates": groups(self.near_duplicates),
            "cross_class_duplicates": groups(self.cross_class_duplicates),
            "cross_split_duplicates": groups(self.cross_split_duplicates),
            "label_suspects": [
                {
                    "path": shown(each.path),
                    "label": each.label,
                    "suggestion": each.suggestion,
                    "label_probability": each.label_probability,
                    "probability": each.probability,
                }
                for each in self.label_suspects
            ],
            "outliers": issues(self.outliers, "ood_score"),
            "tiny": issues(self.tiny, "side"),
            "blurred": issues(self.blurred, "blur"),
            "dark": issues(self.dark, "brightness"),
            "low_contrast": issues(self.low_contrast, "contrast"),
            "skipped": [{"path": str(file.path), "reason": file.reason} for file in self.skipped],
            "notices": self.notices,
            "seconds": dict(self.seconds),
        }

    @cached_property
    def _by_path(self) -> Mapping[Path, LabeledImage]:
        return {image.path: image for image in self.catalog.images}
