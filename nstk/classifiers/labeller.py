"""A classifier as a function of a batch, for engines that send functions to their workers."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.loading import load_classifier
from nstk.classifiers.prediction.job import stream_predictions
from nstk.classifiers.prediction.prediction import Prediction, PredictSettings
from nstk.datasets.listing import SkippedFile
from nstk.errors import ImageError
from nstk.settings import resolve_settings
from nstk.storage.remote import as_path, is_remote, read_remote
from nstk.types import Images, SettingValue


class Labeller:
    """A classifier file as a function from images to columns, for Dask, Ray, Beam or Spark.

    It can be pickled: only the path and the options travel. Each process loads the classifier when
    it labels its first images, once.

    Args:
        model: The file that `Classifier.save` wrote; every worker needs it at this path.
        **options: The options of `nstk.predict`, such as ``executor="litert"``.

    Raises:
        SettingsError: If an option is unknown or out of range.

    Example:
        >>> labeller = nstk.Labeller("insects.keras")  # doctest: +SKIP
        >>> labeller(["ant.jpg", "bee.jpg"])["label"]  # doctest: +SKIP
        ['ants', 'bees']
    """

    def __init__(self, model: str | Path, **options: SettingValue) -> None:
        self.model = os.path.abspath(model)
        self.settings = resolve_settings(PredictSettings, None, options)

    def __repr__(self) -> str:
        return f"Labeller({self.model!r})"

    @property
    def classifier(self) -> Classifier:
        """The classifier, loaded once in each process."""
        return load_classifier(self.model)

    def __call__(self, images: Images) -> dict[str, Any]:
        """Label a batch of images.

        Args:
            images: Paths, bytes or arrays, one for each row; or a mapping of columns, one of them
                ``path``, ``image`` or ``bytes``.

        Returns:
            The columns of a mapping and ``label``, ``probability``, ``ood_score`` and ``error``,
            each with one value for each row. A file that cannot be read has an error and no label.

        Raises:
            ModelError: If the file is not a classifier.
        """
        given: Mapping[str, Any] = images if isinstance(images, Mapping) else {}
        column = next((given[name] for name in ("path", "image", "bytes") if name in given), images)
        sources: list[Images] = []
        rows: list[Path | str] = []  # the name of each image, or why it cannot be read
        for each in column:
            try:
                source = _open(each)
            except ImageError as error:
                rows.append(error.message_for(each))
                continue
            sources.append(source)
            rows.append(source if isinstance(source, Path) else Path(f"image {len(sources)}"))
        stream = stream_predictions(self.classifier, sources, self.settings) if sources else ()
        found = {each.path: _to_row(each) for each in stream}
        labeled = [
            found[row] if isinstance(row, Path) else {**_NOTHING, "error": row} for row in rows
        ]
        return {**given, **{name: [row[name] for row in labeled] for name in COLUMNS}}


def _open(image: Images) -> Images:
    """A path that exists, or an image in memory; ImageError if it cannot be read."""
    path = as_path(image) if isinstance(image, str | Path) else None
    if path is None:
        return image
    if is_remote(path):
        return read_remote(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file.")
    return path


def _to_row(each: Prediction | SkippedFile) -> dict[str, Any]:
    if isinstance(each, SkippedFile):
        return {**_NOTHING, "error": each.reason}
    values = each.label, each.probability, each.ood_score, None
    return dict(zip(COLUMNS, values, strict=True))


COLUMNS = ("label", "probability", "ood_score", "error")
_NOTHING = dict.fromkeys(COLUMNS)
