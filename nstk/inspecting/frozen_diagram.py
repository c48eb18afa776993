"""The network as boxes in a row: what is frozen, what is learned, and how much of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from nstk.inspecting.frozen_study import FrozenStudy
from nstk.media.pictures import Picture
from nstk.pages.numerals import spell_number
from nstk.sheets.lettering import find_font, wrap_text
from nstk.sheets.sheet import INK, PAPER, QUIET_INK, from_image

_WIDTH, _GAP, _EDGE, _STEP = 106, 20, 8, 17
_TITLE, _TEXT = 13, 12
_NAMED_CLASSES = 4

Ink = tuple[int, int, int]


@dataclass(frozen=True)
class _Kind:
    """The colours of a box."""

    fill: Ink
    ink: Ink


_PLAIN = _Kind((240, 242, 244), INK)
_FROZEN = _Kind((223, 234, 244), (0, 83, 138))
_LEARNED = _Kind((252, 226, 214), (168, 58, 0))


@dataclass(frozen=True)
class _Box:
    """A box with a title and lines of text below it."""

    title: str
    text: str
    kind: _Kind

    @property
    def lines(self) -> list[tuple[str, int, Ink]]:
        """Every line with the size of its letters and its colour."""
        room = _WIDTH - 2 * _EDGE
        titles = [(line, _TITLE, self.kind.ink) for line in wrap_text(self.title, _TITLE, room)]
        return [*titles, *((line, _TEXT, INK) for line in wrap_text(self.text, _TEXT, room))]


def draw_diagram(study: FrozenStudy) -> Picture:
    """Draw the network with what is frozen in blue and what is learned in vermilion.

    Args:
        study: For the layers and their numbers of parameters.

    Returns:
        float32 ``(height, width, 3)`` in ``[0, 1]``.
    """
    boxes = _list_boxes(study)
    height = max(len(box.lines) for box in boxes) * _STEP + 2 * _EDGE
    width = len(boxes) * (_WIDTH + _GAP) - _GAP
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    for place, box in enumerate(boxes):
        left = place * (_WIDTH + _GAP)
        corners = [left, 0, left + _WIDTH - 1, height - 1]
        draw.rounded_rectangle(corners, 8, box.kind.fill, box.kind.ink)
        for number, (line, size, ink) in enumerate(box.lines):
            draw.text((left + _EDGE, _EDGE + _STEP * number), line, ink, find_font(size))
        if place:
            _draw_arrow(draw, left - _GAP + 3, left - 3, height // 2)
    return from_image(image)


def count_parameters(number: int) -> str:
    """A number of parameters for people: ``770``, ``1.2 million``."""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else spell_number(number)


def _list_boxes(study: FrozenStudy) -> Sequence[_Box]:
    frozen = [
        _Box(
            block.layer,
            f"frozen\n{count_parameters(block.parameters)} parameters\n"
            f"{block.channels} channels\nstride {block.stride}",
            _FROZEN,
        )
        for block in study.blocks
    ]
    head = f"learned\n{count_parameters(study.learned_parameters)} parameters"
    more = ["…"] if len(study.classes) > _NAMED_CLASSES else []
    named = [*study.classes[:_NAMED_CLASSES], *more]
    return [
        _Box("picture", f"{study.size} × {study.size}", _PLAIN),
        *frozen,
        _Box("mean, head", head, _LEARNED),
        _Box(f"{len(study.classes)} classes", ", ".join(named), _PLAIN),
    ]


def _draw_arrow(draw: ImageDraw.ImageDraw, start: int, end: int, middle: int) -> None:
    draw.line([start, middle, end - 6, middle], QUIET_INK, 2)
    draw.polygon([(end, middle), (end - 8, middle - 5), (end - 8, middle + 5)], QUIET_INK)
