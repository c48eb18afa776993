"""Everything before the first step: reading, checking and planning."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nstk.backbones.arithmetic import choose_arithmetic
from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.backbones.variants import Arithmetic
from nstk.progress import Reporter, no_progress
from nstk.settings import StylizeSettings
from nstk.stylization.inputs import MaskSource, MaskSources, Source, StyleSource, read_inputs
from nstk.stylization.task import StyleTransferTask
from nstk.stylization.tiled.planning import CostModel, Plan, make_plan


def plan_stylization(
    content: Source,
    styles: StyleSource | Sequence[StyleSource],
    *,
    backbone: Backbone | str | Path = "compact",
    settings: StylizeSettings | None = None,
    content_masks: Sequence[MaskSource] = (),
    style_masks: Sequence[MaskSource] = (),
    keep_mask: MaskSource | None = None,
    on_progress: Reporter = no_progress,
) -> Plan:
    """Say what `stylize` would need for the same arguments, without painting.

    Time is predicted from how fast this machine convolves, which is measured once and kept in the
    cache folder.

    Args:
        content: See `stylize`.
        styles: See `stylize`.
        backbone: See `stylize`.
        settings: See `stylize`.
        content_masks: See `stylize`.
        style_masks: See `stylize`.
        keep_mask: See `stylize`.
        on_progress: Told when weights are fetched.

    Returns:
        Engine, precision, memory and time, and why this engine.

    Raises:
        NstkError: What `stylize` would raise before its first step.

    Example:
        >>> import nstk
        >>> nstk.plan_stylization("town.jpg", "waves.jpg").engine  # doctest: +SKIP
        'whole'
    """
    settings = settings or StylizeSettings()
    masks = (content_masks, style_masks, keep_mask)
    return prepare(content, styles, masks, backbone, settings, on_progress)[1]


def prepare(
    content: Source,
    styles: StyleSource | Sequence[StyleSource],
    masks: MaskSources,
    backbone: Backbone | str | Path,
    settings: StylizeSettings,
    on_progress: Reporter,
) -> tuple[StyleTransferTask, Plan]:
    """Read and check everything, and choose arithmetic and engine.

    Args:
        content: What to paint.
        styles: How.
        masks: Where each style goes, which part of each style counts, and what is to stay.
        backbone: The network or its name.
        settings: What is asked for.
        on_progress: Told when weights are fetched.
    """
    network = resolve_backbone(backbone, on_progress)
    return plan_task(read_task(content, styles, masks, network, settings), network)


def resolve_backbone(backbone: Backbone | str | Path, on_progress: Reporter) -> Backbone:
    """Take a backbone as it is, and load a name.

    Args:
        backbone: The network or its name.
        on_progress: Told when weights are fetched.
    """
    if isinstance(backbone, Backbone):
        return backbone
    return load_backbone(backbone, on_progress=on_progress)


def read_task(
    content: Source,
    styles: StyleSource | Sequence[StyleSource],
    masks: MaskSources,
    network: Backbone,
    settings: StylizeSettings,
) -> StyleTransferTask:
    """Read and check everything.

    Args:
        content: What to paint.
        styles: How.
        masks: Where each style goes, which part of each style counts, and what is to stay.
        network: What to look through.
        settings: What is asked for.

    Returns:
        What is to be painted, in float32 and looked at at once.
    """
    content_masks, style_masks, keep_mask = masks
    inputs = read_inputs(
        content,
        styles,
        settings,
        content_masks=content_masks,
        style_masks=style_masks,
        keep_mask=keep_mask,
    )
    prepared = network.prepared(edge="replicate", pooling=settings.pooling)
    task = StyleTransferTask(prepared, inputs, settings)
    task.check()
    return task


def plan_task(task: StyleTransferTask, network: Backbone) -> tuple[StyleTransferTask, Plan]:
    """Choose arithmetic and engine.

    Args:
        painting: In float32, looked at at once.
        network: The same network before it was prepared.
    """
    settings = task.settings
    layers = task.weights.layers
    arithmetic = choose_arithmetic(settings.precision, settings.convolution, task.network, layers)
    if arithmetic != Arithmetic():
        variant = network.prepared(
            edge="replicate", pooling=settings.pooling, **arithmetic._asdict()
        )
        task = replace(task, network=variant)
    return choose_tiling(task, arithmetic)


def choose_tiling(
    task: StyleTransferTask, arithmetic: Arithmetic
) -> tuple[StyleTransferTask, Plan]:
    """Say what a painting takes, and let it look in windows where it has to.

    Args:
        painting: What is to be painted; its own ``largest_whole`` does not count.
        arithmetic: What the convolutions of its network run in, and how they are computed.

    Raises:
        SettingsError: If it would need more memory than there is.
        BackboneError: If windows are wanted and the network cannot be looked at in parts.
    """
    settings = task.settings
    demand = CostModel(
        task.network,
        task.weights,
        settings.optimizer,
        arithmetic,
        tuple(task.plan),
    )
    limit = None if settings.max_memory == "auto" else settings.max_memory
    plan = make_plan(demand, settings.tiling, limit)
    if plan.tiling == "on":
        affordable = plan.peak_memory_bytes if settings.tiling == "auto" else 0
        return replace(task, largest_whole=demand.largest_image("off", affordable)), plan
    return replace(task, largest_whole=math.inf), plan
