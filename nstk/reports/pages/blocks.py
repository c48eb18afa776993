"""The blocks of a page: text, numbers, images and tables; charts are in `nstk.reports.figures`."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import ClassVar, Literal, Protocol

from nstk.images.image import Image, fit_size, resize_image
from nstk.reports.figures.painting import to_pillow
from nstk.reports.formatting import format_number

LOSSLESS_PIXELS = 128 * 128
"""Up to this many pixels an image is embedded as PNG, above as JPEG."""

JPEG_QUALITY = 90

Value = str | int | float | bool | None
"""A value of a table: text as it is, a number by `format_number`, None as a dash."""


class Block(Protocol):
    """Anything that has a template."""

    template: ClassVar[str]
    """Name of the template, which finds the block under the name ``block``."""


@dataclass(frozen=True)
class Paragraph:
    """Running text.

    Attributes:
        text: The text; an empty line begins a new paragraph, `backticks` enclose code.
        tone: ``plain``, ``quiet`` for remarks, or ``warning``.
    """

    template: ClassVar[str] = "paragraph.html"
    text: str
    tone: Literal["plain", "quiet", "warning"] = "plain"

    @property
    def parts(self) -> tuple[str, ...]:
        """The paragraphs."""
        return tuple(part.strip() for part in self.text.split("\n\n") if part.strip())


@dataclass(frozen=True)
class Figure:
    """One number of a headline.

    Attributes:
        label: What it measures.
        value: The number as text, with its unit.
        note: A remark in smaller letters, such as its interval.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Headline:
    """The most important numbers in large letters; three to five look best."""

    template: ClassVar[str] = "headline.html"
    figures: Sequence[Figure]


@dataclass(frozen=True, eq=False)
class CaptionedImage:
    """An image with a caption.

    Attributes:
        pixels: float32 ``(height, width, 3)``, sRGB; values beyond ``[0, 1]`` are clipped.
        caption: What it shows; also its text for readers who cannot see it.
        note: A second line in smaller letters.
        longest_side: Larger images are scaled to this longer side, in pixels.
    """

    pixels: Image
    caption: str
    note: str = ""
    longest_side: int = 1024

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, as embedded."""
        height, width = self.pixels.shape[:2]
        return fit_size(height, width, min(self.longest_side, max(height, width)))

    @cached_property
    def uri(self) -> str:
        """The image as ``data:image/png;base64,…`` or ``data:image/jpeg;base64,…``."""
        pixels = self.pixels
        if pixels.shape[:2] != self.size:
            pixels = resize_image(pixels, *self.size)
        image, file = to_pillow(pixels), BytesIO()
        if image.width * image.height <= LOSSLESS_PIXELS:
            image.save(file, "PNG", optimize=True)
            kind = "png"
        else:
            image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4", optimize=True)
            kind = "jpeg"
        return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class ImageRow:
    """Images side by side; they wrap to the next row where there are many.

    Attributes:
        images: From left to right.
        width: Least width of each in CSS pixels: 280 for large images, 130 for thumbnails.
    """

    template: ClassVar[str] = "image_row.html"
    images: Sequence[CaptionedImage]
    width: int = 280


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings.

    Attributes:
        columns: The heading of each column.
        rows: A cell for each column; numbers with a unit or fixed decimals are passed as text.
        numeric: Headings of columns to align right; columns of numbers and dashes always are.
        caption: A line above the table.
    """

    template: ClassVar[str] = "table.html"
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    numeric: Sequence[str] = ()
    caption: str = ""

    @property
    def sides(self) -> tuple[str, ...]:
        """For each column ``number`` or ``text``."""
        numeric = [
            head in self.numeric or _all_numbers([row[index] for row in self.rows])
            for index, head in enumerate(self.columns)
        ]
        return tuple("number" if is_numeric else "text" for is_numeric in numeric)


@dataclass(frozen=True)
class Facts:
    """Names and values in columns, for settings and versions.

    Attributes:
        facts: From name to value.
    """

    template: ClassVar[str] = "facts.html"
    facts: Mapping[str, Value]


@dataclass(frozen=True)
class Code:
    """Preformatted text, such as a command; long lines wrap."""

    template: ClassVar[str] = "code.html"
    text: str


@dataclass(frozen=True)
class Section:
    """Blocks under a heading; a page with four or more of them begins with a list of links."""

    template: ClassVar[str] = "section.html"
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Details:
    """Blocks that a click opens; printed pages show them open.

    Attributes:
        summary: The line to click.
        blocks: The blocks.
    """

    template: ClassVar[str] = "details.html"
    summary: str
    blocks: Sequence[Block]


def format_value(cell: Value) -> str:
    """Write a cell: numbers by `format_number`, booleans as yes and no, None as a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return cell if isinstance(cell, str) else format_number(cell)


def _all_numbers(cells: Sequence[Value]) -> bool:
    numbers = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells]
    missing = [cell is None for cell in cells]
    return any(numbers) and all(n or m for n, m in zip(numbers, missing, strict=True))
