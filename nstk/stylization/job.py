"""Neural style transfer: descend on the pixels until content and style agree."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import median

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.errors import DivergenceError
from nstk.images.image import Image, Plane, resize_image, resize_plane, save_image
from nstk.images.masks import resize_mask
from nstk.progress import Reporter, no_progress
from nstk.settings import CheckpointSettings, StylizeSettings
from nstk.storage.checkpoints import CheckpointCallback, CheckpointFolder, State
from nstk.stylization.color_transfer import restore_colors
from nstk.stylization.inputs import Inputs, MaskSource, Source, StyleSource
from nstk.stylization.objective import Objective
from nstk.stylization.optimization import Optimization
from nstk.stylization.preparing import resolve_backbone, plan_task, read_task
from nstk.stylization.quality import content_similarity
from nstk.stylization.resumption import (
    Decisions,
    capture,
    describe_run,
    recall_decisions,
    recount,
    restore_optimization,
)
from nstk.stylization.scales import Scale
from nstk.stylization.strength import search_strength
from nstk.stylization.task import StyleTransferTask
from nstk.stylization.tiled.memory import peak_memory
from nstk.stylization.tiled.planning import Plan

log = logging.getLogger("nstk")

TRIAL_STEPS = 100
"""Steps of each trial of ``--strength auto`` at the coarsest scale."""


@dataclass(frozen=True, eq=False)
class StylizeResult:
    """A stylized image and how it came about.

    Attributes:
        image: float32 ``(height, width, 3)``, sRGB, ``[0, 1]``.
        alpha: The content's transparency at the same size, or None if it was opaque.
        settings: What was asked for.
        strength: What it was painted at, asked for or found.
        backbone: Name of the network.
        engine: ``whole``, or ``windows`` where the image was looked at in parts.
        precision: What convolutions ran in, ``float32`` or ``bfloat16``.
        convolution: How those that suit it were computed, ``direct`` or ``winograd``.
        loss: L at the last step.
        terms: Its parts at the last step: ``content``, ``style``, ``variation`` and every
            style layer by name, before α, β, γ and λ_l.
        steps: Steps taken, over all scales.
        seconds: Wall time of the whole job.
        seconds_per_step: Median at the last scale that was reached, NaN before its first step.
        peak_memory_bytes: Largest resident size of the process so far, None where unknown.
        interrupted: Whether Ctrl-C ended it early; the image is as far as it had come.
        notices: What was special about the input files and about the descent.
    """

    image: Image
    alpha: Plane | None
    settings: StylizeSettings
    strength: float
    backbone: str
    tiling: str
    precision: str
    convolution: str
    loss: float
    terms: Mapping[str, float]
    steps: int
    seconds: float
    seconds_per_step: float
    peak_memory_bytes: int | None
    interrupted: bool
    notices: tuple[str, ...]

    def save(self, path: str | Path) -> Path:
        """Write the image, with its transparency where the format has one.

        Raises:
            OutputError: If it cannot be written.
        """
        return save_image(path, self.image, alpha=self.alpha)


def stylize(
    content: Source,
    styles: StyleSource | Sequence[StyleSource],
    *,
    backbone: Backbone | str | Path = "compact",
    settings: StylizeSettings | None = None,
    content_masks: Sequence[MaskSource] = (),
    style_masks: Sequence[MaskSource] = (),
    keep_mask: MaskSource | None = None,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
) -> StylizeResult:
    """Paint the content of one image in the style of others (Gatys, Ecker and Bethge 2016).

    Departures from the paper: losses are relative to their targets; style is Gram matrix, mean
    and deviation; the descent goes from coarse to fine, and its averaged iterate is the result;
    the first convolution sees replicated borders instead of zeros.

    Ctrl-C ends the descent and returns what there is, with ``interrupted`` set. With checkpoints,
    whatever ends it, a run that goes on from them paints the same bytes as one that never ended.

    Args:
        content: What to paint: a Image or the path of one.
        styles: How to paint it: images, style files, or one of them.
        backbone: The network to look through, or a name for `load_backbone`.
        settings: What is asked for; the defaults when None.
        content_masks: Where each style goes: none, or one for each style. A mask is a plane
            ``(height, width)`` in ``[0, 1]`` of the shape of its image, or the path of one.
        style_masks: Which part of each style image counts: none, or one for each style.
        keep_mask: What is to stay as it is.
        checkpoints: Where and how often the state is kept; nowhere when None.
        on_progress: Called with a `Progress` at every step.

    Returns:
        The image and its figures.

    Raises:
        ImageError: If a file is no image, or too small to look at.
        MaskError: If a mask does not fit, or nothing of it is left in a layer.
        StyleFileError: If a style file cannot be read, or belongs to another network.
        SettingsError: If the size asked for is too small for the network.
        BackboneError: If the network is unknown or cannot be used for this.
        CheckpointError: If the checkpoints are another run's, or their folder is in use.
        DivergenceError: If the loss stops being a finite number twice; its ``made`` is the last
            good image, a `StylizeResult`.

    Example:
        >>> import nstk
        >>> result = nstk.stylize("town.jpg", "waves.jpg")  # doctest: +SKIP
        >>> result.save("painting.png")  # doctest: +SKIP
    """
    begun = time.perf_counter()
    settings = settings or StylizeSettings()
    masks = (content_masks, style_masks, keep_mask)
    with CheckpointFolder(checkpoints or CheckpointSettings()) as folder:
        network = resolve_backbone(backbone, on_progress)
        task = read_task(content, styles, masks, network, settings)
        return run_task(
            task,
            partial(plan_task, network=network),
            on_progress,
            begun=begun,
            found=folder.restore(describe_run(task)) if folder.is_enabled else None,
            save=folder.save,
        )


def run_task(
    task: StyleTransferTask,
    make_plan: Callable[[StyleTransferTask], tuple[StyleTransferTask, Plan]],
    on_progress: Reporter = no_progress,
    *,
    begun: float | None = None,
    look: Callable[[StyleTransferTask, Scale], Objective] = StyleTransferTask.objective,
    found: State | None = None,
    save: CheckpointCallback,
) -> StylizeResult:
    """Paint what was read; see `stylize`.

    Args:
        painting: What is to be painted.
        make_plan: Chooses arithmetic and engine, as `plan_painting` does.
        on_progress: Called with a `Progress` at every step.
        begun: When the job began, by ``time.perf_counter``; now where None.
        look: Gives the objective of a scale, for those who paint with the same targets again.
        found: The state to go on from; None begins.
        save: Offered the state after every step and at the end, if it is no error.
    """
    begun = time.perf_counter() if begun is None else begun
    task, plan, decisions = _decide(task, make_plan, found, on_progress)
    log.info("%s engine in %s, %s: %s.", plan.tiling, *plan.arithmetic, plan.reason)
    optimization = task.begin() if found is None else restore_optimization(task, found)
    recount(task, optimization, on_progress)
    strength = decisions.strength

    def keep(optimization: Optimization, *, now: bool = False) -> None:
        save(optimization.steps, lambda: capture(optimization, decisions), now=now)

    def finish(interrupted: bool) -> StylizeResult:
        seconds = time.perf_counter() - begun
        return _report(task, plan, optimization, strength, interrupted, seconds)

    try:
        for _ in task.descend(
            strength, on_progress, look=partial(look, task), optimization=optimization, keep=keep
        ):
            pass
    except KeyboardInterrupt:
        keep(optimization, now=True)
        return finish(interrupted=True)
    except DivergenceError as error:
        error.made = finish(interrupted=True)
        raise
    keep(optimization, now=True)
    return finish(interrupted=False)


def _decide(
    task: StyleTransferTask,
    make_plan: Callable[[StyleTransferTask], tuple[StyleTransferTask, Plan]],
    found: State | None,
    on_progress: Reporter,
) -> tuple[StyleTransferTask, Plan, Decisions]:
    """Choose engine, arithmetic and strength, or take those of the run that is gone on with."""
    if found is None:
        task, plan = make_plan(task)
        largest = None if math.isinf(task.largest_whole) else int(task.largest_whole)
        strength = _choose_strength(task, on_progress)
        return task, plan, Decisions(plan.tiling, *plan.arithmetic, largest, strength)
    asked, decisions = task.settings, recall_decisions(found)
    forced = replace(
        asked,
        tiling=decisions.tiling,
        precision=decisions.precision,
        convolution=decisions.convolution,
    )
    task, plan = make_plan(replace(task, settings=forced))
    largest_whole = math.inf if decisions.largest_whole is None else decisions.largest_whole
    task = replace(task, settings=asked, largest_whole=largest_whole)
    return task, plan, decisions


def _choose_strength(task: StyleTransferTask, on_progress: Reporter) -> float:
    """The strength asked for, or the one whose small result is as similar as asked for."""
    settings, target = task.settings, task.settings.target_similarity
    if target is None:
        return float(settings.strength)
    coarsest = task.plan[0]
    small = StyleTransferTask(
        task.network,
        task.inputs,
        replace(settings, size=coarsest.longer_side, scales=1, steps=TRIAL_STEPS),
    )

    look = cache(small.objective)

    def measure(strength: float) -> float:
        *_, optimization = small.descend(strength, look=look)
        return content_similarity(small.subject(small.plan[0]), optimization.image())

    return search_strength(measure, target, on_progress)


def _report(
    task: StyleTransferTask,
    plan: Plan,
    optimization: Optimization,
    strength: float,
    interrupted: bool,
    seconds: float,
) -> StylizeResult:
    inputs = task.inputs
    image = _finish(optimization.image(), inputs, task.settings)
    alpha = inputs.content.alpha
    return StylizeResult(
        image=image,
        alpha=None if alpha is None else resize_plane(alpha, *image.shape[:2]),
        settings=task.settings,
        strength=strength,
        backbone=task.network.name,
        tiling=plan.tiling,
        precision=plan.precision,
        convolution=plan.convolution,
        loss=optimization.loss,
        terms=optimization.terms,
        steps=optimization.steps,
        seconds=seconds,
        seconds_per_step=median(optimization.durations) if optimization.durations else math.nan,
        peak_memory_bytes=peak_memory(),
        interrupted=interrupted,
        notices=(*inputs.notices, *filter(None, [optimization.point.divergence_note])),
    )


def _finish(painted: Image, inputs: Inputs, settings: StylizeSettings) -> Image:
    """Bring back the content's colors where they are wanted, and the part that was to stay."""
    image = restore_colors(painted, inputs.content.pixels, settings.color)
    if inputs.keep is not None:
        height, width = painted.shape[:2]
        content = resize_image(inputs.content.pixels, height, width)
        keep = resize_mask(inputs.keep, height, width)[..., np.newaxis]
        image = np.where(keep == 1, content, image + keep * (content - image))
    result: Image = image.astype(np.float32, copy=False)
    return result
