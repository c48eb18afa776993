"""Matching labeled images to the classes of a classifier, by name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nstk.datasets.catalogs import DEFAULTS, Catalog, DataSettings, normalize
from nstk.datasets.layout import PREFERRED
from nstk.datasets.listing import SkippedFile
from nstk.datasets.sources import Data, open_catalog
from nstk.errors import FolderError
from nstk.progress import Reporter, no_progress


@dataclass(frozen=True)
class LabeledFiles:
    """Labeled files for a classifier.

    Attributes:
        catalog: The data; files of a zip exist as long as this object.
        files: Every file with the indices of its classes: one, or any number in multi-label data.
        missing: Classes of the classifier without files.
        extra: Classes that the classifier does not have.
        skipped: Files of extra classes, and files outside all class folders.
    """

    catalog: Catalog = field(repr=False)
    files: tuple[tuple[Path, tuple[int, ...]], ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]

    @property
    def root(self) -> Path:
        """The folder with the classes, the manifest or the zip."""
        return self.catalog.source

    def display_path(self, path: Path) -> Path:
        """The path of a file that users know: inside the zip, if it comes from one."""
        return self.catalog.display_path(path)


def match_classes(
    data: Data,
    classes: Sequence[str],
    settings: DataSettings = DEFAULTS,
    *,
    multi_label: bool = False,
    on_progress: Reporter = no_progress,
) -> LabeledFiles:
    """Find the images of a classifier's classes.

    Args:
        data: A folder, a manifest or a zip, as for `nstk.finetune`, or images from memory. Of
            splits, ``test`` is used, or ``validation`` without it, or else ``train``.
        classes: The classifier's class names, in the order of its outputs.
        settings: How the data are read.
        multi_label: Whether the classifier may predict several labels.
        on_progress: Receives the progress of unpacking a zip and of storing images.
    """
    catalog = open_catalog(data, settings, classes=classes, on_progress=on_progress)
    if catalog.multi_label and not multi_label:
        raise FolderError(
            f"{catalog.source}: its images have several labels, but the classifier predicts one; "
            "give data with one label for each image."
        )
    split = next(each for each in PREFERRED if each in catalog.splits)
    indices = {normalize(name): index for index, name in enumerate(classes)}
    outputs = [indices.get(normalize(name)) for name in catalog.classes]
    files: list[tuple[Path, tuple[int, ...]]] = []
    unknown: list[SkippedFile] = []
    present: set[int] = set()
    for image in (each for each in catalog.images if each.split == split):
        known = tuple(index for each in image.labels if (index := outputs[each]) is not None)
        present.update(image.labels)
        if known or not image.labels:
            files.append((image.path, known))
        else:
            names = ", ".join(catalog.classes[label] for label in image.labels)
            unknown.append(SkippedFile(image.path, f"the classifier has no class '{names}'"))
    extra = tuple(catalog.classes[each] for each in sorted(present) if outputs[each] is None)
    found = {outputs[each] for each in present}
    if found <= {None}:
        raise FolderError(
            f"{catalog.source}: its classes are {', '.join(extra) or 'missing'}, those of the "
            f"classifier {', '.join(classes)}; rename the classes, or give another folder."
        )
    return LabeledFiles(
        catalog=catalog,
        files=tuple(files),
        missing=tuple(name for index, name in enumerate(classes) if index not in found),
        extra=extra,
        skipped=(*catalog.skipped, *unknown),
    )
