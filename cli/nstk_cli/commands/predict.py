"""``nstk predict``: labels for images, written and printed as they arrive."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstk.distribution.shards import Shard
from nstk.errors import OutputError, SettingsError
from nstk.settings import CheckpointSettings
from nstk_cli.options import (
    DaskAddress,
    Decode,
    Executor,
    Json,
    ModelFile,
    Quiet,
    ShardOption,
    with_settings,
)
from nstk_cli.paths import read_paths
from nstk_cli.prediction_sink import PredictionSink
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.classifiers.classifier import Classifier
    from nstk.classifiers.prediction.parquet import ParquetFile
    from nstk.classifiers.prediction.results import ResultsFile
    from nstk.distribution.dask_engine import DaskEngine

log = logging.getLogger("nstk")

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
        help="Write each prediction at once to a .csv or .jsonl file, or all to a .parquet file",
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
    dask: DaskAddress = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Classify images with MODEL."""
    paths = read_paths(paths)
    check_arguments(paths, output, checkpoints.checkpoint, resume=resume, watch=watch, dask=dask)
    if checkpoints.checkpoint:
        checkpoints, resume = replace(checkpoints, resume=resume), False
    with reporting(quiet=quiet) as report, ExitStack() as stack:
        engine = start_workers(dask, model, stack) if dask else None
        from nstk.classifiers.classifier import Classifier
        from nstk.classifiers.prediction.distribution import stream_on_engine
        from nstk.classifiers.prediction.job import stream_predictions
        from nstk.classifiers.prediction.prediction import PredictSettings
        from nstk.classifiers.prediction.reading import watch_folder
        from nstk.classifiers.prediction.resumption import saved_predictions

        if output:
            check_output(output, resume)
        new_files = exclude(output, watch_folder(watch, interval=interval)) if watch else ()
        classifier = Classifier.load(model)
        chosen: dict[str, Any] = {"top": top, "abstain_below": abstain_below}
        saved = stack.enter_context(saved_predictions(checkpoints, classifier, **chosen))
        sharded = not Shard.parse(shard).is_whole
        written = {**chosen, "resume": resume, "sharded": sharded}
        results = make_results(output, classifier, written) if output else None
        if results:
            stack.enter_context(results)
        predicting = PredictSettings(**chosen, decode=decode, executor=executor, shard=shard)
        shown = {"multi_label": classifier.multi_label, "json": json, "watching": bool(watch)}
        sink = PredictionSink(results, saved, **shown, sharded=sharded)
        try:
            for group in chain([paths] if paths else [], new_files):
                done = results.done if results else ()
                common: dict[str, Any] = {"done": done, "on_progress": report}
                stream = (
                    stream_on_engine(engine, model, classifier, group, predicting, **common)
                    if engine
                    else stream_predictions(
                        classifier, group, predicting, known=saved.known, **common
                    )
                )
                sink.write_all(stream)
        except (KeyboardInterrupt, OutputError):
            sink.close()
            raise
        sink.check()
    sink.close()


def start_workers(dask: str, model: Path, stack: ExitStack) -> "DaskEngine":
    """Connect to Dask, and let its workers load the classifier while this process does."""
    from nstk.distribution.dask_engine import DaskEngine

    engine = stack.enter_context(DaskEngine(dask))
    engine.prepare("nstk.classifiers.loading", "load_classifier", str(model.absolute()))
    return engine


def check_output(output: Path, resume: bool) -> None:
    """Refuse, before any work, an output that cannot be written."""
    from nstk.classifiers.prediction.parquet import EXTENSION, check_parquet
    from nstk.classifiers.prediction.results import check_results

    if output.suffix == EXTENSION:
        check_parquet(output, resume=resume)
    else:
        check_results(output, resume=resume)


def make_results(
    output: Path, classifier: "Classifier", chosen: dict[str, Any]
) -> "ResultsFile | ParquetFile":
    """The file of predictions in the format of its extension."""
    from nstk.classifiers.prediction.parquet import EXTENSION, ParquetFile
    from nstk.classifiers.prediction.results import ResultsFile

    if output.suffix == EXTENSION:
        chosen.pop("resume")
        return ParquetFile(output, classifier, **chosen)
    return ResultsFile(output, classifier, **chosen)


def check_arguments(
    paths: list[Path],
    output: Path | None,
    checkpoint: Path | None,
    *,
    resume: bool,
    watch: Path | None,
    dask: str | None,
) -> None:
    if not paths and watch is None:
        raise SettingsError("PATH is missing; give images, or a folder to --watch.")
    if resume and output is None and checkpoint is None:
        raise SettingsError(
            "--resume needs the --output file or the --checkpoint folder of the earlier run; give "
            "one of them."
        )
    if checkpoint and dask:
        raise SettingsError("`checkpoint` cannot be combined with `dask`; resume from `output`.")


def exclude(
    output: Path | None, new_files: Iterable[tuple[Path, ...]]
) -> Iterator[tuple[Path, ...]]:
    """Leave out the output file itself, which may be in the watched folder."""
    own = output.resolve() if output else None
    for group in new_files:
        yield tuple(path for path in group if path.resolve() != own)
