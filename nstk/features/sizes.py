"""At which size the network sees images, where nobody says.

A network sees best at the size it was trained at, S: larger and smaller squares lose on photographs
(MobileNet-0.75 on insects: 94.1 % of 153 at 224, 91.5 at 192, 92.2 at 256). It is otherwise with
images so small that S would magnify them more than two and a half times: their blurred edges are
not what the network learned to look at, and 5/7·S, 160 for 224, is as good or better at half the
work. `benchmarks/finetune.py` measures it on images of 64 and of 32 pixels.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from nstk.backbones.backbone import Backbone
from nstk.errors import ImageError
from nstk.images.image import measure_side

_MAGNIFICATION = 2.5
_SHARE = 5 / 7
_MULTIPLE = 32
_ASKED = 100


def choose_size(backbone: Backbone, paths: Sequence[Path]) -> int:
    """Choose the side of the square that the network sees.

    Args:
        backbone: The network; S is its ``input_size``.
        paths: The images, of which up to a hundred, evenly spread, are asked for their shorter
            side; what cannot be read is left out.

    Returns:
        S; or 5/7·S, rounded to a multiple of 32, where S is more than 2.5 times the median side.
    """
    size, sides = backbone.input_size, []
    for path in paths[:: -(-len(paths) // _ASKED) or 1]:
        with suppress(ImageError):
            sides.append(measure_side(path))
    if not sides or size <= _MAGNIFICATION * median(sides):
        return size
    return max(_MULTIPLE, round(_SHARE * size / _MULTIPLE) * _MULTIPLE)
