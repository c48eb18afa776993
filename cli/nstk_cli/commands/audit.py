"""``nstk audit``: find problems in labeled images."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nstk.settings import AuditSettings
from nstk_cli.options import (
    BackboneName,
    CacheFolder,
    Json,
    LabeledData,
    Quiet,
    WeightsFile,
    choose_backbone,
    choose_cache,
    with_settings,
)
from nstk_cli.output import print_output
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.auditing.findings import Audit

log = logging.getLogger("nstk")


@with_settings
def audit(
    *,
    data: LabeledData,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write audit.html to this folder"),
    ] = None,
    settings: AuditSettings,
    backbone: BackboneName = "efficientnet-lite0",
    weights: WeightsFile = None,
    cache: CacheFolder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find damaged files, duplicates, label errors and outliers in DATA."""
    with reporting(quiet=quiet) as progress:
        from nstk.auditing.job import audit as run
        from nstk.reports.audit import check_audit_report, write_audit_report

        if report:
            check_audit_report(report)
        found = run(
            data,
            backbone=choose_backbone(backbone, weights, progress),
            settings=settings,
            cache=choose_cache(cache),
            on_progress=progress,
        )
        page = write_audit_report(found, report) if report else None
        for notice in found.notices:
            log.warning(notice)
    shown = partial(relative_path, found)
    described = {**found.to_dict(), "report": page}
    print_output(json, described, "audit.txt", found=found, page=page, shown=shown)


def relative_path(found: "Audit", path: Path) -> str:
    """Return a path relative to DATA, or as the manifest has it."""
    shown = found.display_path(path)
    roots = (found.catalog.source, found.catalog.root)
    root = next((root for root in roots if shown.is_relative_to(root)), None)
    return str(shown.relative_to(root) if root else shown)
