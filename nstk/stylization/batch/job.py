"""A batch: many contents in many styles, with one network, one compiled step and one set of style
targets."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.datasets.listing import SkippedFile
from nstk.distribution.shards import WHOLE, Shard
from nstk.errors import ImageError, NstkError, OutputError
from nstk.images.encoding import save_image
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import CheckpointSettings, StylizeSettings
from nstk.storage.checkpoints import CheckpointFolder
from nstk.storage.files import make_folder
from nstk.stylization.batch.listing import BatchJob, BatchPlan
from nstk.stylization.inputs import read_style_images
from nstk.stylization.job import run_checkpointed
from nstk.stylization.records import (
    clear_record,
    digest_run,
    digest_source,
    read_record,
    write_record,
)
from nstk.stylization.regions import NO_MASKS
from nstk.stylization.result import StylizeResult
from nstk.stylization.styles import EXTENSION, Style, load_style
from nstk.stylization.task import read_task
from nstk.types import Engine, Json

HIDDEN = ".nstk"
"""Folder of records and checkpoints in the output folder."""

_log = logging.getLogger("nstk")


@dataclass(frozen=True)
class BatchImage:
    """A finished image of a batch: its files, and the figures of its run."""

    output: Path
    content: Path
    style: Path
    figures: Mapping[str, Json]

    def to_dict(self) -> dict[str, Json]:
        paths = {"output": self.output, "content": self.content, "style": self.style}
        return {**{name: str(path) for name, path in paths.items()}, **self.figures}


@dataclass(frozen=True)
class Batch:
    """The finished images of a batch, also those of earlier runs and other shards.

    Attributes:
        folder: The output folder.
        images: The finished images, in the order of contents and styles.
        skipped: Files without an image, and why.
        made: Number of images that this run made.
        planned: Number of all images of the batch.
    """

    folder: Path
    images: tuple[BatchImage, ...]
    skipped: tuple[SkippedFile, ...]
    made: int
    planned: int

    def to_dict(self) -> dict[str, Json]:
        return {
            "images": [each.to_dict() for each in self.images],
            "skipped": [each.to_dict() for each in self.skipped],
            "made": self.made,
            "planned": self.planned,
        }


@dataclass(frozen=True)
class BatchRecipe:
    """How every image of a batch is made; it can be sent to another process."""

    backbone: Backbone | str | Path
    weights: Path | None
    settings: StylizeSettings

    @property
    def network(self) -> Backbone:
        """The network, loaded once in each process."""
        return _load_network(self.backbone, self.weights)

    def run(
        self,
        job: BatchJob,
        checkpoints: CheckpointSettings | None = None,
        on_progress: Callable[[Progress, int], object] = lambda *_: None,
    ) -> StylizeResult | SkippedFile:
        """Make one image; progress is reported with the steps of all its scales."""
        try:
            network, style = self.network, open_style(job.style)
            task = read_task(job.content, style, NO_MASKS, network, self.settings)
            steps = sum(scale.steps for scale in task.scales)
            report = partial(_report_with, on_progress, steps)
            with CheckpointFolder(checkpoints or CheckpointSettings()) as folder:
                return run_checkpointed(task, network, folder, report)
        except OutputError:
            raise
        except NstkError as error:
            return SkippedFile(job.content, error.message_for(job.content))


def _report_with(
    on_progress: Callable[[Progress, int], object], steps: int, progress: Progress
) -> None:
    on_progress(progress, steps)


@lru_cache(maxsize=1)
def _load_network(backbone: Backbone | str | Path, weights: Path | None) -> Backbone:
    return load_backbone(backbone, weights=weights)


def open_style(path: Path) -> Style:
    """Open a style image or file once in each process, and again if it has changed."""
    try:
        status = path.stat()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); give a style.") from error
    return _open_style(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _open_style(path: Path, modified: int, size: int) -> Style:
    if path.suffix.lower() == EXTENSION:
        return load_style(path)
    return read_style_images(path, StylizeSettings())[0][0]


def stylize_batch(
    plan: BatchPlan,
    folder: Path,
    recipe: BatchRecipe,
    *,
    shard: Shard = WHOLE,
    checkpoints: CheckpointSettings | None = None,
    engine: Engine | None = None,
    on_progress: Reporter = no_progress,
) -> Batch:
    """Make the images of a batch, and save each as soon as it is made.

    Args:
        plan: Contents and styles.
        folder: The folder for the images; created if it is missing.
        recipe: Network and settings, the same for all.
        shard: Make only the images whose content belongs to this shard.
        checkpoints: ``resume`` keeps finished images and continues the one that was interrupted;
            its ``checkpoint`` folder is the hidden folder of ``folder`` by default.
        engine: What runs the jobs; by default this process, one after the other.
        on_progress: Called at every step, over all images in one stage.

    Returns:
        The finished images, and the files that could not be stylized.

    Raises:
        NstkError: If the styles or settings cannot be used, or no image could be made.
        KeyboardInterrupt: With Ctrl-C; finished images are saved.
    """
    for style in dict.fromkeys(job.style for job in plan.jobs):
        open_style(style)
    batch = _BatchFolder(make_folder(folder), recipe, checkpoints or CheckpointSettings())
    batch.check_outputs(plan.jobs)
    runner = _Runner(batch, shard, on_progress)
    failed = runner.run(plan.jobs, engine)
    images = tuple(image for image in map(batch.find, plan.jobs) if image)
    if failed and not images:
        first = failed[0]
        more = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise ImageError(f"{first.path}: {first.reason}{more}.")
    return Batch(folder, images, (*plan.skipped, *failed), runner.made, len(plan.jobs))


class _BatchFolder:
    """Images, their records and the checkpoints of unfinished ones."""

    def __init__(self, path: Path, recipe: BatchRecipe, checkpoints: CheckpointSettings) -> None:
        self.path, self.recipe, self.checkpoints = path, recipe, checkpoints
        self.digest_file = cache(digest_source)

    def check_outputs(self, jobs: Sequence[BatchJob]) -> None:
        """Refuse, before any work, to overwrite images without ``resume``."""
        existing = [job for job in jobs if (self.path / job.name).exists()]
        if existing and not self.checkpoints.resume:
            raise OutputError(
                f"{self.path / existing[0].name} exists; add `resume=True` to keep finished images "
                "and make the others, or give another folder."
            )

    def digest(self, job: BatchJob) -> str:
        """What the image of a job depends on; ImageError if a file cannot be read."""
        inputs = {"content": self.digest_file(job.content), "style": self.digest_file(job.style)}
        return digest_run(self.recipe.settings, self.recipe.network, inputs)

    def record(self, job: BatchJob) -> Path:
        return self.path / HIDDEN / "records" / f"{job.name}.json"

    def find(self, job: BatchJob) -> BatchImage | None:
        """The finished image of a job, if it is whole and of the same inputs."""
        output = self.path / job.name
        with suppress(NstkError):
            facts = read_record(self.record(job), output, self.digest(job))
            if facts is not None:
                return BatchImage(output, job.content, job.style, facts["figures"])
        return None

    def checkpoint(self, job: BatchJob) -> CheckpointSettings:
        """Checkpoints of one job, in a folder that no other job or settings share."""
        parent = self.checkpoints.checkpoint or self.path / HIDDEN / "checkpoints"
        own = make_folder(parent, parents=True) / self.digest(job)[:32]
        if not self.checkpoints.resume:
            shutil.rmtree(own, ignore_errors=True)
        return replace(self.checkpoints, checkpoint=own, resume=True)

    def save(self, job: BatchJob, result: StylizeResult) -> None:
        output, record = self.path / job.name, self.record(job)
        make_folder(output.parent, parents=True)
        clear_record(record)
        save_image(output, result.image, alpha=result.alpha)
        write_record(record, output, self.digest(job), {"figures": result.to_dict()})
        shutil.rmtree(self.checkpoint(job).checkpoint or "", ignore_errors=True)


class _Runner:
    """Runs the jobs of a shard that are not finished, and reports them as one stage."""

    def __init__(self, batch: _BatchFolder, shard: Shard, on_progress: Reporter) -> None:
        self.batch, self.shard, self.on_progress = batch, shard, on_progress
        self.made = self.done = self.total = 0
        self.unit = 1

    def run(self, jobs: Sequence[BatchJob], engine: Engine | None) -> list[SkippedFile]:
        """Make the missing images; return the files that could not be stylized."""
        mine = [job for job in jobs if self.shard.holds_file(job.content)]
        missing = [job for job in mine if self.batch.find(job) is None]
        self.total = len(missing)
        failed: dict[Path, SkippedFile] = {}
        results = engine(self.batch.recipe.run, missing) if engine else map(self._run_here, missing)
        try:
            for job, result in zip(missing, results, strict=True):
                if isinstance(result, SkippedFile):
                    failed[job.content] = result
                elif result.interrupted:
                    raise KeyboardInterrupt
                else:
                    self.batch.save(job, result)
                    self.made += 1
                self.done += 1
                self._report(Progress(stage="", step=0, total=1), 1)
        except KeyboardInterrupt:
            finished = len(mine) - len(missing) + self.made
            _log.warning(
                "%d of %d images are saved in %s; continue with resume.",
                finished,
                len(mine),
                self.batch.path,
            )
            raise
        return list(failed.values())

    def _run_here(self, job: BatchJob) -> StylizeResult | SkippedFile:
        try:
            checkpoints = self.batch.checkpoint(job)
        except NstkError as error:
            return SkippedFile(job.content, error.message_for(job.content))
        self.step = 0
        return self.batch.recipe.run(job, checkpoints, self._report_step)

    def _report_step(self, progress: Progress, steps: int) -> None:
        if progress.loss is None or not progress.step:
            return
        self.step += 1
        self.unit = self.unit if self.done else steps
        self._report(progress, self.step / steps)

    def _report(self, progress: Progress, share: float) -> None:
        """Report the images of the run as one stage, in steps of the first image."""
        step = round(self.unit * (self.done + (share if progress.loss is not None else 0)))
        stage = f"{self.total} images"
        self.on_progress(replace(progress, stage=stage, step=step, total=self.unit * self.total))
