"""Decoding images inside a TensorFlow graph, with EXIF orientation applied.

TensorFlow's own decoders ignore the orientation of a photograph. It is tag 0x0112
of the first directory of the TIFF data in a JPEG's APP1 segment (Exif 2.32, 4.5.4 and 4.6.2).
"""

from collections.abc import Callable

import tensorflow as tf

from nstk.images.image import WHITE
from nstk.settings.parsing import Color
from nstk.types import Tensor

_APP1, _START_OF_SCAN = 0xE1, 0xDA
_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"


def decode_upright(encoded: Tensor, background: Color = WHITE) -> Tensor:
    """Decode the bytes ``()`` of a JPEG or PNG of any size, to uint8 ``(H, W, 3)``.

    A transparent PNG is laid on the background. Color profiles are not applied, and the orientation
    of a PNG is ignored.
    """
    # Accurate integers: the faster method, TensorFlow's default, is off by a few gray levels.
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: apply_orientation(
            tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
            read_orientation(encoded),
        ),
        lambda: tf.cond(
            tf.strings.substr(encoded, 0, 4) == b"\x89PNG",
            lambda: composite(tf.io.decode_png(encoded, channels=4), background),
            lambda: tf.io.decode_png(encoded, channels=3),  # a GIF, which has no alpha here
        ),
    )


def composite(pixels: Tensor, background: Color) -> Tensor:
    """Lay uint8 ``(H, W, 4)`` on a ground; the same numbers as `nstk.images.image.composite`."""
    colors, alpha = tf.split(tf.cast(pixels, tf.int32), (3, 1), axis=-1)
    laid = colors * alpha + tf.constant(background) * (255 - alpha)
    return tf.cast((laid + 127) // 255, tf.uint8)


def apply_orientation(pixels: Tensor, orientation: Tensor) -> Tensor:
    """Apply an EXIF orientation from 1 to 8.

    Args:
        pixels: ``(H, W, 3)``.
        orientation: int32 ``()``.
    """
    turned = tf.transpose(pixels, (1, 0, 2))
    upright: list[Callable[[], Tensor]] = [
        lambda: pixels,
        lambda: pixels[:, ::-1],
        lambda: pixels[::-1, ::-1],
        lambda: pixels[::-1],
        lambda: turned,
        lambda: turned[:, ::-1],
        lambda: turned[::-1, ::-1],
        lambda: turned[::-1],
    ]
    return tf.switch_case(orientation - 1, upright)


def read_orientation(encoded: Tensor) -> Tensor:
    """Read the EXIF orientation of a JPEG.

    Args:
        encoded: A string tensor ``()``, the bytes of the file.

    Returns:
        int32 ``()``, 1 to 8; 1 if the file has no valid orientation.
    """
    content = tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int32)
    start = _find_tiff(content)
    is_little = tf.equal(_byte(content, start), ord("I"))

    def number(at: Tensor, width: int) -> Tensor:
        digits = tf.stack([_byte(content, at + place) for place in range(width)], axis=-1)
        ascending = tf.constant([256**place for place in range(width)])
        return tf.reduce_sum(digits * tf.where(is_little, ascending, ascending[::-1]), axis=-1)

    directory = start + number(start + 4, 4)
    entries = directory + 2 + 12 * tf.range(number(directory, 2))
    values = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == _ORIENTATION)
    first = tf.concat([values, [1]], axis=0)[0]
    return tf.where((first >= 1) & (first <= 8), first, 1)


def _find_tiff(content: Tensor) -> Tensor:
    """Offset of the TIFF data in the EXIF segment; the file's size if there is none."""
    length = tf.size(content)

    def is_exif(at: Tensor) -> Tensor:
        named = [_byte(content, at + 4 + place) == letter for place, letter in enumerate(_EXIF)]
        return tf.reduce_all([_byte(content, at + 1) == _APP1, *named])

    def is_before(at: Tensor) -> Tensor:
        is_segment = (_byte(content, at) == 0xFF) & (_byte(content, at + 1) != _START_OF_SCAN)
        return is_segment & ~is_exif(at)

    def skip(at: Tensor) -> tuple[Tensor]:
        return (at + 2 + 256 * _byte(content, at + 2) + _byte(content, at + 3),)

    (found,) = tf.while_loop(is_before, skip, (tf.constant(2),))
    return tf.where(is_exif(found), found + 10, length)


def _byte(content: Tensor, at: Tensor) -> Tensor:
    """The byte at an offset, 0 outside the file."""
    last = tf.size(content) - 1
    inside = (at >= 0) & (at <= last)
    return tf.where(inside, tf.gather(content, tf.clip_by_value(at, 0, last)), 0)
