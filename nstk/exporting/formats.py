"""The export formats and their requirements."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from nstk.errors import ExportError, OutputError
from nstk.storage.files import (
    atomic_write,
    atomic_write_folder,
    check_folder_writable,
    check_writable,
)

FormatName = Literal["keras", "savedmodel", "tflite", "tflite-int8", "onnx"]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: Its name.
        extension: Extension of its files; empty if it is a folder.
        tolerance: By how much a probability may differ from the original's; None if the format
            rounds, and only the share of equal labels counts.
        modules: Optional Python modules that write or run it.
        extra: The extra of nstk that installs them.
    """

    name: FormatName
    extension: str
    tolerance: float | None
    modules: tuple[str, ...] = ()
    extra: str = ""

    def check_modules(self) -> None:
        """Refuse a format whose modules are not installed.

        Raises:
            ExportError: With the extra to install.
        """
        missing = [module for module in self.modules if find_spec(module) is None]
        if missing:
            raise ExportError(
                f"{self.name} needs {', '.join(missing)}, which is not installed; "
                f"run pip install 'nstk[{self.extra}]'."
            )

    def check_path(self, path: Path) -> None:
        """Refuse a path where this format cannot be written.

        Raises:
            OutputError: If the extension is wrong, or nothing can be written there.
        """
        if not self.extension:
            check_folder_writable(path, member="saved_model.pb")
        elif path.suffix != self.extension:
            raise OutputError(
                f"{path} does not have the extension {self.extension} of {self.name}; "
                f"write to {path.with_suffix(self.extension).name}."
            )
        else:
            check_writable(path)

    def write(self, path: Path, write: Callable[[Path], None]) -> Path:
        """Write a file or folder of this format atomically; see `atomic_write`."""
        return atomic_write(path, write) if self.extension else atomic_write_folder(path, write)


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("keras", ".keras", 1e-5),
        Format("savedmodel", "", 1e-5),
        Format("tflite", ".tflite", 1e-4),
        Format("tflite-int8", ".tflite", None),
        Format("onnx", ".onnx", 1e-4, ("tf2onnx", "onnx", "onnxruntime"), "onnx"),
    )
}


def find_format(name: str) -> Format:
    """Look up a format by name.

    Raises:
        ExportError: If there is none of that name.
    """
    if name not in FORMATS:
        raise ExportError(
            f"unknown format '{name}'; choose from {', '.join(get_args(FormatName))}."
        )
    return FORMATS[name]
