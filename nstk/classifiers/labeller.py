"""A classifier as a function of a batch, for engines that send functions to their workers."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.job import stream_predictions
from nstk.classifiers.prediction.prediction import Prediction, PredictSettings
from nstk.datasets.listing import SkippedFile
from nstk.settings import resolve_settings
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
        rows = [Path(row) if isinstance(row, str) else row for row in column]
        keys = [
            row if isinstance(row, Path) else Path(f"image {n}") for n, row in enumerate(rows, 1)
        ]
        readable = [row for row in rows if not isinstance(row, Path) or row.is_file()]
        stream = stream_predictions(self.classifier, readable, self.settings) if readable else ()
        found = {each.path: _to_row(each) for each in stream}
        missing = {**dict.fromkeys(COLUMNS), "error": "no such file"}
        labeled = [found.get(key, missing) for key in keys]
        return {**given, **{name: [row[name] for row in labeled] for name in COLUMNS}}


def _to_row(each: Prediction | SkippedFile) -> dict[str, Any]:
    if isinstance(each, SkippedFile):
        return {**dict.fromkeys(COLUMNS), "error": each.reason}
    values = each.label, each.probability, each.ood_score, None
    return dict(zip(COLUMNS, values, strict=True))


COLUMNS = ("label", "probability", "ood_score", "error")


@lru_cache(maxsize=2)
def _load(path: str, modified: int, size: int) -> Classifier:
    return Classifier.load(path)


def load_classifier(path: str | Path) -> Classifier:
    """Load a classifier once in each process, and again if its file has changed."""
    status = os.stat(path)
    return _load(os.fspath(path), status.st_mtime_ns, status.st_size)
