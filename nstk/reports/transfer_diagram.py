"""The network as boxes in a row: what is frozen, what is learned, and how much of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as PILImage
from PIL import ImageDraw

from nstk.images.image import Image
from nstk.inspecting.frozen_study import FrozenStudy
from nstk.reports.pages import Box
from nstk.reports.pages.numerals import format_number
from nstk.reports.sheets.lettering import wrap_text, write_text
from nstk.reports.sheets.sheet import INK, PAPER, QUIET_INK, from_image

_WIDTH, _GAP, _EDGE, _STEP = 106, 20, 8, 17
_TITLE, _TEXT = 13, 12
_NAMED_CLASSES = 4

Ink = tuple[int, int, int]


@dataclass(frozen=True)
class _Kind:
    """The colors of a box."""

    fill: Ink
    ink: Ink


_KINDS = {
    "plain": _Kind((240, 242, 244), INK),
    "accent": _Kind((223, 234, 244), (0, 83, 138)),
    "warning": _Kind((252, 226, 214), (168, 58, 0)),
}


def draw_diagram(study: FrozenStudy) -> Image:
    """Draw the network with what is frozen in blue and what is learned in vermilion.

    Args:
        study: For the layers and their numbers of parameters.

    Returns:
        float32 ``(height, width, 3)`` in ``[0, 1]``.
    """
    boxes = [(_KINDS[box.tone], _letter(box)) for box in list_boxes(study)]
    height = max(len(lines) for _, lines in boxes) * _STEP + 2 * _EDGE
    width = len(boxes) * (_WIDTH + _GAP) - _GAP
    image = PILImage.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    for place, (kind, lines) in enumerate(boxes):
        left = place * (_WIDTH + _GAP)
        corners = [left, 0, left + _WIDTH - 1, height - 1]
        draw.rounded_rectangle(corners, 8, kind.fill, kind.ink)
        for number, (line, size, ink) in enumerate(lines):
            write_text(draw, (left + _EDGE, _EDGE + _STEP * number), line, size, ink)
        if place:
            _draw_arrow(draw, left - _GAP + 3, left - 3, height // 2)
    return from_image(image)


def list_boxes(study: FrozenStudy) -> Sequence[Box]:
    """The network as boxes, from the image to the classes: blue is frozen, vermilion learned."""
    frozen = [
        Box(
            block.layer,
            (
                "frozen",
                f"{count_parameters(block.parameters)} parameters",
                f"{block.channels} channels",
                f"stride {block.stride}",
            ),
            "accent",
        )
        for block in study.blocks
    ]
    head = ("learned", f"{count_parameters(study.learned_parameters)} parameters")
    more = ["…"] if len(study.classes) > _NAMED_CLASSES else []
    named = ", ".join([*study.classes[:_NAMED_CLASSES], *more])
    return [
        Box("image", (f"{study.size} × {study.size}",)),
        *frozen,
        Box("mean, head", head, "warning"),
        Box(f"{len(study.classes)} classes", (named,)),
    ]


def count_parameters(number: int) -> str:
    """A number of parameters for people: ``770``, ``1.2 million``."""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else format_number(number)


def _letter(box: Box) -> list[tuple[str, int, Ink]]:
    """Every line of a box with the size of its letters and its color."""
    room = _WIDTH - 2 * _EDGE
    title, text = wrap_text(box.title, _TITLE, room), wrap_text("\n".join(box.lines), _TEXT, room)
    ink = _KINDS[box.tone].ink
    return [*((line, _TITLE, ink) for line in title), *((line, _TEXT, INK) for line in text)]


def _draw_arrow(draw: ImageDraw.ImageDraw, start: int, end: int, middle: int) -> None:
    draw.line([start, middle, end - 6, middle], QUIET_INK, 2)
    draw.polygon([(end, middle), (end - 8, middle - 5), (end - 8, middle + 5)], QUIET_INK)
