"""What the runs of a sweep have in common, so that none of it is made twice.

Runs that see the same targets through the same network are kin. They share the images that were
read, the network, the targets at every scale, and the compiled steps, which take α, β and γ as
arguments: kin that differ in nothing else compile nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.images.image import load_image
from nstk.progress import Reporter, no_progress
from nstk.settings import StylizeSettings
from nstk.storage.checkpoints import CheckpointCallback, State
from nstk.stylization.initialization import INITS
from nstk.stylization.inputs import MaskSources, Source
from nstk.stylization.job import StylizeResult, run_task
from nstk.stylization.objective import Objective
from nstk.stylization.preparing import choose_tiling, prepare
from nstk.stylization.scales import Scale
from nstk.stylization.task import StyleTransferTask
from nstk.stylization.tiled.planning import Plan
from nstk.sweeping.grid import GridPoint

_OWN = (
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
"""Settings that leave every target at a scale as it is."""


@dataclass(frozen=True, eq=False)
class RunGroup:
    """Runs that are kin.

    Attributes:
        points: The runs, each with its place among all.
        backbone: Their network.
        open: Reads and checks everything for the settings of one of them.
    """

    points: tuple[tuple[int, GridPoint], ...]
    backbone: Backbone
    open: Callable[[Backbone, StylizeSettings], tuple[StyleTransferTask, Plan]]

    def check(self) -> float:
        """Check every run and predict the seconds of all of them together.

        Raises:
            NstkError: What `nstk.stylize` would raise before its first step.
        """
        known: dict[Any, float] = {}
        total = 0.0
        for _, point in self.points:
            wanted = point.settings
            key = (wanted.size, wanted.scales, wanted.steps, wanted.optimizer, wanted.init)
            if key not in known:
                known[key] = self.prepare(point)[1].seconds
            total += known[key]
        return total

    def prepare(self, point: GridPoint) -> tuple[StyleTransferTask, Plan]:
        """Check and plan one of them, with what was read for the first.

        Raises:
            NstkError: What `nstk.stylize` would raise before its first step.
        """
        own = replace(self._first[0], settings=point.settings)
        own.check()
        if point.settings.init not in INITS:
            load_image(point.settings.init)
        return self._plan(own)

    def paint(
        self,
        point: GridPoint,
        on_progress: Reporter = no_progress,
        *,
        found: State | None = None,
        save: CheckpointCallback,
    ) -> StylizeResult:
        """Paint one of them; see `nstk.stylization.job.run_task`."""
        task = replace(self._first[0], settings=point.settings)
        return run_task(task, self._plan, on_progress, look=self._look, found=found, save=save)

    def _plan(self, task: StyleTransferTask) -> tuple[StyleTransferTask, Plan]:
        """Choose the engine for one of them; all have the arithmetic of the first.

        A run that is gone on with says what that was.
        """
        asked = task.settings
        if not self._first[1].arithmetic.suits(asked.precision, asked.convolution):
            vars(self).update(_first=self.open(self.backbone, asked), _objectives={})
        first, plan = self._first
        return choose_tiling(replace(task, network=first.network), plan.arithmetic)

    def _look(self, task: StyleTransferTask, scale: Scale) -> Objective:
        size = scale.height, scale.width
        if size not in self._objectives:
            self._objectives[size] = task.objective(scale)
        return self._objectives[size]

    def forget(self) -> None:
        """Let go of what was read and compiled."""
        for name in ("_first", "_objectives"):
            vars(self).pop(name, None)

    @cached_property
    def _first(self) -> tuple[StyleTransferTask, Plan]:
        return self.open(self.backbone, self.points[0][1].settings)

    @cached_property
    def _objectives(self) -> dict[tuple[int, int], Objective]:
        return {}


def group_by_targets(
    points: Sequence[GridPoint],
    content: Source,
    styles: Source | Sequence[Source],
    *,
    masks: MaskSources = ((), (), None),
    backbone: Backbone | str | Path,
    weights: str | Path | None = None,
    on_progress: Reporter = no_progress,
) -> Iterator[RunGroup]:
    """Sort the runs into families, and load each network once.

    Args:
        points: The runs.
        content: What is painted.
        styles: How.
        masks: Where each style goes, which part of each style counts, and what is to stay.
        backbone: The network of those that name none.
        weights: A local weights file for it.
        on_progress: Told when weights are fetched.
    """

    def open_first(network: Backbone, settings: StylizeSettings) -> tuple[StyleTransferTask, Plan]:
        return prepare(content, styles, masks, network, settings, on_progress)

    def load(name: str | None) -> Backbone:
        if name is not None:
            return load_backbone(name, on_progress=on_progress)
        if isinstance(backbone, Backbone):
            return backbone
        return load_backbone(backbone, weights=weights, on_progress=on_progress)

    networks: dict[str | None, Backbone] = {}
    families: list[tuple[str | None, StylizeSettings, list[tuple[int, GridPoint]]]] = []
    usual = {name: getattr(StylizeSettings(), name) for name in _OWN}
    for number, point in enumerate(points):
        seen = replace(point.settings, **usual)
        kin = next((f for f in families if f[:2] == (point.backbone, seen)), None)
        if kin is None:
            kin = (point.backbone, seen, [])
            families.append(kin)
        kin[2].append((number, point))
    for name, _, members in families:
        if name not in networks:
            networks[name] = load(name)
        yield RunGroup(tuple(members), networks[name], open_first)
