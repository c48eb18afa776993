"""``nstk stylize``: neural style transfer; and ``nstk style``: style files."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from nstk.distribution.shards import Shard
from nstk.errors import DivergenceError, SettingsError
from nstk.progress import Reporter
from nstk.settings import CheckpointSettings, StylizeSettings, VideoSettings
from nstk.storage.files import derive_path
from nstk_cli.commands.batch import BatchOptions, stylize_folder
from nstk_cli.commands.film import ClipOptions, is_film, refuse_for_clips, stylize_film
from nstk_cli.options import (
    BackboneName,
    Command,
    Content,
    ContentMasks,
    DaskAddress,
    Group,
    Json,
    KeepMask,
    Quiet,
    ShardOption,
    StyleMasks,
    WeightsFile,
    with_settings,
)
from nstk_cli.output import check_not_inputs, command_line, print_output
from nstk_cli.paths import read_paths
from nstk_cli.process import interruption_status
from nstk_cli.reporting import reporting

log = logging.getLogger("nstk")


MoreStyles = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="STYLE",
        help="Style images, or .nstyle files; with --style, more contents",
        show_default=False,
    ),
]
StyleOptions = Annotated[
    list[Path] | None,
    typer.Option(
        "--style",
        metavar="FILE",
        help="Style for every content: an image or .nstyle file; repeat it for an image in each",
    ),
]
OutputFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for the images of many contents, with a table and a contact sheet",
    ),
]
Pair = Annotated[
    bool, typer.Option("--pair", help="Combine the first content with the first --style, and so on")
]
ImageFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Image to write; its extension sets the format"
    ),
]
PageFolder = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="Write report.html and trace.json to this folder"),
]
AnimationFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the optimization as an animated GIF")
]
PreviewEvery = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Save NAME.preview.png every N steps beside the output (0: off)",
    ),
]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Print the predicted memory and time, without running")
]


@with_settings
def stylize(
    *,
    content: Content,
    styles: MoreStyles = None,
    output: ImageFile = None,
    style: StyleOptions = None,
    output_dir: OutputFolder = None,
    pair: Pair = False,
    shard: ShardOption = "1/1",
    dask: DaskAddress = None,
    settings: StylizeSettings,
    checkpoints: CheckpointSettings,
    content_masks: ContentMasks = None,
    style_masks: StyleMasks = None,
    keep_mask: KeepMask = None,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    report_folder: PageFolder = None,
    animation: AnimationFile = None,
    preview_every: PreviewEvery = 0,
    plan: PlanOnly = False,
    video: VideoSettings,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Repaint CONTENT in the style of one or more STYLE images.

    CONTENT may be a clip: a video file, an animation, or a folder of numbered frames. Its frames
    are held together by their motion.

    With --style and --output-dir, CONTENT may be many images and folders of them, and each --style
    makes an image of its own; the same command with --resume makes only those that are missing.
    """
    if output_dir is not None:
        single: dict[str, object] = {
            "output": output,
            "animation": animation,
            "report_folder": report_folder,
        }
        single |= {"content_masks": content_masks, "style_masks": style_masks, "plan": plan}
        refuse_together({**single, "keep_mask": keep_mask})
        chosen: dict[str, Any] = {"output_dir": output_dir, "pair": pair, "quiet": quiet}
        chosen |= {"shard": Shard.parse(shard), "backbone": backbone, "weights": weights}
        chosen |= {"dask": dask}
        options = BatchOptions(**chosen, preview_every=preview_every, json=json)
        contents = read_paths([content, *(styles or ())])
        stylize_folder(contents, style or [], settings, checkpoints, options)
        return
    output, styles = check_single(output, styles, style, pair or dask or shard != "1/1")
    if is_film(content, output):
        refuse_for_clips(animation)
        masked = content_masks or [], style_masks or [], keep_mask
        given: dict[str, Any] = {"backbone": backbone, "weights": weights, "masked": masked}
        given |= {"report_folder": report_folder, "preview_every": preview_every, "plan": plan}
        film = ClipOptions(**given, quiet=quiet, json=json)
        stylize_film(content, styles, output, (settings, video, checkpoints), film)
        return
    preview = derive_path(output, ".preview.png") if preview_every else None
    check_outputs(output, animation, report_folder)
    files = [*(content_masks or ()), *(style_masks or ()), keep_mask]
    check_not_inputs([content, *styles, *files, Path(settings.init)], output, animation, preview)
    with reporting(quiet=quiet) as report:
        from nstk.backbones.loading import load_backbone
        from nstk.reports.stylization import write_report
        from nstk.stylization import job
        from nstk.stylization.regions import Masks
        from nstk.stylization.result import Frames, Previews, broadcast

        masks = Masks(content_masks or (), style_masks or (), keep_mask)
        network = load_backbone(backbone, weights=weights, on_progress=report)
        chosen = {"backbone": network, "settings": settings, "masks": masks}
        if plan:
            found = job.plan_stylization(content, styles, on_progress=report, **chosen)
            print_output(json, found.to_dict(), "plan.txt", plan=found)
            return
        frames = Frames()
        reporters: list[Reporter] = [report, *([frames] if animation else [])]
        reporters += [Previews(preview, preview_every)] if preview else []
        chosen |= {"on_progress": broadcast(*reporters), "checkpoints": checkpoints}
        try:
            made = job.stylize(content, styles, **chosen)
        except DivergenceError as error:
            raise save_last_image(error, output) from error
        made.save(output)
        for notice in made.notices:
            log.warning(notice)
        if animation is not None:
            frames.save(animation, made.image)
        shown: dict[str, Any] = {"content": content, "styles": styles, "masks": masks}
        shown |= {"result": made, "command": command_line()}
        page = report_folder and write_report(report_folder, **shown)
    answer = {"output": output, **made.to_dict()}
    print_output(json, answer, "stylize.txt", made=made, output=output, page=page)
    if made.interrupted:
        typer.echo(f"nstk: interrupted; {describe_state(output, checkpoints)}.", err=True)
        raise typer.Exit(interruption_status())


def refuse_together(single: Mapping[str, object]) -> None:
    """Refuse options of a single image beside --output-dir."""
    for name, value in single.items():
        if value:
            raise SettingsError(
                f"`{name}` and `output_dir` were both given; the one is for a single image, the "
                "other for many."
            )


def check_single(
    output: Path | None, styles: list[Path] | None, style: list[Path] | None, shared: object
) -> tuple[Path, list[Path]]:
    """The output and the styles of a single image, which may be given in two ways."""
    if style and styles:
        raise SettingsError("`style` was given with several contents; give an `output_dir`.")
    if shared:
        raise SettingsError("`pair`, `shard` and `dask` are for many images; give an `output_dir`.")
    if not (styles or style):
        raise SettingsError("STYLE is missing; give a style image. See `nstk stylize --help`.")
    if output is None:
        raise SettingsError(
            "`output` is missing; give the image to write, or an `output_dir` for many. See "
            "`nstk stylize --help`."
        )
    return output, styles or style or []


def check_outputs(output: Path, animation: Path | None, report_folder: Path | None) -> None:
    """Check, before any work, that all files can be written."""
    from nstk.images.encoding import check_animation, check_output
    from nstk.reports.stylization import check_report

    check_output(output)
    if animation is not None:
        check_animation(animation)
    if report_folder is not None:
        check_report(report_folder)


def describe_state(output: Path, checkpoints: CheckpointSettings) -> str:
    """Say where the results of an interrupted run are."""
    state = f"the image so far is in {output}"
    if checkpoints.checkpoint is None:
        return state
    return f"{state}; continue with --checkpoint {checkpoints.checkpoint} --resume"


def save_last_image(error: DivergenceError, output: Path) -> DivergenceError:
    """Save the last good image of a run that diverged, and add that to the error."""
    if error.made is None or not error.made.steps:
        return error
    error.made.save(output)
    return DivergenceError(f"{error} The last good image is in {output}.")


style = typer.Typer(name="style", cls=Group, help="Manage style files.", rich_markup_mode=None)


@style.callback()
def main() -> None:
    """Manage style files."""


@style.command(cls=Command)
@partial(with_settings, only=("style_blend", "style_layers", "pooling"))
def save(
    *,
    styles: Annotated[list[Path], typer.Argument(metavar="STYLE", help="Style images")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write, NAME.nstyle")
    ],
    settings: StylizeSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Save a style to a reusable .nstyle file."""
    with reporting(quiet=quiet) as report:
        from nstk.backbones.loading import load_backbone
        from nstk.stylization.saving import save_style

        network = load_backbone(backbone, weights=weights, on_progress=report)
        chosen: dict[str, Any] = {"settings": settings, "on_progress": report}
        saved = save_style(styles, output, backbone=network, **chosen)
    described = {"output": output, **saved.to_dict(), "bytes": output.stat().st_size}
    print_output(json, described, "style-file.txt", **described)
