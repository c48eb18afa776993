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
from nstk.progress import Reporter, ignore
from nstk.settings import CheckpointSettings, StylizeSettings
from nstk.storage.checkpoints import CheckpointFolder, Saver, State
from nstk.stylization.color_transfer import restore_colors
from nstk.stylization.inputs import Inputs, MaskSource, Source, StyleSource
from nstk.stylization.objective import Objective
from nstk.stylization.optimization import Descent
from nstk.stylization.preparing import find_network, plan_painting, read_painting
from nstk.stylization.quality import content_similarity
from nstk.stylization.resumption import (
    Decisions,
    capture,
    describe_run,
    recall_decisions,
    recall_descent,
    recount,
)
from nstk.stylization.scales import Scale
from nstk.stylization.strength import search_strength
from nstk.stylization.task import Painting
from nstk.stylization.tiled.memory import peak_memory
from nstk.stylization.tiled.planning import Plan

log = logging.getLogger("nstk")

TRIAL_STEPS = 100
"""Steps of each trial of ``--strength auto`` at the coarsest scale."""


@dataclass(frozen=True, eq=False)
class Stylization:
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
    engine: str
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
    on_progress: Reporter = ignore,
) -> Stylization:
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
            good image, a `Stylization`.

    Example:
        >>> import nstk
        >>> result = nstk.stylize("town.jpg", "waves.jpg")  # doctest: +SKIP
        >>> result.save("painting.png")  # doctest: +SKIP
    """
    begun = time.perf_counter()
    settings = settings or StylizeSettings()
    masks = (content_masks, style_masks, keep_mask)
    with CheckpointFolder(checkpoints or CheckpointSettings()) as folder:
        network = find_network(backbone, on_progress)
        painting = read_painting(content, styles, masks, network, settings)
        return paint(
            painting,
            partial(plan_painting, network=network),
            on_progress,
            begun=begun,
            found=folder.find(describe_run(painting)) if folder.is_used else None,
            save=folder.keep,
        )


def paint(
    painting: Painting,
    make_plan: Callable[[Painting], tuple[Painting, Plan]],
    on_progress: Reporter = ignore,
    *,
    begun: float | None = None,
    look: Callable[[Painting, Scale], Objective] = Painting.objective,
    found: State | None = None,
    save: Saver,
) -> Stylization:
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
    painting, plan, decisions = _decide(painting, make_plan, found, on_progress)
    log.info("%s engine in %s, %s: %s.", plan.engine, *plan.arithmetic, plan.reason)
    descent = painting.begin() if found is None else recall_descent(painting, found)
    recount(painting, descent, on_progress)
    strength = decisions.strength

    def keep(descent: Descent, *, now: bool = False) -> None:
        save(descent.steps, lambda: capture(descent, decisions), now=now)

    def finish(interrupted: bool) -> Stylization:
        seconds = time.perf_counter() - begun
        return _report(painting, plan, descent, strength, interrupted, seconds)

    try:
        for _ in painting.descend(
            strength, on_progress, look=partial(look, painting), descent=descent, keep=keep
        ):
            pass
    except KeyboardInterrupt:
        keep(descent, now=True)
        return finish(interrupted=True)
    except DivergenceError as error:
        error.made = finish(interrupted=True)
        raise
    keep(descent, now=True)
    return finish(interrupted=False)


def _decide(
    painting: Painting,
    make_plan: Callable[[Painting], tuple[Painting, Plan]],
    found: State | None,
    on_progress: Reporter,
) -> tuple[Painting, Plan, Decisions]:
    """Choose engine, arithmetic and strength, or take those of the run that is gone on with."""
    if found is None:
        painting, plan = make_plan(painting)
        largest = None if math.isinf(painting.largest_whole) else int(painting.largest_whole)
        strength = _choose_strength(painting, on_progress)
        return painting, plan, Decisions(plan.engine, *plan.arithmetic, largest, strength)
    asked, decisions = painting.settings, recall_decisions(found)
    forced = replace(
        asked,
        engine=decisions.engine,
        precision=decisions.precision,
        convolution=decisions.convolution,
    )
    painting, plan = make_plan(replace(painting, settings=forced))
    largest_whole = math.inf if decisions.largest_whole is None else decisions.largest_whole
    painting = replace(painting, settings=asked, largest_whole=largest_whole)
    return painting, plan, decisions


def _choose_strength(painting: Painting, on_progress: Reporter) -> float:
    """The strength asked for, or the one whose small result is as similar as asked for."""
    settings, target = painting.settings, painting.settings.target_similarity
    if target is None:
        return float(settings.strength)
    coarsest = painting.plan[0]
    small = Painting(
        painting.network,
        painting.inputs,
        replace(settings, size=coarsest.longer_side, scales=1, steps=TRIAL_STEPS),
    )

    look = cache(small.objective)

    def measure(strength: float) -> float:
        *_, descent = small.descend(strength, look=look)
        return content_similarity(small.subject(small.plan[0]), descent.image())

    return search_strength(measure, target, on_progress)


def _report(
    painting: Painting,
    plan: Plan,
    descent: Descent,
    strength: float,
    interrupted: bool,
    seconds: float,
) -> Stylization:
    inputs = painting.inputs
    image = _finish(descent.image(), inputs, painting.settings)
    alpha = inputs.content.alpha
    return Stylization(
        image=image,
        alpha=None if alpha is None else resize_plane(alpha, *image.shape[:2]),
        settings=painting.settings,
        strength=strength,
        backbone=painting.network.name,
        engine=plan.engine,
        precision=plan.precision,
        convolution=plan.convolution,
        loss=descent.loss,
        terms=descent.terms,
        steps=descent.steps,
        seconds=seconds,
        seconds_per_step=median(descent.durations) if descent.durations else math.nan,
        peak_memory_bytes=peak_memory(),
        interrupted=interrupted,
        notices=(*inputs.notices, *filter(None, [descent.point.setback])),
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
