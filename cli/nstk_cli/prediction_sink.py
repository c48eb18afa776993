"""What ``nstk predict`` prints and writes while predictions arrive."""

import logging
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nstk.errors import ImageError, printable
from nstk.reports.formatting import format_percent
from nstk_cli.output import as_json, format_duration, print_text
from nstk_cli.process import is_deterministic

if TYPE_CHECKING:
    from nstk.classifiers.prediction.parquet import ParquetFile
    from nstk.classifiers.prediction.prediction import Prediction
    from nstk.classifiers.prediction.results import ResultsFile
    from nstk.classifiers.prediction.resumption import SavedPredictions
    from nstk.datasets.listing import SkippedFile

log = logging.getLogger("nstk")

JSON_START = '{"predictions": ['


class PredictionSink:
    """Writes predictions as they arrive: to a file, as JSON, or as lines or a table.

    Only a table is kept in memory until the end. A watching run has no known end, so its lines are
    printed at once.
    """

    def __init__(
        self,
        results: "ResultsFile | ParquetFile | None",
        saved: "SavedPredictions",
        *,
        multi_label: bool,
        json: bool,
        watching: bool,
        sharded: bool,
    ) -> None:
        self.results = results
        self.saved = saved
        self.multi_label = multi_label
        self.json = json
        self.watching = watching
        self.sharded = sharded
        self.start = time.monotonic()
        self.count = 0
        self.table: list[Prediction] = []
        self.skipped: dict[Path, SkippedFile] = {}

    def write_all(self, stream: "Iterator[Prediction | SkippedFile]") -> None:
        """Write all predictions of a stream; a skipped file may be readable later."""
        from nstk.datasets.listing import SkippedFile

        for each in stream:
            if isinstance(each, SkippedFile):
                self.skipped[each.path] = each
                if self.watching:
                    log.warning(f"{each.path}: {each.reason}")
                continue
            self.skipped.pop(each.path, None)
            self.saved.append(each)
            if self.results:
                self.results.append(each)
            self._print(each)
            self.count += 1

    def _print(self, each: "Prediction") -> None:
        if self.json:
            entry = as_json(each.to_dict(multi_label=self.multi_label))
            print(", " if self.count else JSON_START, entry, sep="", end="")
        elif self.results:
            return
        elif self.watching:
            print(printable(f"{each.path}  {format_labels(each)}"), flush=True)
        else:
            self.table.append(each)

    def check(self) -> None:
        """Raise an ImageError with the reason for the first file if no image was readable.

        A shard may be empty; its file is merged like the others.
        """
        if self.count or (self.results and self.results.done):
            return
        if self.sharded:
            if self.results:
                self.results.write_heading()
            return
        if not self.skipped:
            raise ImageError("No images were found; give image files, or folders of them.")
        first, *others = self.skipped.values()
        more = f" ({len(others)} more were skipped)" if others else ""
        raise ImageError(f"{first.path}: {first.reason}{more}; give images that can be read.")

    def close(self) -> None:
        """Print the end: of the JSON object, or the table, skipped files and a summary."""
        skipped = [*self.skipped.values()]
        if self.json:
            start = "" if self.count else JSON_START
            listed = [each.to_dict() for each in skipped]
            rest = as_json({"skipped": listed, "deterministic": is_deterministic()})
            print(f"{start}], {rest.removeprefix('{')}")
            return
        if self.table:
            functions = {"labels": format_labels, "alternatives": format_alternatives}
            chosen = {"predictions": self.table, "multi_label": self.multi_label}
            print_text("predictions.txt", **chosen, **functions)
        print_text("skipped.txt", skipped=skipped)
        if self.results:
            known = len(self.results.done)
            before = f", {known} already done" if known else ""
            spent = format_duration(time.monotonic() - self.start)
            print(f"{self.results.path}: {self.count} images{before}, {spent}")


def format_labels(prediction: "Prediction") -> str:
    """Write the predicted labels with their probabilities, ``unsure``, or a dash for none."""
    labels = [format_label(pair) for pair in prediction.top if pair[0] in prediction.labels]
    return ", ".join(labels) or ("unsure" if prediction.label == "unsure" else "–")


def format_alternatives(prediction: "Prediction", labels: Collection[str]) -> str:
    """Write the other likely labels, and whether the image is out of distribution."""
    others = [format_label(pair) for pair in prediction.top if pair[0] not in labels]
    return ", ".join([*others, "out of distribution"] if prediction.is_ood else others)


def format_label(pair: tuple[str, float]) -> str:
    """Write a label with its probability: ``ants 93.5 %``."""
    return f"{pair[0]} {format_percent(pair[1])}"
