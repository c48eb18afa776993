"""The report of an audit: one page with the images it found."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from nstk.auditing.findings import Audit
from nstk.errors import ImageError
from nstk.images.image import crop_square
from nstk.images.loading import load_image
from nstk.reports.formatting import format_count
from nstk.reports.pages import CaptionedImage, check_folder, write_page
from nstk.reports.sheets import shrink
from nstk.storage.files import make_folder

NAME = "audit.html"

_SIDE = 240
_MOST_IMAGES = 36
_MOST_GROUPS = 12

_GROUPS = tuple(f"{kind}_duplicates" for kind in ("cross_class", "cross_split", "exact", "near"))
_ISSUES = {
    "outliers": "{:.1f}",
    "tiny": "{:.0f} px",
    "blurred": "blur {:.2f}",
    "dark": "brightness {:.2f}",
    "low_contrast": "contrast {:.2f}",
}
_QUALITY = tuple(_ISSUES)[1:]


def check_audit_report(folder: str | Path) -> None:
    """Check, before any long work, that a report can be written; else raise OutputError."""
    check_folder(folder, (NAME,))


def write_audit_report(audit: Audit, folder: str | Path) -> Path:
    """Write an audit as one self-contained HTML page.

    Args:
        audit: The result of `nstk.audit`; its images must still exist.
        folder: The page's folder; it is created if its parent exists.

    Returns:
        The page, ``audit.html`` in that folder.

    Raises:
        OutputError: If it cannot be written.
    """
    check_audit_report(folder)
    copies = {path for group in (*audit.exact_duplicates, *audit.near_duplicates) for path in group}
    return write_page(
        make_folder(folder) / NAME,
        "audit.html",
        title=f"Audit of {audit.catalog.source.resolve().name}",
        subtitle=f"{format_count(audit.images, 'image')} of "
        f"{format_count(len(audit.classes), 'class')}, with features of {audit.backbone}. "
        "No file was changed.",
        audit=audit,
        copies=len(copies),
        flawed=len({issue.path for kind in _QUALITY for issue in getattr(audit, kind)}),
        suspects=_show_suspects(audit),
        groups={kind: _show_groups(audit, kind) for kind in _GROUPS},
        issues={kind: _show_issues(audit, kind) for kind in _ISSUES},
        most_images=_MOST_IMAGES,
        most_groups=_MOST_GROUPS,
        files=_list_files(audit),
    )


def count_findings(audit: Audit) -> Mapping[str, int]:
    """Count what an audit found, by kind."""
    return {
        "likely wrong labels": len(audit.label_suspects),
        "groups of duplicates with different labels": len(audit.cross_class_duplicates),
        "groups of duplicates across splits": len(audit.cross_split_duplicates),
        "groups of exact duplicates": len(audit.exact_duplicates),
        "groups of near duplicates": len(audit.near_duplicates),
        "outliers": len(audit.outliers),
        "tiny, blurred, dark or low contrast": sum(len(getattr(audit, kind)) for kind in _QUALITY),
        "unreadable": len(audit.unreadable),
    }


def _show_suspects(audit: Audit) -> list[CaptionedImage]:
    return _show(
        (
            each.path,
            f"{each.label or 'no label'} → {each.suggestion or 'no label'}?",
            f"{100 * each.probability:.0f} % · {each.path.name}",
        )
        for each in audit.label_suspects[:_MOST_IMAGES]
    )


def _show_groups(audit: Audit, kind: str) -> list[list[CaptionedImage]]:
    groups = [group[:_MOST_IMAGES] for group in getattr(audit, kind)[:_MOST_GROUPS]]
    return [
        _show([(path, path.name, _describe(audit, path)) for path in group], square=False)
        for group in groups
    ]


def _show_issues(audit: Audit, kind: str) -> list[CaptionedImage]:
    return _show(
        (
            issue.path,
            issue.path.name,
            f"{_ISSUES[kind].format(issue.value)} · {_describe(audit, issue.path)}",
        )
        for issue in getattr(audit, kind)[:_MOST_IMAGES]
    )


def _list_files(audit: Audit) -> list[tuple[str, str]]:
    unreadable = [(audit.display_path(file.path), file.reason) for file in audit.unreadable]
    wrong = [
        (audit.display_path(file.path), f"content is {file.format}, the extension is wrong")
        for file in audit.wrong_extension
    ]
    skipped = [(file.path, file.reason) for file in audit.skipped]
    return [(str(path), problem) for path, problem in (*unreadable, *wrong, *skipped)]


def _show(named: Iterable[tuple[Path, str, str]], *, square: bool = True) -> list[CaptionedImage]:
    """Return thumbnails with captions and notes; files that were deleted are left out.

    The network's input is the largest centered square, and squares line up.
    """
    shown = []
    for path, caption, note in named:
        try:
            pixels = load_image(path).pixels
        except ImageError:
            continue
        pixels = shrink(crop_square(pixels) if square else pixels, _SIDE)
        shown.append(CaptionedImage(pixels, caption, note, longest_side=_SIDE))
    return shown


def _describe(audit: Audit, path: Path) -> str:
    label = ", ".join(audit.labels(path)) or "no label"
    return f"{label} · {audit.split(path)}" if len(audit.classes[0].counts) > 1 else label
