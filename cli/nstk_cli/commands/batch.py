"""``nstk stylize`` with --output-dir: many contents in many styles."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from nstk.distribution.shards import WHOLE, Shard
from nstk.errors import SettingsError
from nstk.settings import CheckpointSettings, StylizeSettings
from nstk_cli.output import print_output
from nstk_cli.process import interruption_status
from nstk_cli.reporting import reporting


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """The options of a batch."""

    output_dir: Path
    pair: bool = False
    shard: Shard = WHOLE
    dask: str | None = None
    backbone: str = "compact"
    weights: Path | None = None
    preview_every: int = 0
    quiet: bool = False
    json: bool = False


def stylize_folder(
    contents: list[Path],
    styles: list[Path],
    settings: StylizeSettings,
    checkpoints: CheckpointSettings,
    options: BatchOptions,
) -> None:
    """Stylize all contents in all styles; write images, a table and a contact sheet."""
    if not styles:
        raise SettingsError("`output_dir` needs a `style`; give one or more as options.")
    with reporting(quiet=options.quiet) as report, ExitStack() as stack:
        from nstk.distribution.dask_engine import DaskEngine
        from nstk.reports.batch import write_batch
        from nstk.stylization.batch.job import BatchRecipe, stylize_batch
        from nstk.stylization.batch.listing import plan_batch
        from nstk.stylization.result import Previews, broadcast

        every, preview = options.preview_every, options.output_dir / "preview.png"
        reporter = broadcast(report, Previews(preview, every)) if every else report
        folder = options.output_dir
        plan = plan_batch(contents, styles, folder, pair=options.pair)
        recipe = BatchRecipe(options.backbone, options.weights, settings)
        chosen: dict[str, Any] = {"shard": options.shard, "checkpoints": checkpoints}
        chosen["engine"] = stack.enter_context(DaskEngine(options.dask)) if options.dask else None
        try:
            batch = stylize_batch(plan, folder, recipe, **chosen, on_progress=reporter)
        except KeyboardInterrupt:
            raise typer.Exit(interruption_status()) from None
        written = write_batch(batch)
    answer = {"output_dir": options.output_dir, **batch.to_dict()}
    print_output(options.json, answer, "batch.txt", batch=batch, written=written)
