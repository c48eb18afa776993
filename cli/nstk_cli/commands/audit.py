"""``nstk audit``: what is wrong with a folder of labeled images."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import nstk
from nstk_cli.options import (
    BackboneName,
    CacheFolder,
    Json,
    Quiet,
    WeightsFile,
    choose_cache,
    with_settings,
)
from nstk_cli.output import duration, percent, print_made, print_skipped, print_table
from nstk_cli.reporting import reporting

log = logging.getLogger("nstk")

SHOWN = 10


@with_settings
def audit(
    *,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of class folders (or train/, val/, test/ of such), manifest or zip",
        ),
    ],
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a page with the images, DIR/audit.html"),
    ] = None,
    settings: nstk.AuditSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    cache: CacheFolder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find damaged files, copies, likely wrong labels and odd images in DATA."""
    with reporting(quiet=quiet) as progress:
        from nstk import audit as run
        from nstk import check_audit_report, write_audit_report

        if report:
            check_audit_report(report)
        found = run(
            data,
            backbone=backbone,
            weights=weights,
            settings=settings,
            cache=choose_cache(cache),
            on_progress=progress,
        )
        page = write_audit_report(found, report) if report else None
        for notice in found.notices:
            log.warning(notice)
    if json:
        print_made({**describe(found), "report": page, "seconds": found.seconds})
    else:
        print_findings(found)
        if page:
            print(f"\n{page}: the same with the images")
        print(f"\n{found.images} images, {duration(found.seconds['total'])}")


def describe(found: "nstk.Audit") -> dict[str, Any]:
    """All findings for JSON, paths as the owner knows them."""

    def named(path: Path) -> str:
        return str(found.name(path))

    def groups(many: Sequence[Sequence[Path]]) -> list[list[str]]:
        return [[named(path) for path in group] for group in many]

    def flaws(many: Sequence["nstk.Flaw"], measure: str) -> list[dict[str, Any]]:
        return [{"path": named(flaw.path), measure: flaw.value} for flaw in many]

    return {
        "images": found.images,
        "classes": [
            {"name": each.name, "images": each.images, **each.counts} for each in found.classes
        ],
        "unreadable": [
            {"path": named(file.path), "reason": file.reason} for file in found.unreadable
        ],
        "wrong_ending": [
            {"path": named(file.path), "format": file.format} for file in found.wrong_extension
        ],
        "exact_duplicates": groups(found.exact_duplicates),
        "near_duplicates": groups(found.near_duplicates),
        "cross_class_duplicates": groups(found.cross_class_duplicates),
        "cross_split_duplicates": groups(found.cross_split_duplicates),
        "label_suspects": [
            {
                "path": named(each.path),
                "label": each.label,
                "suggestion": each.suggestion,
                "label_probability": each.label_probability,
                "probability": each.probability,
            }
            for each in found.label_suspects
        ],
        "outliers": flaws(found.outliers, "ood_score"),
        "tiny": flaws(found.tiny, "side"),
        "blurred": flaws(found.blurred, "blur"),
        "dark": flaws(found.dark, "brightness"),
        "low_contrast": flaws(found.low_contrast, "contrast"),
        "skipped": [{"path": str(file.path), "reason": file.reason} for file in found.skipped],
        "notices": found.notices,
    }


def print_findings(found: "nstk.Audit") -> None:
    """Print the classes, then what was found: how many of each kind, and the first of them."""
    splits = list(found.classes[0].counts)
    columns = splits if len(splits) > 1 else ["images"]
    print_table(
        ["class", *columns],
        [(each.name, *map(str, each.counts.values())) for each in found.classes],
        right=columns,
    )
    print_list(
        "likely wrong labels",
        [
            f"{place(found, each.path)}: {each.label or 'no label'}, looks like"
            f" {each.suggestion or 'one without'}"
            f" ({percent(each.probability)})"
            for each in found.label_suspects
        ],
    )
    for title, groups in (
        ("copies with different labels", found.cross_class_duplicates),
        ("copies in different parts", found.cross_split_duplicates),
        ("the same bytes", found.exact_duplicates),
        ("nearly the same", found.near_duplicates),
    ):
        print_list(title, ["  ".join(place(found, path) for path in group) for group in groups])
    for title, flaws, unit in (
        ("unlike all others", found.outliers, "{:.1f} spreads beyond the usual"),
        ("tiny", found.tiny, "{:.0f} px"),
        ("blurred", found.blurred, "blur {:.2f}"),
        ("dark", found.dark, "brightness {:.2f}"),
        ("hardly any contrast", found.low_contrast, "contrast {:.2f}"),
    ):
        print_list(
            title, [f"{place(found, flaw.path)}: {unit.format(flaw.value)}" for flaw in flaws]
        )
    print_list(
        "wrong endings",
        [
            f"{place(found, file.path)}: the content is {file.format}"
            for file in found.wrong_extension
        ],
    )
    print_list(
        "unreadable", [f"{place(found, file.path)}: {file.reason}" for file in found.unreadable]
    )
    print_skipped(found.skipped)


def print_list(title: str, lines: Sequence[str]) -> None:
    """Print a title with a count, and the first lines below it."""
    if not lines:
        return
    print(f"\n{title} ({len(lines)}):")
    for line in lines[:SHOWN]:
        print(f"  {nstk.printable(line)}")
    if len(lines) > SHOWN:
        print(f"  … {len(lines) - SHOWN} more; --json names all, --report DIR shows them")


def place(found: "nstk.Audit", path: Path) -> str:
    """A path as short as it is clear: from DATA on, or as a manifest has it."""
    named = found.name(path)
    roots = (found.catalog.source, found.catalog.root)
    root = next((root for root in roots if named.is_relative_to(root)), None)
    return str(named.relative_to(root) if root else named)
