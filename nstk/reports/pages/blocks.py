"""What a page is made of: words, figures, images and tables; charts have modules of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from nstk.reports.pages.embedding import CaptionedImage
from nstk.reports.pages.numerals import format_number

Cell = str | int | float | bool | None
"""What a table or a fact shows: a text as it is, a number by `spell_number`, None as a dash."""


class Block(Protocol):
    """Anything that a template of this room draws."""

    template: ClassVar[str]
    """Name of the template; it finds the block under the name ``block``."""


@dataclass(frozen=True)
class Paragraph:
    """Running text.

    Attributes:
        text: The words; an empty line begins a new paragraph.
        tone: ``plain``; ``quiet``, for remarks; ``warning``, for what must not be missed.
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
        label: What it counts.
        value: The number as it is to be read, with its unit.
        note: What belongs to it, such as its interval.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Headline:
    """The few numbers a page is about, in large letters; three to five look best."""

    template: ClassVar[str] = "headline.html"
    figures: Sequence[Figure]


@dataclass(frozen=True)
class ImageRow:
    """Images side by side; they wrap to the next row where there are many.

    Attributes:
        images: From left to right.
        width: The least width of each in CSS pixels: 280 for images to look at, 130 for
            thumbnails.
    """

    template: ClassVar[str] = "image_row.html"
    images: Sequence[CaptionedImage]
    width: int = 280


@dataclass(frozen=True)
class Box:
    """A box of a chain.

    Attributes:
        title: What it stands for.
        lines: What is said of it.
        tone: ``plain``; ``accent`` and ``warning`` are blue and vermilion, to tell kinds apart.
    """

    title: str
    lines: Sequence[str]
    tone: Literal["plain", "accent", "warning"] = "plain"


@dataclass(frozen=True)
class Chain:
    """Boxes with an arrow from each to the next; they wrap where the window is narrow."""

    template: ClassVar[str] = "chain.html"
    boxes: Sequence[Box]


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head.

    Attributes:
        columns: The head of each column.
        rows: A cell for each column. Numbers that need a unit or fixed decimals come as text.
        numeric: Heads of the columns that are set to the right, as numbers are; columns that
            hold nothing but numbers and dashes always are.
        caption: A line above the table.
    """

    template: ClassVar[str] = "table.html"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
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
    """Names and their values in columns, for settings and versions.

    Attributes:
        facts: From name to value.
    """

    template: ClassVar[str] = "facts.html"
    facts: Mapping[str, Cell]


@dataclass(frozen=True)
class Code:
    """Text as it was typed, such as a command; long lines wrap."""

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
    """Blocks behind a line that opens them; printed pages show them open.

    Attributes:
        summary: The line.
        blocks: What is behind it.
    """

    template: ClassVar[str] = "details.html"
    summary: str
    blocks: Sequence[Block]


def format_cell(cell: Cell) -> str:
    """Write a cell: numbers by `spell_number`, booleans as yes and no, None as a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return cell if isinstance(cell, str) else format_number(cell)


def _all_numbers(cells: Sequence[Cell]) -> bool:
    numbers = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells]
    missing = [cell is None for cell in cells]
    return any(numbers) and all(n or m for n, m in zip(numbers, missing, strict=True))
