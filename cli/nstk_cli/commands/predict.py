"""``nstk predict``: labels for images, written and printed as they arrive."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstk.distribution.shards import Shard
from nstk.errors import ImageError, OutputError, SettingsError, printable
from nstk.reports.formatting import format_percent
from nstk.settings import CheckpointSettings
from nstk_cli.options import (
    Decode,
    Executor,
    Json,
    ModelFile,
    Quiet,
    ShardOption,
    read_paths,
    with_settings,
)
from nstk_cli.output import as_json, format_duration, print_text
from nstk_cli.process import is_deterministic
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.classifiers.prediction.prediction import Prediction
    from nstk.classifiers.prediction.results import ResultsFile
    from nstk.classifiers.prediction.resumption import SavedPredictions
    from nstk.datasets.listing import SkippedFile

log = logging.getLogger("nstk")

JSON_START = '{"predictions": ['

ImagePaths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="Image files, or folders of them; - reads paths from standard input",
        show_default=False,
    ),
]
TopClasses = Annotated[int, typer.Option(metavar="N", help="Number of most likely classes to list")]
AbstainBelow = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Label images unsure if the probability is below P or the image is out of "
        "distribution",
    ),
]
LabelFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        "--csv",
        metavar="FILE",
        help="Write each prediction at once to a .csv or .jsonl file",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Resume from --checkpoint or --output, skipping images already labeled",
    ),
]
WatchedFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Label new files in this folder until Ctrl-C or SIGTERM"),
]
ScanInterval = Annotated[
    float, typer.Option(metavar="SECONDS", help="Time between two scans of the watched folder")
]


@partial(with_settings, only=("checkpoint", "checkpoint_every"))
def predict(
    *,
    model: ModelFile,
    paths: ImagePaths = None,
    top: TopClasses = 5,
    abstain_below: AbstainBelow = None,
    output: LabelFile = None,
    checkpoints: CheckpointSettings,
    resume: Resume = False,
    watch: WatchedFolder = None,
    interval: ScanInterval = 1.0,
    decode: Decode = None,
    executor: Executor = "auto",
    shard: ShardOption = "1/1",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Classify images with MODEL."""
    paths = read_paths(paths)
    check_arguments(paths, output, checkpoints.checkpoint, resume=resume, watch=watch)
    if checkpoints.checkpoint:
        checkpoints, resume = replace(checkpoints, resume=resume), False
    with reporting(quiet=quiet) as report, ExitStack() as stack:
        from nstk.classifiers.classifier import Classifier
        from nstk.classifiers.prediction.job import stream_predictions
        from nstk.classifiers.prediction.prediction import PredictSettings
        from nstk.classifiers.prediction.reading import watch_folder
        from nstk.classifiers.prediction.results import ResultsFile, check_results
        from nstk.classifiers.prediction.resumption import saved_predictions

        if output:
            check_results(output, resume=resume)
        new_files = exclude(output, watch_folder(watch, interval=interval)) if watch else ()
        classifier = Classifier.load(model)
        chosen: dict[str, Any] = {"top": top, "abstain_below": abstain_below}
        saved = stack.enter_context(saved_predictions(checkpoints, classifier, **chosen))
        written = {**chosen, "resume": resume, "sharded": not Shard.parse(shard).is_whole}
        results = ResultsFile(output, classifier, **written) if output else None
        if results:
            stack.enter_context(results)
        shown = {"multi_label": classifier.multi_label, "json": json, "watching": bool(watch)}
        sink = PredictionSink(results, saved, **shown)
        try:
            for group in chain([paths] if paths else [], new_files):
                stream = stream_predictions(
                    classifier,
                    group,
                    PredictSettings(**chosen, decode=decode, executor=executor, shard=shard),
                    done=results.done if results else (),
                    known=saved.known,
                    on_progress=report,
                )
                sink.write_all(stream)
        except (KeyboardInterrupt, OutputError):
            sink.close()
            raise
    sink.check()
    sink.close()


def check_arguments(
    paths: list[Path],
    output: Path | None,
    checkpoint: Path | None,
    *,
    resume: bool,
    watch: Path | None,
) -> None:
    if not paths and watch is None:
        raise SettingsError("PATH is missing; give images, or a folder to --watch.")
    if resume and output is None and checkpoint is None:
        raise SettingsError(
            "--resume needs the --output file or the --checkpoint folder of the earlier run; give "
            "one of them."
        )


def exclude(
    output: Path | None, new_files: Iterable[tuple[Path, ...]]
) -> Iterator[tuple[Path, ...]]:
    """Leave out the output file itself, which may be in the watched folder."""
    own = output.resolve() if output else None
    for group in new_files:
        yield tuple(path for path in group if path.resolve() != own)


class PredictionSink:
    """Writes predictions as they arrive: to a file, as JSON, or as lines or a table.

    Only a table is kept in memory until the end. A watching run has no known end, so its lines are
    printed at once.
    """

    def __init__(
        self,
        results: "ResultsFile | None",
        saved: "SavedPredictions",
        *,
        multi_label: bool,
        json: bool,
        watching: bool,
    ) -> None:
        self.results = results
        self.saved = saved
        self.multi_label = multi_label
        self.json = json
        self.watching = watching
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
        """Raise an ImageError with the reason for the first file if no image was readable."""
        if self.count or (self.results and self.results.done):
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
