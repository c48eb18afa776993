"""``nstk audit``: find problems in labeled images."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nstk.errors import printable
from nstk.reports.formatting import format_percent
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
from nstk_cli.output import (
    format_duration,
    print_result,
    print_skipped,
    print_table,
)
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.auditing.findings import Audit

log = logging.getLogger("nstk")

SHOWN = 10


@with_settings
def audit(
    *,
    data: LabeledData,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write audit.html to this folder"),
    ] = None,
    settings: AuditSettings,
    backbone: BackboneName = "compact",
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
    if json:
        print_result({**found.to_dict(), "report": page})
    else:
        print_findings(found)
        if page:
            print(f"\n{page}: report")
        print(f"\n{found.images} images, {format_duration(found.seconds['total'])}")


def print_findings(found: "Audit") -> None:
    """Print the classes, then the findings: how many of each kind, and the first of them."""
    splits = list(found.classes[0].counts)
    columns = splits if len(splits) > 1 else ["images"]
    print_table(
        ["class", *columns],
        [(each.name, *map(str, each.counts.values())) for each in found.classes],
        right=columns,
    )
    print_list(
        "likely label errors",
        [
            f"{relative_path(found, each.path)}: {each.label or 'no label'}, predicted"
            f" {each.suggestion or 'no label'}"
            f" ({format_percent(each.probability)})"
            for each in found.label_suspects
        ],
    )
    for title, groups in (
        ("duplicates with different labels", found.cross_class_duplicates),
        ("duplicates in different splits", found.cross_split_duplicates),
        ("exact duplicates", found.exact_duplicates),
        ("near duplicates", found.near_duplicates),
    ):
        print_list(
            title, ["  ".join(relative_path(found, path) for path in group) for group in groups]
        )
    for title, issues, unit in (
        ("outliers", found.outliers, "score {:.1f}"),
        ("tiny", found.tiny, "{:.0f} px"),
        ("blurred", found.blurred, "blur {:.2f}"),
        ("dark", found.dark, "brightness {:.2f}"),
        ("low contrast", found.low_contrast, "contrast {:.2f}"),
    ):
        print_list(
            title,
            [f"{relative_path(found, issue.path)}: {unit.format(issue.value)}" for issue in issues],
        )
    print_list(
        "wrong extensions",
        [
            f"{relative_path(found, file.path)}: the content is {file.format}"
            for file in found.wrong_extension
        ],
    )
    print_list(
        "unreadable",
        [f"{relative_path(found, file.path)}: {file.reason}" for file in found.unreadable],
    )
    print_skipped(found.skipped)


def print_list(title: str, lines: Sequence[str]) -> None:
    """Print a title with a count, and the first lines below it."""
    if not lines:
        return
    print(f"\n{title} ({len(lines)}):")
    for line in lines[:SHOWN]:
        print(f"  {printable(line)}")
    if len(lines) > SHOWN:
        print(f"  … {len(lines) - SHOWN} more; --json lists all, --report DIR shows them")


def relative_path(found: "Audit", path: Path) -> str:
    """Return a path relative to DATA, or as the manifest has it."""
    shown = found.display_path(path)
    roots = (found.catalog.source, found.catalog.root)
    root = next((root for root in roots if shown.is_relative_to(root)), None)
    return str(shown.relative_to(root) if root else shown)
