"""The exceptions of nstk: one root, one kind for each thing that can be wrong.

    NstkError
    ├── SettingsError       a number or a word given by the user is out of its range
    ├── ImageError        a file cannot be used as an image
    ├── MaskError           a mask does not belong to its image, or nothing of it is left
    ├── FolderError         a folder cannot be used as labeled images
    ├── BackboneError       no network goes by this name, or it has no such layer
    ├── WeightsError        a weights file does not belong to the network
    ├── DownloadError       pretrained weights could not be fetched
    ├── ModelError          a file is not a classifier that nstk can use
    ├── StyleFileError      a file is not a style that this network can use
    ├── CheckpointError     a checkpoint belongs to another run, or its folder is in use
    ├── DivergenceError     a loss stopped being a number
    ├── ExportError         a classifier cannot be exported, or would answer differently
    └── OutputError         a result could not be written

Every message says what was received, what is needed and what to do, in one line: names from files
and folders may hold line breaks, control characters or what is no text, and stand in it escaped.
"""

import json
import re
from typing import Any

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, among them those that move a terminal's cursor
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line breaks, and turns of writing
    "\ud800-\udfff]"  # bytes of file names that are no text
)


def printable(words: object) -> str:
    """Words on one line, with nothing in them that a terminal would act upon.

    Args:
        words: Anything; its ``str`` is taken.

    Returns:
        The same, with control characters, line breaks, turns of the writing direction and lone
        surrogates escaped as JSON writes them: ``\\n``, ``\\u001b``, ``\\u202e``.
    """
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], str(words))


class NstkError(Exception):
    """Root of everything nstk raises on purpose; catch this one to catch them all."""

    def __str__(self) -> str:
        return printable(super().__str__())

    def message_for(self, path: object) -> str:
        """What it says of a file, without the file's name before it and the full stop behind."""
        return str(self).removeprefix(f"{printable(path)}: ").removesuffix(".")


class SettingsError(NstkError):
    """A setting is out of its range."""


class ImageError(NstkError):
    """A file cannot be used as an image."""


class MaskError(NstkError):
    """A mask does not belong to its image, or nothing of it is left."""


class FolderError(NstkError):
    """A folder cannot be used as labeled images."""


class BackboneError(NstkError):
    """No network goes by this name, or the network has no such layer."""


class WeightsError(NstkError):
    """A weights file does not belong to the network."""


class DownloadError(NstkError):
    """Pretrained weights could not be fetched."""


class ModelError(NstkError):
    """A file is not a classifier that nstk can use."""


class StyleFileError(NstkError):
    """A file is not a style that this network can use."""


class CheckpointError(NstkError):
    """A checkpoint belongs to another run, or another run is using its folder."""


class DivergenceError(NstkError):
    """A loss stopped being a finite number.

    Attributes:
        made: What the job had made until then, where it had made something.
    """

    made: Any = None


class ExportError(NstkError):
    """A classifier cannot be exported, or would answer differently."""


class OutputError(NstkError):
    """A result could not be written."""
