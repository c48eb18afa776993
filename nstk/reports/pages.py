"""Self-contained HTML pages: templates with all the markup, one stylesheet, nothing from elsewhere.

    write_page("report.html", "classifier.html", title="Ants or bees", data=data)

The template extends ``page.html`` and fills its block ``content`` with the macros of
``macros.html``, which it finds under the name ``ui``. All text is escaped. A page loads nothing and
has no script but that of sliders, known by its digest: its content security policy forbids all
else, so it looks the same on any machine, today and in ten years. It follows the reader's choice
of light or dark, and prints on white.
"""

import json
import math
import platform
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from nstk.errors import OutputError
from nstk.images.image import Image, fit_size, resize_image
from nstk.reports import formatting
from nstk.reports.figures.colors import Color, Hue
from nstk.reports.figures.painting import to_pillow
from nstk.storage.checkpoints import list_versions
from nstk.storage.files import atomic_write, check_replaceable, check_writable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LOSSLESS_PIXELS = 128 * 128
"""Up to this many pixels an image is embedded as PNG, above as JPEG, unless its kind is given."""

QUALITY = {"png": None, "jpeg": 90, "webp": 80}

GENERATOR = 'name="generator" content="nstk"'
"""What identifies a page of nstk, which a new one may replace."""

Value = str | int | float | bool | None
"""A value of a table: text as it is, a number by `format_number`, None as a dash."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, eq=False)
class CaptionedImage:
    """An image scaled down to ``longest_side``, with a caption and a second line, the note.

    Without ``kind``, a small image is embedded as PNG and a larger one as JPEG.
    """

    pixels: Image
    caption: str
    note: str = ""
    longest_side: int = 1024
    kind: Literal["", "png", "jpeg", "webp"] = ""

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width as embedded."""
        height, width = self.pixels.shape[:2]
        return fit_size(height, width, min(self.longest_side, max(height, width)))

    @cached_property
    def uri(self) -> str:
        """The image as ``data:image/png;base64,…``, or of another kind."""
        pixels = self.pixels
        if pixels.shape[:2] != self.size:
            pixels = resize_image(pixels, *self.size)
        image, file = to_pillow(pixels), BytesIO()
        is_small = image.width * image.height <= LOSSLESS_PIXELS
        kind = self.kind or ("png" if is_small else "jpeg")
        image.save(file, kind, quality=QUALITY[kind], subsampling="4:4:4", optimize=True)
        return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode('ascii')}"


def render(template: str, **values: object) -> str:
    """Render a template; characters that HTML forbids become U+FFFD."""
    return make_environment().get_template(template).render(**values)


def render_blocks(template: str, **values: object) -> dict[str, str]:
    """Render each block of a template on one line, by its name."""
    found = make_environment().get_template(template)
    context = found.new_context(values)
    return {
        name: re.sub("[ \n\u00a0]+", " ", "".join(block(context))).strip()
        for name, block in found.blocks.items()
    }


def write_page(
    path: str | Path, template: str, *, title: str, subtitle: str = "", **values: object
) -> Path:
    """Write a page as one HTML file, atomically."""
    versions = list_versions()
    machine = {"python": platform.python_version(), "machine": platform.platform()}
    given: dict[str, object] = {
        "footer": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "machine": {**versions, **machine},
    }
    return write_text(render(template, title=title, subtitle=subtitle, **given, **values), path)


def list_settings(
    kind: type["DataclassInstance"], chosen: Mapping[str, object]
) -> list[tuple[Value, ...]]:
    """Return name, value, default if that differs, and meaning of every setting."""
    return [
        (
            field.name.replace("_", "-"),
            _write_setting(value := chosen.get(field.name, field.default)),
            None if value == field.default else _write_setting(field.default),
            field.metadata.get("help", ""),
        )
        for field in fields(kind)
    ]


def _write_setting(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}:{_write_setting(part)}" for name, part in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(_write_setting, value))
    if value is None or isinstance(value, str | int | float):
        return format_value(value) or "–"
    return str(value)


def write_text(text: str, path: str | Path) -> Path:
    """Write a text in UTF-8, atomically."""

    def write(target: Path) -> None:
        target.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")

    return atomic_write(path, write)


def write_record(record: Mapping[str, object], path: Path) -> Path:
    """Write plain values as one JSON object: floats with six digits, NaN and infinity as null."""
    text = json.dumps(_plain(record), ensure_ascii=False, indent=1, allow_nan=False)
    return write_text(text + "\n", path)


def check_folder(folder: str | Path, names: Sequence[str]) -> None:
    """Check, before any long work, that a page and the files beside it can be written."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose a folder for the report.")
    if not folder.exists():
        check_writable(folder)
        return
    page = folder / names[0]
    check_replaceable(page, GENERATOR)
    for name in names[1:]:
        # What stands beside a page of nstk belongs to it.
        check_replaceable(folder / name, *(() if page.exists() else (GENERATOR,)))


@cache
def make_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nstk.reports"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
        extensions=["jinja2.ext.do"],
    )
    environment.filters |= {
        "cell": format_value,
        "paint": _paint,
        "formula": _mark_formula,
        "scripts": _mark_scripts,
        "number": formatting.format_number,
        "decimals": formatting.format_decimals,
        "count": formatting.format_count,
        "percent": lambda share: formatting.format_percent(share).replace(" ", "\u00a0"),
        "interval": lambda ends: formatting.format_interval(ends).replace(" ", "\u00a0"),
    }
    environment.globals["align_columns"] = align_columns
    return environment


def align_columns(
    columns: Sequence[str], rows: Sequence[Sequence[Value]], numeric: Sequence[str] = ()
) -> list[str]:
    """Return ``number`` or ``text`` for each column: numbers and dashes only, or in ``numeric``."""
    sides = []
    for index, head in enumerate(columns):
        given = [row[index] for row in rows if row[index] is not None]
        numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in given]
        sides.append("number" if head in numeric or (given and all(numbers)) else "text")
    return sides


def format_value(cell: Value) -> str:
    """Write a cell: numbers by `format_number`, booleans as yes and no, None as a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return cell if isinstance(cell, str) else formatting.format_number(cell)


def _paint(color: Color, attribute: str) -> Markup:
    """Return the attributes that paint a shape; browsers before 2024 show the light color only."""
    if isinstance(color, Hue):
        style = f"light-dark({color.light}, {color.dark})"
        return Markup(f'{attribute}="{color.light}" style="{attribute}: {style}"')
    return Markup(f'style="{attribute}: var(--{color})"')


def _mark_formula(text: str) -> Markup:
    """Mark up a formula: single letters in italics, and what `_mark_scripts` does."""
    letters = r"(?<![^\W_])([A-Za-zα-ω])(?![^\W_])"
    italic = re.sub(letters, r"<i>\1</i>", str(escape(text)))
    return _set_scripts(italic.replace("</i>′", "</i>\u200a′"))


def _mark_scripts(text: str) -> Markup:
    """Mark up as subscript and superscript what follows ``_`` and ``^`` up to the word's end."""
    return _set_scripts(str(escape(text)))


def _set_scripts(marked: str) -> Markup:
    word = r"((?:<i>)?[A-Za-z0-9+−′]+(?:</i>)?)"
    marked = re.sub(f"_{word}", r"<sub>\1</sub>", marked)
    return Markup(re.sub(rf"\^{word}", r"<sup>\1</sup>", marked))


def _printable(value: object) -> object:
    """Replace characters that HTML forbids; file names may contain them."""
    return _UNPRINTABLE.sub("\ufffd", value) if type(value) is str else value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
