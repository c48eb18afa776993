"""Predictions for images, and the settings of `predict`."""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.datasets.listing import SkippedFile
from nstk.distribution.shards import WHOLE, Shard
from nstk.features.extractor import BATCH_SIZE
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.settings import DecodeMode, ExecutorName, check_range, check_whole, check_word
from nstk.types import Json, Matrix


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of `predict`, which explains them.

    Probabilities depend on the batch by no more than rounding, 1e-6, and on the executor by no more
    than 1e-4.
    """

    top: int = 5
    batch: int = BATCH_SIZE
    abstain_below: float | None = None
    value_range: ValueRange = VALUE_RANGE
    decode: DecodeMode | None = None
    executor: ExecutorName = "auto"
    shard: Shard | str = WHOLE

    def __post_init__(self) -> None:
        if isinstance(self.shard, str):
            object.__setattr__(self, "shard", Shard.parse(self.shard))
        check_whole("top", self.top, 1)
        check_whole("batch", self.batch, 1)
        check_word("executor", self.executor, ExecutorName)
        if self.abstain_below is not None:
            check_range("abstain_below", self.abstain_below, 0, 1)
        if self.decode is not None:
            check_word("decode", self.decode, DecodeMode)


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        path: The file; for bytes and arrays their position, as in ``image 3``.
        label: The most likely class, or ``"unsure"``.
        probability: Probability of the most likely class.
        labels: The predicted labels, most likely first: ``label`` alone or, for multi-label
            classifiers, those that reach their thresholds; empty where it abstains.
        top: The most likely classes with their probabilities, most likely first.
        digest: SHA-256 of the content.
        ood_score: Distance from the training images, above 1 where the image is out of
            distribution; None if the classifier has no detector.
        position: In a shard, the place of the image among all, from 0; None without shards.
    """

    path: Path
    label: str
    probability: float
    labels: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    digest: str
    ood_score: float | None = None
    position: int | None = None

    @property
    def is_ood(self) -> bool:
        """Whether the image is out of distribution: an OOD score above 1."""
        return self.ood_score is not None and self.ood_score > 1

    def to_dict(self, *, multi_label: bool = False) -> dict[str, Json]:
        """Convert to JSON values.

        Args:
            multi_label: Whether to include ``labels``.
        """
        return {
            "path": str(self.path),
            "label": self.label,
            "probability": self.probability,
            **({"labels": list(self.labels)} if multi_label else {}),
            "top": [{"label": label, "probability": share} for label, share in self.top],
            "ood_score": self.ood_score,
            "is_ood": self.is_ood,
        }


@dataclass(frozen=True, repr=False)
class Predictions:
    """The predictions for several images.

    Attributes:
        predictions: A `Prediction` for every readable image, in the order given.
        skipped: The unreadable files, with reasons.
        multi_label: Whether an image may have several labels, or none.
    """

    predictions: tuple[Prediction, ...]
    skipped: tuple[SkippedFile, ...]
    multi_label: bool = False

    def __repr__(self) -> str:
        return f"Predictions({len(self.predictions)} images, {len(self.skipped)} skipped)"

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    def __getitem__(self, index: int) -> Prediction:
        return self.predictions[index]

    @property
    def labels(self) -> list[str]:
        """The label of every image."""
        return [each.label for each in self.predictions]

    def to_dict(self) -> dict[str, Json]:
        """Convert to JSON values, as ``nstk predict --json`` prints them."""
        return {
            "predictions": [each.to_dict(multi_label=self.multi_label) for each in self],
            "skipped": [each.to_dict() for each in self.skipped],
        }

    def _repr_html_(self) -> str:
        rows = [(each.path, each.label, f"{100 * each.probability:.1f} %") for each in self]
        return html_table(("image", "label", "probability"), rows)


def collect_probabilities(predictions: Sequence[Prediction], classes: Sequence[str]) -> Matrix:
    """The probabilities of predictions that list all classes, ``(N, C)``."""
    columns = {name: column for column, name in enumerate(classes)}
    rows = np.zeros((len(predictions), len(classes)))
    for row, each in zip(rows, predictions, strict=True):
        for name, probability in each.top:
            row[columns[name]] = probability
    return rows


def html_table(columns: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Format an HTML table for notebooks."""

    def line(tag: str, cells: Iterable[object]) -> str:
        content = "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)
        return f"<tr>{content}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table>{line('th', columns)}{body}</table>"
