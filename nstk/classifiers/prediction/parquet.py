"""Predictions as a Parquet file, with the columns of the CSV file."""

import importlib.util
import os
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.prediction import Prediction
from nstk.classifiers.prediction.results import identify_classifier
from nstk.errors import OutputError, SettingsError
from nstk.storage.files import atomic_write, check_replaceable, make_temporary_name

EXTENSION = ".parquet"

_MAGIC = "PAR1"
_ROWS = 10_000
"""Rows in a group, which are in memory until they are written."""


def check_parquet(path: Path, *, resume: bool = False) -> None:
    """Refuse, before any long work, a Parquet file that cannot be written."""
    if importlib.util.find_spec("pyarrow") is None:
        raise SettingsError("Parquet needs PyArrow; pip install 'nstk[parquet]'.")
    if resume:
        raise OutputError(
            f"{path}: a Parquet file cannot be resumed; write a .csv or .jsonl file instead."
        )
    check_replaceable(path, _MAGIC)


class ParquetFile:
    """A Parquet file that appears when it is complete; a context manager.

    Args:
        path: File that ends in ``.parquet``.
        classifier: The classifier.
        top: Number of the most likely classes in each prediction.
        abstain_below: See `nstk.predict`.
        sharded: Whether to write the position of each image.
    """

    done: Collection[tuple[Path, str]] = ()

    def __init__(
        self,
        path: Path,
        classifier: Classifier,
        *,
        top: int,
        abstain_below: float | None = None,
        sharded: bool = False,
    ) -> None:
        import pyarrow as pa

        check_parquet(path)
        self.path, self._top = path, min(top, len(classifier.classes))
        self._classifier = identify_classifier(classifier, abstain_below)
        fields = [("path", pa.string())]
        fields += [("labels", pa.list_(pa.string()))] if classifier.multi_label else []
        for number in range(1, self._top + 1):
            ending = "" if number == 1 else f"_{number}"
            fields += [(f"label{ending}", pa.string()), (f"probability{ending}", pa.float64())]
        fields += [("ood_score", pa.float64()), ("sha256", pa.string())]
        fields += [("classifier", pa.string())] + ([("position", pa.int64())] if sharded else [])
        self._schema = pa.schema(fields)
        self._temporary = make_temporary_name(path)
        self._rows: list[dict[str, Any]] = []
        self._writer: Any = None

    def append(self, prediction: Prediction) -> None:
        """Write one prediction; rows reach the disk in groups."""
        row: dict[str, Any] = {
            "path": os.fsencode(prediction.path).decode(errors="replace"),
            "labels": list(prediction.labels),
            "ood_score": prediction.ood_score,
            "sha256": prediction.digest,
            "classifier": self._classifier,
            "position": prediction.position,
        }
        for number, (label, probability) in enumerate(prediction.top[: self._top], 1):
            ending = "" if number == 1 else f"_{number}"
            row |= {f"label{ending}": label, f"probability{ending}": probability}
        self._rows.append({**row, "label": prediction.label})
        if len(self._rows) >= _ROWS:
            self._write()

    def write_heading(self) -> None:
        """Write a file without predictions."""
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            if kind is None and (self._rows or self._writer):
                self._write()
                self._writer.close()
                atomic_write(self.path, lambda target: os.replace(self._temporary, target))
        finally:
            if kind is not None and self._writer is not None:
                self._writer.close()
            self._temporary.unlink(missing_ok=True)

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows, self._rows = self._rows, []
        try:
            self._writer = self._writer or pq.ParquetWriter(self._temporary, self._schema)
            self._writer.write_table(pa.Table.from_pylist(rows, self._schema))
        except OSError as error:
            raise OutputError(
                f"Cannot write {self.path}: {error}; free some disk space."
            ) from error
