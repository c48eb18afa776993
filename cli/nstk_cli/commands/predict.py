"""``nstk predict``: labels for images."""

import logging
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.options import Json, Quiet, with_settings
from nstk_cli.output import (
    as_json,
    duration,
    list_skipped,
    percent,
    print_skipped,
    print_table,
    with_determinism,
)
from nstk_cli.reporting import reporting

log = logging.getLogger("nstk")

JSON_BEGINNING = '{"predictions": ['


@partial(with_settings, only=("checkpoint", "checkpoint_every"))
def predict(
    *,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Classifier file made by nstk finetune")
    ],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Image files, or folders of them; - reads such names from standard input",
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", help="How many of the likeliest classes to name")
    ] = 5,
    abstain_below: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Say unsure where the answer has a probability below this, and where an image"
            " is like nothing in training",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            "--csv",
            metavar="FILE",
            help="Write each label as soon as it is known, to a .csv or .jsonl file",
        ),
    ] = None,
    checkpoints: nstk.CheckpointSettings,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the --checkpoint, whose answers are given again, or with the output:"
            " leave out the images it has",
        ),
    ] = False,
    watch: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Go on with the images that arrive there, until Ctrl-C or SIGTERM"
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="How often to look at the watched folder")
    ] = 1.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say which class of MODEL each image shows."""
    paths = read_names(paths)
    check_given(paths, output, checkpoints.checkpoint, resume=resume, watch=watch)
    if checkpoints.checkpoint:
        checkpoints, resume = replace(checkpoints, resume=resume), False
    if output:
        nstk.check_results(output)
    with reporting(quiet=quiet) as report, ExitStack() as stack:
        from nstk import (
            Classifier,
            PredictionCheckpoint,
            PredictSettings,
            ResultsFile,
            stream_predictions,
            watch_folder,
        )

        arrivals = without(output, watch_folder(watch, interval=interval)) if watch else ()
        classifier = Classifier.load(model)
        kept = PredictionCheckpoint(checkpoints, classifier, top=top, abstain_below=abstain_below)
        stack.callback(kept.close)
        results = None
        if output:
            results = ResultsFile(
                output, classifier, top=top, abstain_below=abstain_below, resume=resume
            )
            stack.enter_context(results)
        ledger = PredictionSink(
            results, kept, several=classifier.multi_label, json=json, watching=watch is not None
        )
        try:
            for group in chain([paths] if paths else [], arrivals):
                ledger.enter(
                    stream_predictions(
                        classifier,
                        group,
                        PredictSettings(top=top, abstain_below=abstain_below),
                        done=results.done if results else (),
                        known=kept.known,
                        on_progress=report,
                    )
                )
        except (KeyboardInterrupt, nstk.OutputError):
            ledger.close()
            raise
    ledger.check()
    ledger.close()


def read_names(paths: list[Path] | None) -> list[Path]:
    """The paths that are given, with the names on standard input in the place of ``-``.

    Names stand on lines of their own, or before zero bytes, as ``find -print0`` writes them.
    """
    names: list[Path] = []
    for path in paths or []:
        if str(path) != "-":
            names.append(path)
            continue
        given = sys.stdin.buffer.read()
        lines = given.split(b"\0") if b"\0" in given else given.splitlines()
        names += [Path(os.fsdecode(line)) for line in lines if line]
    return names


def check_given(
    paths: list[Path],
    output: Path | None,
    checkpoint: Path | None,
    *,
    resume: bool,
    watch: Path | None,
) -> None:
    """Refuse a run of which too little is said.

    Raises:
        SettingsError: With what is missing.
    """
    if not paths and watch is None:
        raise nstk.SettingsError("PATH is missing; name images, or a folder to --watch.")
    if resume and output is None and checkpoint is None:
        raise nstk.SettingsError(
            "--resume needs the --output or the --checkpoint folder to go on with; name it."
        )


def without(
    output: Path | None, arrivals: Iterable[tuple[Path, ...]]
) -> Iterator[tuple[Path, ...]]:
    """Leave out the output itself, which may grow in the folder that is watched."""
    own = output.resolve() if output else None
    for group in arrivals:
        yield tuple(path for path in group if path.resolve() != own)


class PredictionSink:
    """Where predictions go as they come: to a file, to JSON, to a line or a table for people.

    Only a table is kept in memory until its end.

    Args:
        results: The file, if one is written.
        kept: What the answers are to survive in.
        several: Whether an image may have several labels, or none.
        json: Whether standard output is one JSON object.
        watching: Whether the end is far, so that people are told at once.
    """

    def __init__(
        self,
        results: "nstk.ResultsFile | None",
        kept: "nstk.PredictionCheckpoint",
        *,
        several: bool,
        json: bool,
        watching: bool,
    ) -> None:
        self.results = results
        self.kept = kept
        self.several = several
        self.json = json
        self.watching = watching
        self.began = time.monotonic()
        self.count = 0
        self.table: list[nstk.Prediction] = []
        self.skipped: dict[Path, nstk.SkippedFile] = {}

    def enter(self, stream: "Iterator[nstk.Prediction | nstk.SkippedFile]") -> None:
        """Enter one after the other; a file that could be read after all is skipped no more."""
        for each in stream:
            if isinstance(each, nstk.SkippedFile):
                self.skipped[each.path] = each
                if self.watching:
                    log.warning(f"{each.path}: {each.reason}")
                continue
            self.skipped.pop(each.path, None)
            self.kept.append(each)
            if self.results:
                self.results.append(each)
            self._show(each)
            self.count += 1

    def _show(self, each: "nstk.Prediction") -> None:
        if self.json:
            entry = as_json(each.to_dict(multi_label=self.several))
            print(", " if self.count else JSON_BEGINNING, entry, sep="", end="")
        elif self.results:
            return
        elif self.watching:
            print(nstk.printable(f"{each.path}  {format_labels(each)}"), flush=True)
        else:
            self.table.append(each)

    def check(self) -> None:
        """Refuse a run in which no image could be read.

        Raises:
            ImageError: With why.
        """
        if not self.count and not (self.results and self.results.done):
            raise nstk.ImageError(none_usable([*self.skipped.values()]))

    def close(self) -> None:
        """Say what is left to be said at the end."""
        skipped = [*self.skipped.values()]
        if self.json:
            beginning = "" if self.count else JSON_BEGINNING
            extension = as_json(with_determinism({"skipped": list_skipped(skipped)}))
            print(f"{beginning}], {extension.removeprefix('{')}")
            return
        if self.table:
            (print_labels if self.several else print_likeliest)(self.table)
        print_skipped(skipped)
        if self.results:
            known = len(self.results.done)
            before = f", {known} were there already" if known else ""
            spent = duration(time.monotonic() - self.began)
            print(f"{self.results.path}: {self.count} images{before}, {spent}")


def format_labels(prediction: "nstk.Prediction") -> str:
    """The labels given to an image, with their probabilities; or that there is none."""
    given = [format_value(pair) for pair in prediction.top if pair[0] in prediction.labels]
    return ", ".join(given) or ("unsure" if prediction.label == "unsure" else "–")


def otherwise(prediction: "nstk.Prediction", labels: Collection[str]) -> str:
    """What else an image might show, and whether it is like nothing in training."""
    said = [format_value(pair) for pair in prediction.top if pair[0] not in labels]
    return ", ".join([*said, "out of distribution"] if prediction.is_ood else said)


def print_likeliest(predictions: Iterable["nstk.Prediction"]) -> None:
    """Print the likeliest class of each image, and the next ones."""
    print_table(
        ["image", "label", "probability", "otherwise"],
        [
            (
                str(each.path),
                each.label,
                percent(each.probability),
                otherwise(each, (each.label,)),
            )
            for each in predictions
        ],
        right=["probability"],
    )


def print_labels(predictions: Iterable["nstk.Prediction"]) -> None:
    """Print the labels given to each image, and what else it might show."""
    print_table(
        ["image", "labels", "otherwise"],
        [
            (
                str(each.path),
                format_labels(each),
                otherwise(each, each.labels),
            )
            for each in predictions
        ],
    )


def format_value(pair: tuple[str, float]) -> str:
    """A label with its probability: ``ants 93.5 %``."""
    return f"{pair[0]} {percent(pair[1])}"


def none_usable(skipped: "list[nstk.SkippedFile]") -> str:
    """Why there is nothing to say."""
    if not skipped:
        return "No image was found; name image files, or folders that have some."
    first, *others = skipped
    more = f" ({len(others)} more were left out)" if others else ""
    return f"{first.path}: {first.reason}{more}; name images that can be read."
