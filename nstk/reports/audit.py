"""The audit as a page, with the images it is about."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nstk.auditing.findings import Audit, Flaw, Groups
from nstk.errors import ImageError
from nstk.images.image import crop_square, fit_size, load_image, resize_image
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
    """Refuse, before any long work, a place where no report could be written.

    Args:
        folder: Where the report is to be written later; it may be there or not.

    Raises:
        OutputError: If it is a file, or nothing can be written there.
    """
    check_folder(folder, (NAME,))


def write_audit_report(audit: Audit, folder: str | Path) -> Path:
    """Write an audit as one HTML page that holds everything it shows.

    Args:
        audit: What `nstk.audit` found; its images must still be there.
        folder: Where to, created if it is missing.

    Returns:
        The page, ``audit.html`` in that folder.

    Raises:
        OutputError: If it cannot be written.
    """
    check_audit_report(folder)
    page = build_page(audit)
    return write_page(page, make_folder(folder) / NAME)


def build_page(audit: Audit) -> Page:
    """Lay an audit out: the numbers, then what to look at, the gravest first."""
    sections = [
        _classes(audit),
        _suspects(audit),
        _copies(audit, "Copies with different labels", audit.cross_class_duplicates,
                "At least one label of each group is wrong, or the images do not tell."),
        _copies(audit, "Copies in different parts", audit.cross_split_duplicates,
                "What was learned by heart is tested with itself; every figure is too good."),
        _copies(audit, "The same bytes", audit.exact_duplicates, "Keep one of each group."),
        _copies(audit, "Nearly the same", audit.near_duplicates,
                "Copies in another size or quality, and the same thing taken twice."),
        _flaws(audit, "Unlike all others", audit.outliers, lambda v: f"{v:.1f}",
               "To the network these are far from everything else; the number tells how many "
               "spreads beyond what is usual. Look whether they belong here."),
        _flaws(audit, "Tiny", audit.tiny, lambda v: f"{v:.0f} px",
               "Far smaller than a network needs or than the others are."),
        _flaws(audit, "Blurred", audit.blurred, lambda v: f"blur {v:.2f}", "No sharp edges."),
        _flaws(audit, "Dark", audit.dark, lambda v: f"brightness {v:.2f}", "Nearly black."),
        _flaws(audit, "Hardly any contrast", audit.low_contrast, lambda v: f"contrast {v:.2f}",
               "Nearly empty."),
        _files(audit),
    ]  # fmt: skip
    notices = [Paragraph(notice, "warning") for notice in audit.notices]
    sound = [] if any(sections[1:]) else [Paragraph("Nothing was found that needs a look.")]
    return Page(
        title=f"Audit of {audit.catalog.source.resolve().name}",
        subtitle=f"{_count(audit.images, 'image')} of {_count(len(audit.classes), 'class')}, "
        f"seen through the frozen network {audit.backbone}. Nothing was changed.",
        blocks=[_headline(audit), *notices, *filter(None, sections), *sound],
        footer="nstk audit",
    )


def _headline(audit: Audit) -> Headline:
    copies = {path for group in (*audit.exact_duplicates, *audit.near_duplicates) for path in group}
    flawed = {flaw.path for flaws in (audit.tiny, audit.blurred, audit.dark, audit.low_contrast)
              for flaw in flaws}  # fmt: skip
    return Headline(
        [
            Figure("images", str(audit.images), f"{len(audit.unreadable)} unreadable"),
            Figure("labels to check", str(len(audit.label_suspects)), _share(audit)),
            Figure("in groups of copies", str(len(copies)),
                   f"{len(audit.cross_split_duplicates)} groups across parts"),
            Figure("unlike all others", str(len(audit.outliers))),
            Figure("of poor quality", str(len(flawed)), "tiny, blurred, dark or empty"),
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
    columns = ["class", *(splits if several else ["images"]), *(["all"] if several else [])]
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
        "Heads that have not seen these images find one of their labels likely wrong, or one "
        "missing: the labels they have → those they look like, with the probability of the change. "
        "The likeliest mistakes come first."
        if audit.catalog.multi_label
        else "Heads that have not seen these images take them for another class: the label they "
        "have → the class they look like, with its probability. The likeliest mistakes come first."
    )
    row = ImageRow([caption(each, place) for place, each in shown], _WIDTH)
    return Section("Labels to check", [Paragraph(words), row, *_more(len(suspects))])


def _copies(audit: Audit, title: str, groups: Groups, words: str) -> Section | None:
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
    flaws: Sequence[Flaw],
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
        (str(audit.name(file.path)), file.reason) for file in audit.unreadable
    ]
    rows += [
        (str(audit.name(file.path)), f"the content is {file.format}, the name says otherwise")
        for file in audit.wrong_extension
    ]
    rows += [(str(file.path), file.reason) for file in audit.skipped]
    if not rows:
        return None
    words = "What cannot be read is left out everywhere; a wrong ending misleads other programs."
    return Section("Files", [Paragraph(words), Table(["file", "what is wrong"], rows)])


def _show(paths: Sequence[Path], *, square: bool = True) -> list[tuple[int, CaptionedImage]]:
    """Thumbnails with the names of their files, and their positions; what has gone is left out.

    The largest centered square is what the network sees, and squares stand in straight rows.
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
    return Paragraph(f"{_count(count, f'more {what}')}; `nstk audit --json` names all.", "quiet")


def _count(number: int, what: str) -> str:
    plural = "es" if what.endswith("s") else "s"
    return f"{number} {what}{'' if number == 1 else plural}"
