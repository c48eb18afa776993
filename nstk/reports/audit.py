"""The report of an audit: one page with the images it found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nstk.auditing.findings import Audit, Groups, ImageIssue
from nstk.errors import ImageError
from nstk.images.image import crop_square, fit_size, resize_image
from nstk.images.loading import load_image
from nstk.reports.formatting import format_count
from nstk.reports.pages import (
    Block,
    CaptionedImage,
    Figure,
    Headline,
    ImageRow,
    Page,
    Paragraph,
    Section,
    Table,
    write_page,
)
from nstk.reports.pages.records import check_folder
from nstk.storage.files import make_folder

NAME = "audit.html"

_SIDE = 240
_WIDTH = 130
_MOST_IMAGES = 36
_MOST_GROUPS = 12


def check_audit_report(folder: str | Path) -> None:
    """Check, before any long work, that a report can be written.

    Args:
        folder: The report's folder; it may exist or not.

    Raises:
        OutputError: If it is a file, or nothing can be written there.
    """
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
    page = build_page(audit)
    return write_page(page, make_folder(folder) / NAME)


def build_page(audit: Audit) -> Page:
    """Compose the page: the numbers, then the findings, the most serious first."""
    sections = [
        _classes(audit),
        _suspects(audit),
        _duplicates(audit, "Duplicates with different labels", audit.cross_class_duplicates,
                    "At least one label of each group is wrong, or the images are ambiguous."),
        _duplicates(audit, "Duplicates across splits", audit.cross_split_duplicates,
                    "The model is tested on images that it was trained on, so accuracy is "
                    "overestimated."),
        _duplicates(audit, "Exact duplicates", audit.exact_duplicates, "Keep one of each group."),
        _duplicates(audit, "Near duplicates", audit.near_duplicates,
                    "Copies in another size or quality, and photographs taken twice."),
        _flaws(audit, "Outliers", audit.outliers, lambda v: f"{v:.1f}",
               "Their features are far from those of all other images; the number is the distance "
               "beyond the upper quartile, in interquartile ranges. Check whether they belong "
               "here."),
        _flaws(audit, "Tiny", audit.tiny, lambda v: f"{v:.0f} px",
               "Far smaller than the network's input or than the other images."),
        _flaws(audit, "Blurred", audit.blurred, lambda v: f"blur {v:.2f}", "No sharp edges."),
        _flaws(audit, "Dark", audit.dark, lambda v: f"brightness {v:.2f}", "Nearly black."),
        _flaws(audit, "Low contrast", audit.low_contrast, lambda v: f"contrast {v:.2f}",
               "Nearly uniform."),
        _files(audit),
    ]  # fmt: skip
    notices = [Paragraph(notice, "warning") for notice in audit.notices]
    clean = [] if any(sections[1:]) else [Paragraph("No problems were found.")]
    return Page(
        title=f"Audit of {audit.catalog.source.resolve().name}",
        subtitle=f"{format_count(audit.images, 'image')} of "
        f"{format_count(len(audit.classes), 'class')}, with features of {audit.backbone}. "
        "No file was changed.",
        blocks=[_headline(audit), *notices, *filter(None, sections), *clean],
        footer="nstk audit",
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
        "tiny, blurred, dark or low contrast": sum(
            len(flaws) for flaws in (audit.tiny, audit.blurred, audit.dark, audit.low_contrast)
        ),
        "unreadable": len(audit.unreadable),
    }


def _headline(audit: Audit) -> Headline:
    copies = {path for group in (*audit.exact_duplicates, *audit.near_duplicates) for path in group}
    flawed = {flaw.path for flaws in (audit.tiny, audit.blurred, audit.dark, audit.low_contrast)
              for flaw in flaws}  # fmt: skip
    return Headline(
        [
            Figure("images", str(audit.images), f"{len(audit.unreadable)} unreadable"),
            Figure("labels to check", str(len(audit.label_suspects)), _share(audit)),
            Figure("duplicates", str(len(copies)),
                   f"{len(audit.cross_split_duplicates)} groups across splits"),
            Figure("outliers", str(len(audit.outliers))),
            Figure("of poor quality", str(len(flawed)), "tiny, blurred, dark or flat"),
        ]
    )  # fmt: skip


def _share(audit: Audit) -> str:
    return f"{100 * len(audit.label_suspects) / audit.images:.1f} % of all"


def _classes(audit: Audit) -> Section:
    splits = list(audit.classes[0].counts)
    several = len(splits) > 1
    rows: list[list[str | int]] = [
        [each.name, *each.counts.values(), *([each.images] if several else [])]
        for each in audit.classes
    ]
    columns = ["class", *(splits if several else ["images"]), *(["total"] if several else [])]
    return Section("Classes", [Table(columns, rows)])


def _suspects(audit: Audit) -> Section | None:
    def caption(each: CaptionedImage, place: int) -> CaptionedImage:
        suspect = audit.label_suspects[place]
        return replace(
            each,
            caption=f"{suspect.label or 'no label'} → {suspect.suggestion or 'no label'}?",
            note=f"{100 * suspect.probability:.0f} % · {each.caption}",
        )

    suspects = audit.label_suspects
    if not suspects:
        return None
    shown = _show([suspect.path for suspect in suspects[:_MOST_IMAGES]])
    words = (
        "Out-of-fold predictions suggest that a label is wrong or missing: given → suggested "
        "labels, with the probability of the change. The likeliest mistakes come first."
        if audit.catalog.multi_label
        else "Out-of-fold predictions suggest another class: given → suggested label, with its "
        "probability. The likeliest mistakes come first."
    )
    row = ImageRow([caption(each, place) for place, each in shown], _WIDTH)
    return Section("Labels to check", [Paragraph(words), row, *_more(len(suspects))])


def _duplicates(audit: Audit, title: str, groups: Groups, words: str) -> Section | None:
    if not groups:
        return None
    blocks: list[Block] = [Paragraph(words)]
    for group in groups[:_MOST_GROUPS]:
        shown = _show(group[:_MOST_IMAGES], square=False)
        blocks.append(
            ImageRow(
                [replace(each, note=_place(audit, group[place])) for place, each in shown], _WIDTH
            )
        )
    if len(groups) > _MOST_GROUPS:
        blocks.append(_rest(len(groups) - _MOST_GROUPS, "group"))
    return Section(title, blocks)


def _flaws(
    audit: Audit,
    title: str,
    flaws: Sequence[ImageIssue],
    format_value: Callable[[float], str],
    words: str,
) -> Section | None:
    if not flaws:
        return None
    shown = _show([flaw.path for flaw in flaws[:_MOST_IMAGES]])
    images = [
        replace(
            each, note=f"{format_value(flaws[place].value)} · {_place(audit, flaws[place].path)}"
        )
        for place, each in shown
    ]
    return Section(title, [Paragraph(words), ImageRow(images, _WIDTH), *_more(len(flaws))])


def _files(audit: Audit) -> Section | None:
    rows: list[tuple[str, str]] = [
        (str(audit.display_path(file.path)), file.reason) for file in audit.unreadable
    ]
    rows += [
        (str(audit.display_path(file.path)), f"content is {file.format}, the extension is wrong")
        for file in audit.wrong_extension
    ]
    rows += [(str(file.path), file.reason) for file in audit.skipped]
    if not rows:
        return None
    words = "Unreadable files are skipped; a wrong extension misleads other programs."
    return Section("Files", [Paragraph(words), Table(["file", "problem"], rows)])


def _show(paths: Sequence[Path], *, square: bool = True) -> list[tuple[int, CaptionedImage]]:
    """Return thumbnails with their positions; files that were deleted are left out.

    The network's input is the largest centered square, and squares line up.
    """
    shown = []
    for place, path in enumerate(paths):
        try:
            pixels = load_image(path).pixels
        except ImageError:
            continue
        if square:
            pixels = crop_square(pixels)
        height, width = pixels.shape[:2]
        if max(height, width) > _SIDE:
            pixels = resize_image(pixels, *fit_size(height, width, _SIDE))
        shown.append((place, CaptionedImage(pixels, path.name, longest_side=_SIDE)))
    return shown


def _place(audit: Audit, path: Path) -> str:
    label = ", ".join(audit.labels(path)) or "no label"
    return f"{label} · {audit.split(path)}" if len(audit.classes[0].counts) > 1 else label


def _more(count: int) -> list[Paragraph]:
    return [_rest(count - _MOST_IMAGES, "image")] if count > _MOST_IMAGES else []


def _rest(count: int, what: str) -> Paragraph:
    return Paragraph(
        f"{format_count(count, f'more {what}')}; `nstk audit --json` lists all.", "quiet"
    )
