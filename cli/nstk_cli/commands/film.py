"""``nstk stylize`` with a clip: its frames, the film made of them, and a report."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nstk.errors import SettingsError
from nstk.progress import Reporter
from nstk.settings import CheckpointSettings, StylizeSettings, VideoSettings
from nstk.storage.files import derive_path
from nstk_cli.output import check_not_inputs, command_line, print_output
from nstk_cli.process import interruption_status
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.video.result import ClipResult

log = logging.getLogger("nstk")


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """The options of a clip beside its settings."""

    masked: tuple[list[Path], list[Path], Path | None]
    backbone: str
    weights: Path | None
    report_folder: Path | None
    preview_every: int
    plan: bool
    quiet: bool
    json: bool


def stylize_film(
    content: Path,
    styles: list[Path],
    output: Path,
    settings: tuple[StylizeSettings, VideoSettings, CheckpointSettings],
    options: ClipOptions,
) -> None:
    """Stylize a clip, write it, and say where it is."""
    still, video, checkpoints = settings
    content_masks, style_masks, keep_mask = options.masked
    masked = [*content_masks, *style_masks, keep_mask]
    check_not_inputs([content, *styles, *masked, Path(still.init)], output)
    with reporting(quiet=options.quiet) as report:
        from nstk.backbones.loading import load_backbone
        from nstk.reports.video import check_report, write_report
        from nstk.stylization.regions import Masks
        from nstk.stylization.result import Previews, broadcast
        from nstk.video.job import plan_clip, stylize_clip

        if options.report_folder is not None:
            check_report(options.report_folder)
        network = load_backbone(options.backbone, weights=options.weights, on_progress=report)
        chosen: dict[str, Any] = {"settings": still, "video": video, "backbone": network}
        chosen["masks"] = Masks(content_masks, style_masks, keep_mask)
        if options.plan:
            found = plan_clip(content, styles, output, **chosen)
            print_output(options.json, found.to_dict(), "clip-plan.txt", plan=found)
            return
        reporters: list[Reporter] = [report]
        if options.preview_every:
            preview = derive_path(output, ".preview.png")
            reporters.append(Previews(preview, options.preview_every))
        chosen |= {"on_progress": broadcast(*reporters), "checkpoints": checkpoints}
        made = stylize_clip(content, styles, output, **chosen)
        for notice in made.notices:
            log.warning(notice)
        page = None
        if options.report_folder is not None and made.output is not None:
            shown: dict[str, Any] = {"content": content, "styles": styles, "video": video}
            shown |= {"settings": still, "command": command_line()}
            page = write_report(options.report_folder, made, **shown)
    print_output(options.json, made.to_dict(), "clip.txt", made=made, page=page)
    if made.interrupted:
        typer.echo(f"nstk: interrupted; {describe_clip(made, checkpoints)}.", err=True)
        raise typer.Exit(interruption_status())


def is_film(content: Path, output: Path) -> bool:
    """Whether a content and an output mean a clip."""
    from nstk.video.clips import makes_clip

    return makes_clip(content, output)


def refuse_for_clips(animation: Path | None) -> None:
    """Refuse the options that only a still image has."""
    if animation is not None:
        raise SettingsError(
            "`animation` records the steps of a still image; leave it out for a clip."
        )


def describe_clip(made: "ClipResult", checkpoints: CheckpointSettings) -> str:
    """Say where the results of an interrupted clip are."""
    count = len(made.frames)
    state = (
        f"{count} of {made.planned} frames are in {made.output}" if count else "no frame is done"
    )
    if checkpoints.checkpoint is None:
        return state
    return f"{state}; continue with --checkpoint {checkpoints.checkpoint} --resume"
