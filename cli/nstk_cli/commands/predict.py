"""``nstk predict``: labels for images."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from nstk.errors import OutputError, SettingsError
from nstk.settings import CheckpointSettings
from nstk_cli.commands.predict_output import PredictionSink
from nstk_cli.options import Json, ModelFile, Quiet, with_settings
from nstk_cli.reporting import reporting

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
        from nstk.classifiers.prediction.results import ResultsFile, check_results
        from nstk.classifiers.prediction.resumption import saved_predictions
        from nstk.classifiers.prediction.watching import watch_folder

        if output:
            check_results(output)
        new_files = exclude(output, watch_folder(watch, interval=interval)) if watch else ()
        classifier = Classifier.load(model)
        chosen: dict[str, Any] = {"top": top, "abstain_below": abstain_below}
        saved = stack.enter_context(saved_predictions(checkpoints, classifier, **chosen))
        results = ResultsFile(output, classifier, **chosen, resume=resume) if output else None
        if results:
            stack.enter_context(results)
        sink = PredictionSink(
            results,
            saved,
            multi_label=classifier.multi_label,
            json=json,
            watching=watch is not None,
        )
        try:
            for group in chain([paths] if paths else [], new_files):
                stream = stream_predictions(
                    classifier,
                    group,
                    PredictSettings(**chosen),
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


def read_paths(paths: list[Path] | None) -> list[Path]:
    """Return the paths, with those on standard input in the place of ``-``.

    Paths on standard input are separated by line breaks, or by zero bytes as ``find -print0``
    writes them.
    """
    read: list[Path] = []
    for path in paths or []:
        if str(path) != "-":
            read.append(path)
            continue
        given = sys.stdin.buffer.read()
        lines = given.split(b"\0") if b"\0" in given else given.splitlines()
        read += [Path(os.fsdecode(line)) for line in lines if line]
    return read


def check_arguments(
    paths: list[Path],
    output: Path | None,
    checkpoint: Path | None,
    *,
    resume: bool,
    watch: Path | None,
) -> None:
    """Check that the arguments belong together.

    Raises:
        SettingsError: If something is missing.
    """
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
