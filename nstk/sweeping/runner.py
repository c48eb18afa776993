"""The runs of a sweep, made one after another; finished ones are loaded."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from nstk.errors import DivergenceError
from nstk.progress import Progress, Reporter
from nstk.storage.checkpoints import (
    CheckpointFolder,
    Resumable,
    State,
    reraise_as_checkpoint_error,
)
from nstk.stylization.recording import Trace, broadcast
from nstk.sweeping.grid import GridPoint
from nstk.sweeping.records import RunFolder, SweptRun, digest_run
from nstk.sweeping.run_groups import RunGroup

log = logging.getLogger("nstk")


@dataclass(frozen=True)
class _RunOfSweep:
    """A run of a sweep as its checkpoints see it: steps count from the first run on."""

    run: Resumable
    digest: str
    steps_before: int

    @property
    def completed(self) -> int:
        return self.steps_before + self.run.completed

    def capture(self) -> State:
        state = self.run.capture()
        return replace(state, facts={**state.facts, "run": self.digest})

    def restore(self, state: State) -> None:
        self.run.restore(state)


@dataclass(frozen=True, eq=False)
class SweepRunner:
    """Makes the runs of a sweep.

    Attributes:
        folder: The folder for the runs.
        images: Digests of content, styles and masks, by name.
        count: The number of runs.
        states: The checkpoints of the current run.
        found: The state of the run that was interrupted.
        on_progress: Called with a `Progress` at every step.
    """

    folder: RunFolder
    images: Mapping[str, str]
    count: int
    states: CheckpointFolder
    found: State | None
    on_progress: Reporter

    def run_all(self, groups: Iterable[RunGroup]) -> tuple[SweptRun, ...]:
        """Make the missing runs, and return all of them in order."""
        runs: dict[int, SweptRun] = {}
        repeated = steps = 0
        try:
            for group in groups:
                for number, point in group.points:
                    digest = digest_run(point.settings, group.backbone, self.images)
                    found = self.folder.find(point, digest)
                    repeated += found is None and self.folder.has_image(point)
                    runs[number] = found or self._run_one(group, number, point, digest, steps)
                    steps += len(runs[number].curves["loss"])
                group.clear_cache()
        except KeyboardInterrupt:
            log.warning(
                "%d of %d runs are saved in %s; repeat the same sweep%s to make the others.",
                len(runs),
                self.count,
                self.folder.path,
                " with resume" if self.states.is_enabled else "",
            )
            raise
        if repeated:
            log.warning(
                "%d of the runs in %s had other images, settings or weights and were repeated.",
                repeated,
                self.folder.path,
            )
        return tuple(runs[number] for number in range(self.count))

    def _run_one(
        self, group: RunGroup, number: int, point: GridPoint, digest: str, steps_before: int
    ) -> SweptRun:
        title = f"run {number + 1} of {self.count}, {point.label}"

        def report(progress: Progress) -> None:
            self.on_progress(replace(progress, stage=f"{title}: {progress.stage}"))

        found = self._find(digest)

        def checkpointed(run: Resumable) -> AbstractContextManager[Callable[[], None]]:
            return self.states.run(_RunOfSweep(run, digest, steps_before), found)

        trace = Trace()
        diverged = False
        try:
            result = group.run(
                point,
                broadcast(trace, report),
                found=found,
                checkpointed=checkpointed,
            )
        except DivergenceError as error:
            if error.made is None:
                raise
            log.warning("%s diverged: %s", point.label, error)
            result, diverged = error.made, True
        if result.interrupted and not diverged:
            raise KeyboardInterrupt
        run = SweptRun(
            point=point,
            backbone=result.backbone,
            terms={**result.terms, "loss": result.loss},
            seconds=result.seconds,
            output=self.folder.output(point),
            curves=_curves(trace),
            stages=tuple((scale.stage, len(scale.steps)) for scale in trace.scales),
            diverged=diverged,
            resumed=False,
        )
        self.folder.save(run, result.image, result.alpha, digest)
        return run

    def _find(self, digest: str) -> State | None:
        """The saved state of a run, or None if another one was interrupted."""
        if self.found is None:
            return None
        with reraise_as_checkpoint_error():
            return self.found if self.found.facts["run"] == digest else None


def _curves(trace: Trace) -> dict[str, tuple[float, ...]]:
    terms = ("content", "style", "tv")
    curves = {name: tuple(step.terms[name] for step in trace.steps) for name in terms}
    return {**curves, "loss": tuple(step.loss for step in trace.steps)}
