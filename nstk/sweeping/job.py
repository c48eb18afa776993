"""A sweep: the runs of a grid, each made once and saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nstk.backbones.backbone import Backbone
from nstk.errors import ImageError
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.progress import Reporter, no_progress
from nstk.settings import CheckpointSettings, StylizeSettings, resolve_settings
from nstk.storage.checkpoints import CheckpointFolder, RunIdentity, list_versions
from nstk.stylization.inputs import Source, open_image, with_range, with_ranges
from nstk.stylization.records import digest_source
from nstk.stylization.regions import NO_MASKS, Masks, draw_mask
from nstk.stylization.resumption import digest_init, setting_values
from nstk.sweeping.grid import SweepAxis, count_points, make_grid
from nstk.sweeping.records import RunFolder, SweptRun
from nstk.sweeping.runs import RunInputs, SweepRunner, group_by_targets
from nstk.types import Json, SettingValue

_SAMPLES = 5


@dataclass(frozen=True, eq=False)
class Sweep:
    """The result of a sweep; of two axes, the last changes fastest.

    Styles are images by name, without style files; masks are images by caption.
    """

    content: Image
    styles: Mapping[str, Image]
    axes: tuple[SweepAxis, ...]
    runs: tuple[SweptRun, ...]
    masks: Mapping[str, Image] = field(default_factory=dict)

    def __repr__(self) -> str:
        over = " × ".join(axis.key for axis in self.axes)
        return f"Sweep({len(self.runs)} runs over {over}, {self.seconds:.1f} s)"

    def to_dict(self) -> dict[str, Json]:
        """Settings and results of the runs as plain values for JSON, without pixels and curves."""
        return {"seconds": self.seconds, "runs": [run.to_dict() for run in self.runs]}

    @property
    def seconds(self) -> float:
        """Wall time of all runs."""
        return sum(run.seconds for run in self.runs)

    def row(self, index: int) -> tuple[SweptRun, ...]:
        """The runs of one value of the first of two axes, or all runs of a single axis."""
        if len(self.axes) == 1:
            return self.runs
        columns = len(self.axes[1].values)
        return self.runs[index * columns : (index + 1) * columns]


def sweep(
    content: Source,
    style: Source | Sequence[Source],
    over: Sequence[SweepAxis],
    folder: str | Path,
    *,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: Any,
) -> Sweep:
    """Stylize one content image with every combination of values of one or two settings.

    Runs with the same targets share them and the compiled steps: nothing is compiled twice if
    only α, β, γ or the strength differ. Finished runs are saved in ``folder``; a second call makes
    only runs that are missing or whose images, network or settings have changed.

    Args:
        content: The content image, an array or a path.
        style: One or several styles: images or style files.
        over: One or two settings and their values.
        folder: The folder for the runs; created if it is missing.
        checkpoints: Where and how often to save the state of the current run; never if None.
        on_progress: Called with a `Progress` at every step; the stage names the run.
        **options: The other arguments of `nstk.stylize`, for all runs: ``value_range``,
            ``backbone``, ``masks``, and settings such as ``size=256``.

    Raises:
        NstkError: If a run cannot be made or saved, before the first one begins.
        KeyboardInterrupt: With Ctrl-C; finished runs are saved.

    Example:
        >>> alpha = nstk.SweepAxis("content_weight", (1e-4, 1e-3, 1e-2, 1e-1))  # doctest: +SKIP
        >>> swept = nstk.sweep("town.jpg", "waves.jpg", [alpha], "runs")  # doctest: +SKIP
        >>> nstk.save_sweep(swept, "sweep.png")  # doctest: +SKIP
    """
    inputs, backbone, settings = _read_arguments(content, style, **options)
    axes, runs_folder = tuple(over), RunFolder(Path(folder))
    runs_folder.check()
    with CheckpointFolder(checkpoints or CheckpointSettings()) as states:
        points = make_grid(axes, settings)
        groups = list(group_by_targets(points, inputs, backbone, on_progress))
        for group in groups:
            group.check()
        images = _digest_images(*inputs)
        networks = {group.backbone.name: group.backbone.digest for group in groups}
        found = states.find(_identify_sweep(axes, settings, images, networks))
        runner = SweepRunner(runs_folder, images, len(points), states, found, on_progress)
        runs = runner.run_all(groups)
    content, styles, masks = inputs
    return Sweep(
        content=open_image(content, "content").pixels,
        styles=_open_styles(styles),
        axes=axes,
        runs=runs,
        masks=_draw_masks(masks, len(styles)),
    )


def predict_seconds(
    content: Source,
    style: Source | Sequence[Source],
    over: Sequence[SweepAxis],
    *,
    on_progress: Reporter = no_progress,
    **options: Any,
) -> float:
    """Predict the seconds of a sweep on this machine from a few runs spread over its grid."""
    inputs, backbone, settings = _read_arguments(content, style, **options)
    few = [replace(axis, values=_spread(axis.values)) for axis in over]
    points = make_grid(few, settings)
    groups = group_by_targets(points, inputs, backbone, on_progress)
    return sum(group.check() for group in groups) * count_points(over) / len(points)


def _read_arguments(
    content: Source,
    style: Source | Sequence[Source],
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    masks: Masks = NO_MASKS,
    settings: StylizeSettings | None = None,
    **options: Any,
) -> tuple[RunInputs, Backbone | str | Path, StylizeSettings]:
    """Separate the arguments of `nstk.stylize`: the inputs, the network and the settings."""
    inputs = with_range(content, value_range), with_ranges(style, value_range), masks
    return inputs, backbone, resolve_settings(StylizeSettings, settings, options)


def _identify_sweep(
    axes: Sequence[SweepAxis],
    settings: StylizeSettings,
    images: Mapping[str, str],
    networks: Mapping[str, str],
) -> RunIdentity:
    """Everything the runs of a sweep depend on; images and networks as digests by name."""
    over = [f"{axis.option}={';'.join(map(axis.format_value, axis.values))}" for axis in axes]
    digests = {
        **images,
        **{f"network {name}": digest for name, digest in networks.items()},
        **digest_init(settings),
    }
    options = {"over": over, **setting_values(settings), **list_versions()}
    return RunIdentity("sweep", options, digests)


def _spread(values: Sequence[SettingValue]) -> tuple[SettingValue, ...]:
    """A few values at regular distances."""
    indices = [round(k * (len(values) - 1) / (_SAMPLES - 1)) for k in range(_SAMPLES)]
    return tuple(values[index] for index in dict.fromkeys(indices))


def _digest_images(content: Source, styles: Sequence[Source], masks: Masks) -> dict[str, str]:
    sources = {"content": content}
    sources |= {f"style {number}": each for number, each in enumerate(styles, 1)}
    sources |= masks.numbered()
    return {name: digest_source(source) for name, source in sources.items()}


def _draw_masks(masks: Masks, styles: int) -> dict[str, Image]:
    return {caption: draw_mask(mask) for caption, mask in masks.captioned(styles).items()}


def _open_styles(styles: Sequence[Source]) -> dict[str, Image]:
    """The style images by name."""
    images: dict[str, Image] = {}
    for number, source in enumerate(styles, 1):
        try:
            loaded = open_image(source, f"style {number}")
        except ImageError:
            continue
        name = loaded.path.name
        images[f"{name}, style {number}" if name in images else name] = loaded.pixels
    return images
