"""The exceptions of nstk: one root, and one class for each kind of problem.

    NstkError
    ├── SettingsError       a parameter is out of its range
    ├── ImageError          a file or an array is not a usable image
    ├── MaskError           a mask does not fit its image, or is empty
    ├── FolderError         labeled images cannot be used
    ├── BackboneError       a network is unknown, or has no such layer
    ├── WeightsError        a weights file does not fit the network
    ├── DownloadError       pretrained weights cannot be downloaded
    ├── ModelError          a file is not a classifier of nstk
    ├── StyleFileError      a file is not a style, or not for this network
    ├── CheckpointError     a checkpoint belongs to another run, or its folder is in use
    ├── DivergenceError     a loss is no longer finite
    ├── ExportError         a classifier cannot be exported with the same predictions
    └── OutputError         a result cannot be written

Every message is one line that says what was received, what is needed and what to do. It names
parameters in backticks (`size`), which the command line replaces by options. Line breaks, control
characters and undecodable bytes in file names are escaped.
"""

import json
import re
from typing import Any

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, among them those that move a terminal's cursor
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line breaks and writing directions
    "\ud800-\udfff]"  # undecodable bytes of file names
)


def printable(text: object) -> str:
    """Escape everything in a text that would act on a terminal or break the line.

    Control characters, line breaks, changes of the writing direction and lone surrogates are
    escaped as in JSON: ``\\n``, ``\\u001b``, ``\\u202e``.
    """
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], str(text))


class NstkError(Exception):
    """Root of all errors that nstk raises intentionally."""

    def __str__(self) -> str:
        return printable(super().__str__())

    def message_for(self, path: object) -> str:
        """The message without the file's name at its beginning and the full stop at its end."""
        return str(self).removeprefix(f"{printable(path)}: ").removesuffix(".")


class SettingsError(NstkError):
    """A parameter is out of its range."""


class ImageError(NstkError):
    """A file or an array is not a usable image."""


class MaskError(NstkError):
    """A mask does not fit its image, or is empty."""


class FolderError(NstkError):
    """Labeled images cannot be used."""


class BackboneError(NstkError):
    """A network is unknown, or has no such layer."""


class WeightsError(NstkError):
    """A weights file does not fit the network."""


class DownloadError(NstkError):
    """Pretrained weights cannot be downloaded."""


class ModelError(NstkError):
    """A file is not a classifier of nstk."""


class StyleFileError(NstkError):
    """A file is not a style, or not for this network."""


class CheckpointError(NstkError):
    """A checkpoint belongs to another run, or another run is using its folder."""


class DivergenceError(NstkError):
    """A loss is no longer finite.

    Attributes:
        made: The result of the job so far, if any.
    """

    made: Any = None


class ExportError(NstkError):
    """A classifier cannot be exported with the same predictions."""


class OutputError(NstkError):
    """A result cannot be written."""
