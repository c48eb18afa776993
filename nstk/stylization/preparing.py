"""Preparation of a run: reading, checking and planning."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nstk.backbones.arithmetic import choose_arithmetic
from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.backbones.variants import Arithmetic
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.progress import Reporter, no_progress
from nstk.settings import StylizeSettings, resolve_settings
from nstk.stylization.inputs import Source, StyleSource, read_inputs, with_range, with_ranges
from nstk.stylization.masks import NO_MASKS, Masks
from nstk.stylization.task import StyleTransferTask
from nstk.stylization.tiled.planning import CostModel, Plan, check_memory, make_plan, memory_limit
from nstk.types import SettingValue


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


def read_task(
    content: Source,
    style: StyleSource | Sequence[StyleSource],
    masks: Masks,
    network: Backbone,
    settings: StylizeSettings,
) -> StyleTransferTask:
    """Read and check everything; the task has no plan yet and computes in float32."""
    inputs = read_inputs(content, style, masks, settings)
    prepared = network.prepared(edge="replicate", pooling=settings.pooling)
    task = StyleTransferTask(prepared, inputs, settings)
    task.check()
    return task


def plan_task(
    task: StyleTransferTask, network: Backbone, restored: Plan | None = None
) -> StyleTransferTask:
    """Choose arithmetic and tiling.

    Args:
        task: A task from `read_task`.
        network: The network before it was prepared.
        restored: The plan of the run that is resumed; it is kept.

    Raises:
        SettingsError: If the run needs more memory than the limit.
        BackboneError: If tiling is requested and the network cannot be tiled.
    """
    settings = task.settings
    arithmetic = (
        restored.arithmetic
        if restored
        else choose_arithmetic(
            settings.precision, settings.convolution, task.network, task.weights.layers
        )
    )
    return plan_tiling(with_arithmetic(task, network, arithmetic), arithmetic, restored)


def with_arithmetic(
    task: StyleTransferTask, network: Backbone, arithmetic: Arithmetic
) -> StyleTransferTask:
    """Return the task with its network in an arithmetic.

    Args:
        task: A task in float32 and direct convolutions.
        network: The network before it was prepared.
        arithmetic: Precision and algorithm of the convolutions.
    """
    if arithmetic == Arithmetic():
        return task
    variant = network.prepared(
        edge="replicate", pooling=task.settings.pooling, **arithmetic._asdict()
    )
    return replace(task, network=variant)


def plan_tiling(
    task: StyleTransferTask, arithmetic: Arithmetic, restored: Plan | None = None
) -> StyleTransferTask:
    """Decide whether to tile; a restored plan is kept and its memory checked.

    Args:
        task: A task with its network in ``arithmetic``.
        arithmetic: Precision and algorithm of the convolutions.
        restored: The plan of the run that is resumed.

    Raises:
        SettingsError: If the run needs more memory than the limit.
        BackboneError: If tiling is requested and the network cannot be tiled.
    """
    settings = task.settings
    limit = None if settings.max_memory == "auto" else settings.max_memory
    scales = tuple(task.scales)
    costs = CostModel(task.network, task.weights, settings.optimizer, arithmetic, scales)
    if restored is not None:
        check_memory(costs, restored.tiling, memory_limit(limit))
        return replace(task, plan=restored)
    strength = None if isinstance(settings.strength, str) else float(settings.strength)
    return replace(task, plan=make_plan(costs, settings.tiling, limit, strength))
