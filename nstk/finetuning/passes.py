"""Forward passes over picture files: threads decode ahead, the network takes batches."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nstk.errors import PictureError
from nstk.finetuning.networks import Passage
from nstk.media.listing import SkippedFile
from nstk.media.pictures import load_picture
from nstk.progress import Progress, Reporter, ignore

BATCH = 32

_Square = npt.NDArray[np.float32]
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, eq=False)
class Batch:
    """What one forward pass gave.

    Attributes:
        indices: Which of the paths were seen, ascending.
        outputs: The network's output for each of them, float32 ``(n, …)``.
        skipped: The files before the last one seen that could not be read.
    """

    indices: tuple[int, ...]
    outputs: npt.NDArray[np.float32]
    skipped: tuple[SkippedFile, ...]


def run_passes(
    passage: Passage,
    paths: Sequence[Path],
    *,
    stage: str,
    batch: int = BATCH,
    on_progress: Reporter = ignore,
) -> Iterator[Batch]:
    """Pass every picture through a network once, in order, in memory that does not grow.

    A file that cannot be read is listed, and no other picture takes its place.

    Args:
        passage: The network.
        paths: The files.
        stage: What `Progress` calls this.
        batch: How many pictures go through the network together.
        on_progress: Told after each batch how many files are done.

    Yields:
        The batches; one without any picture is possible.
    """
    prepare, finish = passage.prepare, passage.finish
    on_progress(Progress(stage=stage, step=0, total=len(paths)))
    squares: dict[int, _Square] = {}
    skipped: list[SkippedFile] = []
    outcomes = read_ahead(paths, lambda path: _read_square(path, prepare), ahead=2 * batch)
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, SkippedFile):
            skipped.append(outcome)
        else:
            squares[index] = outcome
        done = index + 1
        if len(squares) == batch or done == len(paths):
            outputs = finish(np.stack([*squares.values()])) if squares else np.empty(0, np.float32)
            yield Batch(tuple(squares), outputs, tuple(skipped))
            squares, skipped = {}, []
            on_progress(Progress(stage=stage, step=done, total=len(paths)))


def _read_square(path: Path, prepare: Callable[[_Square], _Square]) -> _Square | SkippedFile:
    try:
        picture = load_picture(path).pixels
    except PictureError as error:
        return SkippedFile(path, str(error).removeprefix(f"{path}: "))
    # Whole grey levels: a file and the uint8 array of the same picture get the same score.
    return prepare(np.rint(picture * 255))


def read_ahead(
    paths: Sequence[Path], read: Callable[[Path], _Outcome], ahead: int
) -> Iterator[_Outcome]:
    """Read in threads, in order, never more than ``ahead`` files before the one asked for.

    Args:
        paths: The files.
        read: Reads one; must be thread-safe.
        ahead: How many, at least 1.
    """
    executor = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8))
    upcoming = iter(paths)
    waiting: deque[Future[_Outcome]] = deque()
    try:
        waiting.extend(executor.submit(read, path) for path in islice(upcoming, ahead))
        while waiting:
            outcome = waiting.popleft().result()
            waiting.extend(executor.submit(read, path) for path in islice(upcoming, 1))
            yield outcome
    finally:
        executor.shutdown(cancel_futures=True)
