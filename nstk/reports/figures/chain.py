"""Chains: boxes with an arrow from each to the next, such as the layers of a network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from nstk.reports.figures.drawing import Area, Drawing, Line, Shape, Words
from nstk.reports.figures.line_chart import WIDTH
from nstk.reports.figures.text import LETTER_SIZE, LINE_HEIGHT, wrap_text

_NARROWEST, _WIDEST, _GAP, _PADDING = 100.0, 150.0, 20.0, 8.0


@dataclass(frozen=True)
class Box:
    """A box of a chain.

    Attributes:
        title: Its first line, in the color of the box.
        lines: The other lines.
        tone: ``plain`` is gray, ``accent`` blue and ``warning`` vermilion.
    """

    title: str
    lines: Sequence[str]
    tone: Literal["plain", "accent", "warning"] = "plain"

    @property
    def color(self) -> str:
        """The name of its color."""
        return "quiet" if self.tone == "plain" else self.tone


@dataclass(frozen=True)
class Chain:
    """Boxes from left to right.

    Attributes:
        boxes: At least one.
        title: What the chain shows; also its text for readers who cannot see it.
    """

    template: ClassVar[str] = "chart.html"
    boxes: Sequence[Box]
    title: str = ""

    @property
    def label(self) -> str:
        """The chain's text for readers who cannot see it."""
        return self.title or " → ".join(box.title for box in self.boxes)

    def draw(self) -> Drawing:
        """Lay the chain out."""
        count = len(self.boxes)
        width = min(max((WIDTH + _GAP) / count - _GAP, _NARROWEST), _WIDEST)
        texts = [
            [(line, color) for text, color in self._texts(box) for line in _wrap(text, width)]
            for box in self.boxes
        ]
        height = max(len(lines) for lines in texts) * LINE_HEIGHT + 2 * _PADDING
        shapes: list[Shape] = []
        for place, (box, lines) in enumerate(zip(self.boxes, texts, strict=True)):
            left = 1 + place * (width + _GAP)
            shapes += _draw_box(left, width, height, box.color)
            for number, (line, color) in enumerate(lines, 1):
                y = _PADDING + number * LINE_HEIGHT - 4
                shapes.append(Words(left + _PADDING, y, line, color))
            if place:
                shapes += _draw_arrow(left - _GAP + 3, left - 3, height / 2)
        return Drawing(2 + count * (width + _GAP) - _GAP, height + 2, shapes)

    def _texts(self, box: Box) -> Iterator[tuple[str, str]]:
        yield box.title, box.color
        yield from ((line, "ink") for line in box.lines)


def _wrap(text: str, width: float) -> list[str]:
    """Break a text, with names such as block1_conv1 broken after their underscore."""
    inner = width - 2 * _PADDING
    lines = wrap_text(text, LETTER_SIZE, inner)
    if len(lines) > 1 and "_" in text and " " not in text:
        lines = [
            line for part in text.split("_") for line in wrap_text(f"{part}_", LETTER_SIZE, inner)
        ]
        lines[-1] = lines[-1].removesuffix("_")
    return lines


def _draw_box(left: float, width: float, height: float, color: str) -> Iterator[Shape]:
    right, top, bottom = left + width, 1.0, 1 + height
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    yield Area(corners, color, 0.12)
    yield Line((*corners, corners[0]), color)


def _draw_arrow(start: float, end: float, y: float) -> Iterator[Shape]:
    yield Line(((start, y), (end - 6, y)), "quiet", 1.5)
    yield Area(((end, y), (end - 7, y - 4), (end - 7, y + 4)), "quiet")
