"""Groups of runs that share inputs, network, targets and compiled steps.

Runs with the same targets and the same network form a group. α, β and γ are arguments of the
compiled steps, so runs that differ only in them compile nothing twice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.backbones.variants import Arithmetic
from nstk.images.loading import load_image
from nstk.progress import Reporter, no_progress
from nstk.settings import StylizeSettings
from nstk.storage.checkpoints import State
from nstk.stylization.initialization import INITS
from nstk.stylization.inputs import Source
from nstk.stylization.job import Checkpointed, run_task
from nstk.stylization.masks import Masks
from nstk.stylization.objective import Objective
from nstk.stylization.preparing import plan_task, plan_tiling, read_task, with_arithmetic
from nstk.stylization.result import StylizeResult
from nstk.stylization.resumption import read_plan
from nstk.stylization.scales import Scale
from nstk.stylization.task import StyleTransferTask
from nstk.stylization.tiled.planning import Plan
from nstk.sweeping.grid import GridPoint

_PER_RUN = (
    "size",
    "steps",
    "scales",
    "strength",
    "content_weight",
    "style_weight",
    "tv_weight",
    "optimizer",
    "learning_rate",
    "tolerance",
    "init",
    "seed",
)
"""Settings that do not affect the targets at a scale."""


RunInputs = tuple[Source, Sequence[Source], Masks]
"""The content image, the styles, and the masks."""


@dataclass(eq=False)
class RunGroup:
    """Runs with the same targets.

    Attributes:
        points: The runs, each with its number in the sweep.
        backbone: Their network.
        read: Reads and checks the inputs for the settings of one run.
    """

    points: tuple[tuple[int, GridPoint], ...]
    backbone: Backbone
    read: Callable[[Backbone, StylizeSettings], StyleTransferTask]

    def check(self) -> float:
        """Check every run and predict the seconds of all of them together.

        Raises:
            NstkError: If `nstk.stylize` would raise before its first step.
        """
        known: dict[tuple[object, ...], float] = {}
        total = 0.0
        for _, point in self.points:
            settings = point.settings
            key = (
                settings.size,
                settings.scales,
                settings.steps,
                settings.optimizer,
                settings.init,
            )
            if key not in known:
                known[key] = self.plan(point).seconds
            total += known[key]
        return total

    def plan(self, point: GridPoint) -> Plan:
        """Check and plan a run, with the inputs of the group.

        Raises:
            NstkError: If `nstk.stylize` would raise before its first step.
        """
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
        if restored is not None and restored.arithmetic != self._arithmetic:
            self._use_arithmetic(restored.arithmetic)
        return run_task(
            self._task(point, restored),
            on_progress,
            objective_factory=self._objective,
            checkpointed=checkpointed,
        )

    def clear_cache(self) -> None:
        """Release the inputs and the compiled steps."""
        for name in ("_first", "_objectives"):
            vars(self).pop(name, None)

    def _task(self, point: GridPoint, restored: Plan | None = None) -> StyleTransferTask:
        """The planned task of a run, in the arithmetic of the group."""
        task = replace(self._first, settings=point.settings, plan=None)
        return plan_tiling(task, self._arithmetic, restored)

    def _objective(self, task: StyleTransferTask, scale: Scale) -> Objective:
        size = scale.height, scale.width
        if size not in self._objectives:
            self._objectives[size] = task.objective(scale)
        return self._objectives[size]

    @cached_property
    def _first(self) -> StyleTransferTask:
        return plan_task(self._read_first(), self.backbone)

    @property
    def _arithmetic(self) -> Arithmetic:
        plan = self._first.plan
        assert plan is not None
        return plan.arithmetic

    def _use_arithmetic(self, arithmetic: Arithmetic) -> None:
        """Use the arithmetic of a resumed run for the whole group."""
        task = with_arithmetic(self._read_first(), self.backbone, arithmetic)
        self.clear_cache()
        self._first = plan_tiling(task, arithmetic)

    def _read_first(self) -> StyleTransferTask:
        return self.read(self.backbone, self.points[0][1].settings)

    @cached_property
    def _objectives(self) -> dict[tuple[int, int], Objective]:
        return {}


def group_by_targets(
    points: Sequence[GridPoint],
    inputs: RunInputs,
    backbone: Backbone | str | Path,
    on_progress: Reporter = no_progress,
) -> Iterator[RunGroup]:
    """Group the runs by their targets; each network is loaded once.

    Args:
        points: The runs.
        inputs: The images and masks of all runs.
        backbone: The network of runs that name none.
        on_progress: Called while weights are downloaded.
    """

    def read(network: Backbone, settings: StylizeSettings) -> StyleTransferTask:
        return read_task(*inputs, network, settings)

    def load(name: str | None) -> Backbone:
        return load_backbone(name or backbone, on_progress=on_progress)

    networks: dict[str | None, Backbone] = {}
    groups: list[tuple[str | None, StylizeSettings, list[tuple[int, GridPoint]]]] = []
    defaults = {name: getattr(StylizeSettings(), name) for name in _PER_RUN}
    for number, point in enumerate(points):
        shared = replace(point.settings, **defaults)
        group = next((g for g in groups if g[:2] == (point.backbone, shared)), None)
        if group is None:
            group = (point.backbone, shared, [])
            groups.append(group)
        group[2].append((number, point))
    for name, _, members in groups:
        if name not in networks:
            networks[name] = load(name)
        yield RunGroup(tuple(members), networks[name], read)
