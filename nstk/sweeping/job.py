"""A sweep: the paintings of a grid, made once and kept."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nstk.backbones.backbone import Backbone
from nstk.errors import DivergenceError, ImageError, SettingsError
from nstk.images.image import Image
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import CheckpointSettings, StylizeSettings
from nstk.storage.checkpoints import CheckpointFolder
from nstk.stylization.inputs import (
    MaskSource,
    MaskSources,
    Source,
    list_masks,
    list_styles,
    open_image,
)
from nstk.stylization.mask_images import draw_mask, name_masks
from nstk.stylization.recording import Trace, broadcast
from nstk.sweeping.grid import BACKBONE, GridPoint, SweepAxis, count_points, make_grid
from nstk.sweeping.records import RunFolder, SweptRun, digest_run, digest_source
from nstk.sweeping.resumption import UnfinishedRun, identify_sweep
from nstk.sweeping.sharing import RunGroup, group_by_targets

log = logging.getLogger("nstk")

MANY = 100
"""From how many runs on a sweep has to be confirmed."""

_SAMPLES = 5


@dataclass(frozen=True, eq=False)
class Sweep:
    """The paintings of a grid.

    Attributes:
        content: The content image.
        styles: The style images, by name; those of style files are left out.
        axes: What was varied, one or two settings.
        runs: All of them; the last axis changes fastest.
        masks: What said where a style goes, what counts of it and what stays, by these words.
    """

    content: Image
    styles: Mapping[str, Image]
    axes: tuple[SweepAxis, ...]
    runs: tuple[SweptRun, ...]
    masks: Mapping[str, Image] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Wall time of all descents."""
        return sum(run.seconds for run in self.runs)

    def row(self, index: int) -> tuple[SweptRun, ...]:
        """The runs of one value of the first of two axes; all of them where there is one axis."""
        if len(self.axes) == 1:
            return self.runs
        across = len(self.axes[1].values)
        return self.runs[index * across : (index + 1) * across]


def sweep(
    content: Source,
    styles: Source | Sequence[Source],
    over: Sequence[SweepAxis],
    folder: str | Path,
    *,
    backbone: Backbone | str | Path = "compact",
    weights: str | Path | None = None,
    settings: StylizeSettings | None = None,
    content_masks: Sequence[MaskSource] = (),
    style_masks: Sequence[MaskSource] = (),
    keep_mask: MaskSource | None = None,
    confirmed: bool = False,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
) -> Sweep:
    """Paint one content in one style with every combination of some settings.

    Runs that see the same targets share them, and the compiled steps: where only α, β, γ or the
    strength differ, nothing is compiled twice. Every finished run is kept in ``folder``; a second
    call does what is missing. A run whose images, network or settings are others than those it
    was made from is painted again.

    Args:
        content: What to paint: a Image or the path of one.
        styles: How to paint it: images, the paths of images or style files, or one of them.
        over: One or two settings and their values.
        folder: Where runs are kept; made where it is absent.
        backbone: The network, or a name for `nstk.load_backbone`.
        weights: A local weights file for a backbone given by name.
        settings: What all runs have in common; the defaults when None.
        content_masks: See `nstk.stylize`; all runs have the same masks.
        style_masks: See `nstk.stylize`.
        keep_mask: See `nstk.stylize`.
        confirmed: Whether more than a hundred runs are wanted.
        checkpoints: Where and how often the state of the run that is being painted is kept, so
            that this run, too, goes on where it was ended, to the same bytes; nowhere when None.
        on_progress: Called with a `Progress` at every step; the stage names the run.

    Raises:
        SettingsError: If there is no such setting, a value is out of its range, or there are more
            than a hundred runs that nobody confirmed; it says how long they would take.
        OutputError: If no run can be kept in the folder.
        CheckpointError: If the checkpoints are another sweep's, or their folder is in use.
        NstkError: What `nstk.stylize` would raise before its first step, before any run begins.
        KeyboardInterrupt: With Ctrl-C; finished runs are kept.

    Example:
        >>> import nstk
        >>> alpha = nstk.SweepAxis("content_weight", (1e-4, 1e-3, 1e-2, 1e-1))
        >>> swept = nstk.sweep("town.jpg", "waves.jpg", [alpha], "runs")  # doctest: +SKIP
        >>> nstk.save_sweep(swept, "sweep.png")  # doctest: +SKIP
    """
    settings = settings or StylizeSettings()
    axes, store = tuple(over), RunFolder(Path(folder))
    _check_weights(axes, weights)
    store.check()
    masks = (content_masks, style_masks, keep_mask)
    common: dict[str, Any] = {
        "masks": masks,
        "backbone": backbone,
        "weights": weights,
        "on_progress": on_progress,
    }
    count = count_points(axes)
    if count > MANY and not confirmed:
        seconds = _estimate(axes, settings, content, styles, common)
        raise SettingsError(
            f"--over asks for {count} runs, about {_format_time(seconds)} on this machine; "
            "give --yes to paint them all, or fewer values."
        )
    with CheckpointFolder(checkpoints or CheckpointSettings()) as states:
        families = list(group_by_targets(make_grid(axes, settings), content, styles, **common))
        for family in families:
            family.check()
        images = _digest_images(content, styles, masks)
        networks = {family.backbone.name: family.backbone.digest for family in families}
        recipe = identify_sweep(axes, settings, images, networks)
        series = _Series(store, images, count, UnfinishedRun(states, recipe), on_progress)
        runs = series.complete(families)
    return Sweep(
        content=open_image(content, "content").pixels,
        styles=_open_styles(styles),
        axes=axes,
        runs=runs,
        masks={
            purpose: draw_mask(mask)
            for purpose, mask in name_masks(masks, len(list_styles(styles))).items()
        },
    )


@dataclass(frozen=True, eq=False)
class _Series:
    """Runs one after the other; what is there already is not painted again.

    Attributes:
        store: Where they are kept.
        images: Digests of content, styles and masks, by name.
        count: How many there are.
        unfinished: The state of the one that is being painted.
        on_progress: Told of every step.
    """

    store: RunFolder
    images: Mapping[str, str]
    count: int
    unfinished: UnfinishedRun
    on_progress: Reporter

    def complete(self, families: Iterable[RunGroup]) -> tuple[SweptRun, ...]:
        """Paint what is missing, and give all of them in order."""
        runs: dict[int, SweptRun] = {}
        redone = 0
        try:
            for family in families:
                for number, point in family.points:
                    digest = digest_run(point.settings, family.backbone, self.images)
                    found = self.store.find(point, digest)
                    redone += found is None and self.store.holds(point)
                    runs[number] = found or self._paint(family, number, point, digest)
                    self.unfinished.move_on(len(runs[number].curves["loss"]))
                family.forget()
        except KeyboardInterrupt:
            log.warning(
                "%d of %d runs are in %s; the same sweep%s goes on with the others.",
                len(runs),
                self.count,
                self.store.path,
                " with --resume" if self.unfinished.is_kept else "",
            )
            raise
        if redone:
            log.warning(
                "%d of the runs in %s were made from other images, settings or weights, "
                "and were painted again.",
                redone,
                self.store.path,
            )
        return tuple(runs[number] for number in range(self.count))

    def _paint(self, family: RunGroup, number: int, point: GridPoint, digest: str) -> SweptRun:
        """Paint one run and keep it."""
        title = f"run {number + 1} of {self.count}, {point.label}"

        def report(progress: Progress) -> None:
            self.on_progress(replace(progress, stage=f"{title}: {progress.stage}"))

        trace = Trace()
        diverged = False
        try:
            made = family.paint(
                point,
                broadcast(trace, report),
                found=self.unfinished.find(digest),
                save=self.unfinished.keeper(digest),
            )
        except DivergenceError as error:
            if error.made is None:
                raise
            log.warning("%s diverged: %s", point.label, error)
            made, diverged = error.made, True
        if made.interrupted and not diverged:
            raise KeyboardInterrupt
        run = SweptRun(
            point=point,
            backbone=made.backbone,
            terms={**made.terms, "loss": made.loss},
            seconds=made.seconds,
            output=self.store.output(point),
            curves=_curves(trace),
            stages=tuple((scale.stage, len(scale.steps)) for scale in trace.scales),
            diverged=diverged,
            resumed=False,
        )
        self.store.keep(run, made.image, made.alpha, digest)
        return run


def _curves(trace: Trace) -> dict[str, tuple[float, ...]]:
    parts = ("content", "style", "tv")
    curves = {name: tuple(step.terms[name] for step in trace.steps) for name in parts}
    return {**curves, "loss": tuple(step.loss for step in trace.steps)}


def _estimate(
    axes: Sequence[SweepAxis],
    settings: StylizeSettings,
    content: Source,
    styles: Any,
    common: Mapping[str, Any],
) -> float:
    """Seconds of all runs, from those of a few that are spread over the grid."""
    few = tuple(replace(axis, values=_spread(axis.values)) for axis in axes)
    points = make_grid(few, settings)
    families = group_by_targets(points, content, styles, **common)
    return sum(family.check() for family in families) * count_points(axes) / len(points)


def _spread(values: Sequence[Any]) -> tuple[Any, ...]:
    places = [round(k * (len(values) - 1) / (_SAMPLES - 1)) for k in range(_SAMPLES)]
    return tuple(values[place] for place in dict.fromkeys(places))


def _check_weights(axes: Sequence[SweepAxis], weights: str | Path | None) -> None:
    if weights is not None and any(axis.key == BACKBONE for axis in axes):
        raise SettingsError(
            f"--over varies the backbone and {weights} belongs to one of them; leave --weights out."
        )


def _digest_images(content: Source, styles: Any, masks: MaskSources) -> dict[str, str]:
    content_masks, style_masks, keep_mask = masks
    several = {
        "style": list_styles(styles),
        "content mask": list_masks(content_masks),
        "style mask": list_masks(style_masks),
    }
    sources = {"content": content} | {
        f"{what} {number}": source
        for what, listed in several.items()
        for number, source in enumerate(listed, 1)
    }
    if keep_mask is not None:
        sources["keep mask"] = keep_mask
    return {name: digest_source(source) for name, source in sources.items()}


def _open_styles(styles: Any) -> dict[str, Image]:
    """The style images by name."""
    shown = {}
    for number, style in enumerate(list_styles(styles), 1):
        try:
            loaded = open_image(style, f"style {number}")
        except ImageError:
            continue
        name = loaded.path.name
        shown[f"{name}, style {number}" if name in shown else name] = loaded.pixels
    return shown


def _format_time(seconds: float) -> str:
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest:02d} min" if hours else f"{max(rest, 1)} min"
