"""Opening labeled images of any kind: a folder, a manifest, a zip or arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from nstk.datasets.arrays import catalog_arrays
from nstk.datasets.catalogs import Catalog, TemporaryFolder, catalog_folder
from nstk.datasets.layout import SPLITS
from nstk.datasets.listing import SkippedFile, list_folder
from nstk.datasets.manifests import EXTENSIONS, read_manifest
from nstk.datasets.zips import unpack_zip
from nstk.errors import FolderError
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.progress import Reporter, no_progress

Data = str | Path | Iterable[object]
"""Labeled images: the path of a folder, manifest or zip, or data for `catalog_arrays`."""

_MANIFEST_NAMES = ("manifest", "labels")


def open_catalog(
    data: Data,
    class_names: Sequence[str] | None = None,
    *,
    value_range: ValueRange = VALUE_RANGE,
    to_learn: bool = True,
    on_progress: Reporter = no_progress,
) -> Catalog:
    """List the labeled images of a folder, of a manifest, of a zip, or from memory.

    A zip holds class folders or split folders, at its top or in a single folder, or a manifest
    named ``manifest`` or ``labels`` beside its images.

    Args:
        data: The folder; a ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson`` file; a ``.zip``; or data
            for `catalog_arrays`.
        class_names: Names of the classes of images from memory, in the order of their labels.
        value_range: Values of black and white in arrays of floats, as in Keras.
        to_learn: Whether the images are for training, which needs two classes and training images.
        on_progress: Called while a zip is unpacked, stage ``"unpack"``, or images from memory are
            stored, stage ``"store"``.

    Raises:
        FolderError: If the data is of another kind or invalid.
    """
    if not isinstance(data, str | Path):
        return catalog_arrays(data, class_names, value_range=value_range, on_progress=on_progress)
    if class_names is not None:
        raise FolderError(f"{data} names its classes itself; leave out `class_names`.")
    data = Path(data)
    if data.is_file() and data.suffix.casefold() == ".zip":
        return _open_zip(unpack_zip(data, on_progress=on_progress), to_learn=to_learn)
    if data.is_file() and data.suffix.casefold() in EXTENSIONS:
        return read_manifest(data, to_learn=to_learn)
    return catalog_folder(data, to_learn=to_learn)


def _open_zip(unpacked: TemporaryFolder, *, to_learn: bool) -> Catalog:
    try:
        catalog = open_catalog(_find_data(unpacked.path), to_learn=to_learn)
    except FolderError as error:
        raise FolderError(unpacked.display_message(str(error))) from error
    return replace(
        catalog,
        source=unpacked.source,
        skipped=tuple(
            SkippedFile(unpacked.display_path(file.path), file.reason) for file in catalog.skipped
        ),
        notices=tuple(map(unpacked.display_message, catalog.notices)),
        unpacked=unpacked,
    )


def _find_data(place: Path) -> Path:
    """The manifest or the labeled folder; archives often hold a single folder with everything."""
    folders, files = list_folder(place)
    for file in files:
        if file.suffix.casefold() in EXTENSIONS and file.stem.casefold() in _MANIFEST_NAMES:
            return file
    if files or len(folders) != 1 or folders[0].name.casefold() in SPLITS:
        return place
    below = _find_data(folders[0])
    return place if below == folders[0] and not list_folder(below)[0] else below
