"""Neural style transfer: optimize the pixels of an image until it matches content and style."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from statistics import median

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.errors import DivergenceError
from nstk.images.color_spaces import to_luma
from nstk.images.image import VALUE_RANGE, Image, ValueRange, resize_image, resize_plane
from nstk.images.masks import resize_mask
from nstk.progress import CallbackReporter, Reporter, no_progress
from nstk.settings import CheckpointSettings, StylizeSettings, resolve_settings
from nstk.storage.checkpoints import CheckpointFolder, Resumable
from nstk.stylization.color_transfer import restore_colors
from nstk.stylization.inputs import Inputs, Source, StyleSource, with_range, with_ranges
from nstk.stylization.objective import Objective
from nstk.stylization.optimization import Optimization
from nstk.stylization.quality import content_similarity
from nstk.stylization.recipe import Scale, search_strength
from nstk.stylization.regions import NO_MASKS, Masks
from nstk.stylization.result import StylizeResult, Trace, broadcast
from nstk.stylization.resumption import ResumableRun, identify_run, read_plan
from nstk.stylization.task import StyleTransferTask, plan_task, read_task
from nstk.stylization.tiled.memory import peak_memory
from nstk.stylization.tiled.planning import Plan
from nstk.types import SettingValue

log = logging.getLogger("nstk")

Checkpointed = Callable[[Resumable], AbstractContextManager[Callable[[], None]]]

TRIAL_SIDE, TRIAL_STEPS = 128, 30
"""Size and steps of each trial of ``strength="auto"``, which begins at the coarsest scale."""


def stylize(
    content: Source,
    style: StyleSource | Sequence[StyleSource],
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    masks: Masks = NO_MASKS,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> StylizeResult:
    """Render the content of one image in the style of others (Gatys, Ecker and Bethge 2016).

    Departures from the paper: losses are relative to their targets; style is the Gram matrix,
    mean and standard deviation; the optimization goes from coarse to fine, and its averaged
    iterate is the result; the first convolution sees replicated borders instead of zeros.

    Ctrl-C ends the run and returns the result so far, with ``interrupted`` set. With checkpoints,
    a run can be resumed after any interruption, with bit-identical results.

    Args:
        content: The content image, an array or a path.
        style: One or several styles: images or style files.
        value_range: Values of black and white in arrays of floats, as in Keras. Integers lie
            between 0 and 255, and what nstk returns has a range of its own.
        backbone: The network, or a name for `load_backbone`.
        masks: Where each style goes, which part of it counts, and what stays unchanged.
        checkpoints: Where and how often to save the state; never if None.
        on_progress: Called with a `Progress` at every step.
        **options: Fields of `StylizeSettings`, such as ``size=512``; or all of them as
            ``settings=StylizeSettings(…)``. And ``callbacks=[…]``: Keras callbacks that see every
            step as a batch and every scale as an epoch.

    Returns:
        The image and the figures of the run.

    Raises:
        NstkError: If inputs, settings or checkpoints are invalid; see `nstk.errors`.
        DivergenceError: If the loss stops being finite twice; its ``made`` is a `StylizeResult`
            with the last good image.

    Example:
        >>> import nstk
        >>> result = nstk.stylize("town.jpg", "waves.jpg", size=512)  # doctest: +SKIP
        >>> result.save("town-in-waves.png")  # doctest: +SKIP
    """
    begun = time.perf_counter()
    on_progress = CallbackReporter(options.pop("callbacks", ()), on_progress)
    settings = resolve_settings(StylizeSettings, options.pop("settings", None), options)
    content, style = with_range(content, value_range), with_ranges(style, value_range)
    with CheckpointFolder(checkpoints or CheckpointSettings()) as folder:
        network = load_backbone(backbone, on_progress=on_progress)
        task = read_task(content, style, masks, network, settings)
        result = run_checkpointed(task, network, folder, on_progress, begun=begun)
    on_progress.finish({"loss": result.loss})
    return result


def plan_stylization(
    content: Source,
    style: StyleSource | Sequence[StyleSource],
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    masks: Masks = NO_MASKS,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> Plan:
    """Predict memory and time of `stylize` for the same arguments, without running it.

    Time is predicted from the speed of convolutions on this machine, which is measured once and
    kept in the cache folder.

    Args:
        content: See `stylize`.
        style: See `stylize`.
        value_range: See `stylize`.
        backbone: See `stylize`.
        masks: See `stylize`.
        on_progress: Called while weights are downloaded.
        **options: See `stylize`.

    Returns:
        Tiling, precision, memory and time, and the reason for the tiling.

    Raises:
        NstkError: If `stylize` would raise before its first step.

    Example:
        >>> import nstk
        >>> nstk.plan_stylization("town.jpg", "waves.jpg", size=512).tiling  # doctest: +SKIP
        'off'
    """
    settings = resolve_settings(StylizeSettings, options.pop("settings", None), options)
    network = load_backbone(backbone, on_progress=on_progress)
    images = with_range(content, value_range), with_ranges(style, value_range)
    task = plan_task(read_task(*images, masks, network, settings), network)
    assert task.plan is not None
    return task.plan


def run_checkpointed(
    task: StyleTransferTask,
    network: Backbone,
    folder: CheckpointFolder,
    on_progress: Reporter = no_progress,
    *,
    begun: float | None = None,
) -> StylizeResult:
    """Plan and run a task that was read, or continue it from its checkpoint."""
    found = folder.find(identify_run(task)) if folder.is_enabled else None
    task = plan_task(task, network, read_plan(found))
    return run_task(task, on_progress, begun=begun, checkpointed=partial(folder.run, found=found))


def run_task(
    task: StyleTransferTask,
    on_progress: Reporter = no_progress,
    *,
    begun: float | None = None,
    objective_factory: Callable[[StyleTransferTask, Scale], Objective] | None = None,
    checkpointed: Checkpointed,
) -> StylizeResult:
    begun = time.perf_counter() if begun is None else begun
    task, plan = _find_strength(task, on_progress)
    log.info("Tiling %s in %s: %s.", plan.tiling, plan.precision, plan.reason)
    run = ResumableRun(task, plan)
    optimization, history = run.optimization, Trace()
    on_progress = broadcast(history, on_progress)

    def finish(interrupted: bool) -> StylizeResult:
        seconds = time.perf_counter() - begun
        return replace(
            _make_result(task, plan, optimization, interrupted, seconds), history=history
        )

    factory = partial(objective_factory, task) if objective_factory else None
    try:
        with checkpointed(run) as on_step:
            run.replay_progress(on_progress)
            for _ in task.run(
                plan.strength or 0.0,
                on_progress,
                objective_factory=factory,
                optimization=optimization,
                on_step=on_step,
            ):
                pass
    except KeyboardInterrupt:
        return finish(interrupted=True)
    except DivergenceError as error:
        error.made = finish(interrupted=True)
        raise
    return finish(interrupted=False)


def _find_strength(
    task: StyleTransferTask, on_progress: Reporter
) -> tuple[StyleTransferTask, Plan]:
    """Complete the plan with the strength whose small result has the requested similarity."""
    plan, settings, target = task.plan, task.settings, task.settings.target_similarity
    assert plan is not None
    if plan.strength is not None or target is None:
        return task, plan
    last = len(task.scales) - 1
    number = next((n for n in range(last) if task.scales[n].longer_side >= TRIAL_SIDE), last)
    size = task.scales[number].longer_side
    trial = replace(settings, size=size, scales=number + 1, steps=TRIAL_STEPS)
    small = StyleTransferTask(task.network, task.inputs, trial)
    objective = cache(small.objective)

    def measure(strength: float) -> float:
        *_, optimization = small.run(strength, objective_factory=objective)
        return content_similarity(small.content_at(small.scales[-1]), optimization.image())

    plan = replace(plan, strength=search_strength(measure, target, on_progress))
    return replace(task, plan=plan), plan


def _make_result(
    task: StyleTransferTask,
    plan: Plan,
    optimization: Optimization,
    interrupted: bool,
    seconds: float,
) -> StylizeResult:
    inputs, durations = task.inputs, optimization.step_seconds
    image = _restore_content(optimization.image(), inputs, task.settings)
    alpha = inputs.content.alpha
    return StylizeResult(
        image=image,
        alpha=None if alpha is None else resize_plane(alpha, *image.shape[:2]),
        settings=task.settings,
        strength=plan.strength or 0.0,
        backbone=task.network.name,
        tiling=plan.tiling,
        precision=plan.precision,
        loss=optimization.loss,
        terms=optimization.terms,
        steps=optimization.steps,
        seconds=seconds,
        seconds_per_step=median(durations) if durations else math.nan,
        peak_memory_bytes=peak_memory(),
        interrupted=interrupted,
        notices=(*inputs.notices, *filter(None, [optimization.state.divergence_note])),
    )


def _restore_content(result: Image, inputs: Inputs, settings: StylizeSettings) -> Image:
    """Restore the content's colors if the color mode says so, gray, and the kept pixels."""
    image = restore_colors(result, inputs.content.pixels, settings.color)
    if inputs.is_gray:  # no loss tells the three channels of a pixel to stay equal
        image = np.repeat(to_luma(image)[..., np.newaxis], 3, axis=-1)
    if inputs.keep_mask is not None:
        height, width = result.shape[:2]
        content = resize_image(inputs.content.pixels, height, width)
        keep = resize_mask(inputs.keep_mask, height, width)[..., np.newaxis]
        image = np.where(keep == 1, content, image + keep * (content - image))
    restored: Image = image.astype(np.float32, copy=False)
    return restored
