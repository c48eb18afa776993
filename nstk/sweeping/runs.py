"""The runs of a sweep, made one after another; finished ones are loaded.

Runs with the same targets and the same network form a group, which shares inputs and compiled
steps. α, β and γ are arguments of the steps: runs that differ only in them compile nothing twice.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.backbones.variants import Precision
from nstk.errors import DivergenceError
from nstk.images.loading import load_image
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import StylizeSettings
from nstk.storage.checkpoints import CheckpointFolder, Resumable, State, reraise_as_checkpoint_error
from nstk.stylization.inputs import Source
from nstk.stylization.job import Checkpointed, run_task
from nstk.stylization.objective import Objective
from nstk.stylization.optimization import INITS
from nstk.stylization.recipe import Scale
from nstk.stylization.records import digest_run
from nstk.stylization.regions import Masks
from nstk.stylization.result import StylizeResult
from nstk.stylization.resumption import read_plan
from nstk.stylization.task import (
    StyleTransferTask,
    plan_task,
    plan_tiling,
    read_task,
    with_precision,
)
from nstk.stylization.tiled.planning import Plan
from nstk.sweeping.grid import GridPoint
from nstk.sweeping.records import RunFolder, SweptRun

log = logging.getLogger("nstk")

_PER_RUN = (
    *("size", "steps", "scales", "strength", "content_weight", "style_weight", "tv_weight"),
    *("optimizer", "learning_rate", "tolerance", "init", "seed"),
)
"""Settings that do not affect the targets at a scale."""

_TIMED = ("size", "scales", "steps", "optimizer", "init")
"""Settings that affect the duration of a run in its group."""

RunInputs = tuple[Source, Sequence[Source], Masks]
"""The content image, the styles, and the masks."""


@dataclass(eq=False)
class RunGroup:
    """Runs with the same targets, each with its number in the sweep."""

    points: Sequence[tuple[int, GridPoint]]
    inputs: RunInputs
    backbone: Backbone

    def check(self) -> float:
        """Check every run, and predict the seconds of all of them together."""
        known: dict[tuple[object, ...], float] = {}
        total = 0.0
        for _, point in self.points:
            key = tuple(getattr(point.settings, name) for name in _TIMED)
            if key not in known:
                known[key] = self.plan(point).seconds
            total += known[key]
        return total

    def plan(self, point: GridPoint) -> Plan:
        """Check and plan a run; NstkError if `nstk.stylize` would raise before its first step."""
        replace(self._first, settings=point.settings).check()
        if point.settings.init not in INITS:
            load_image(point.settings.init)
        plan = self._task(point).plan
        assert plan is not None
        return plan

    def run(
        self,
        point: GridPoint,
        on_progress: Reporter = no_progress,
        *,
        found: State | None,
        checkpointed: Checkpointed,
    ) -> StylizeResult:
        """Run one of them; see `nstk.stylization.job.run_task`."""
        restored = read_plan(found)
        if restored is not None and restored.precision != self._precision:
            self._use_precision(restored.precision)
        return run_task(
            self._task(point, restored),
            on_progress,
            objective_factory=self._objective,
            checkpointed=checkpointed,
        )

    def clear_cache(self) -> None:
        """Release the inputs and the targets."""
        for name in ("_first", "_objectives"):
            vars(self).pop(name, None)

    def _task(self, point: GridPoint, restored: Plan | None = None) -> StyleTransferTask:
        """The planned task of a run, in the precision of the group."""
        task = replace(self._first, settings=point.settings, plan=None)
        return plan_tiling(task, self._precision, restored)

    def _objective(self, task: StyleTransferTask, scale: Scale) -> Objective:
        size = scale.height, scale.width
        if size not in self._objectives:
            self._objectives[size] = task.objective(scale)
        return self._objectives[size]

    @cached_property
    def _first(self) -> StyleTransferTask:
        return plan_task(self._read_first(), self.backbone)

    @property
    def _precision(self) -> Precision:
        plan = self._first.plan
        assert plan is not None
        return plan.precision

    def _use_precision(self, precision: Precision) -> None:
        """Use the precision of a resumed run for the whole group."""
        task = with_precision(self._read_first(), self.backbone, precision)
        self.clear_cache()
        self._first = plan_tiling(task, precision)

    def _read_first(self) -> StyleTransferTask:
        return read_task(*self.inputs, self.backbone, self.points[0][1].settings)

    @cached_property
    def _objectives(self) -> dict[tuple[int, int], Objective]:
        return {}


def group_by_targets(
    points: Sequence[GridPoint],
    inputs: RunInputs,
    backbone: Backbone | str | Path,
    on_progress: Reporter = no_progress,
) -> Iterator[RunGroup]:
    """Group the runs by their targets; each network is loaded once."""

    @cache
    def load(name: str | None) -> Backbone:
        return load_backbone(name or backbone, on_progress=on_progress)

    groups: dict[tuple[str | None, str], list[tuple[int, GridPoint]]] = {}
    defaults = {name: getattr(StylizeSettings(), name) for name in _PER_RUN}
    for number, point in enumerate(points):
        shared = repr(replace(point.settings, **defaults))
        groups.setdefault((point.backbone, shared), []).append((number, point))
    for (name, _), members in groups.items():
        yield RunGroup(members, inputs, load(name))


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
    """Makes the runs of a sweep; ``found`` is the state of the run that was interrupted."""

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
                    made = self.folder.find(point, digest)
                    repeated += made is None and self.folder.output(point).exists()
                    runs[number] = made or self._run_one(group, number, point, digest, steps)
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
        found = self._find(digest)

        def report(progress: Progress) -> None:
            self.on_progress(replace(progress, stage=f"{title}: {progress.stage}"))

        def checkpointed(run: Resumable) -> AbstractContextManager[Callable[[], None]]:
            return self.states.run(_RunOfSweep(run, digest, steps_before), found)

        diverged = False
        try:
            result = group.run(point, report, found=found, checkpointed=checkpointed)
        except DivergenceError as error:
            if error.made is None:
                raise
            log.warning("%s diverged: %s", point.label, error)
            result, diverged = error.made, True
        if result.interrupted and not diverged:
            raise KeyboardInterrupt
        return self.folder.save(point, result, digest, diverged=diverged)

    def _find(self, digest: str) -> State | None:
        """The saved state of a run, or None if another one was interrupted."""
        if self.found is None:
            return None
        with reraise_as_checkpoint_error():
            return self.found if self.found.facts["run"] == digest else None
