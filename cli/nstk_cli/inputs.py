"""What a command reads, and must not write over."""

from collections.abc import Iterable
from pathlib import Path

import nstk


def spare_inputs(inputs: Iterable[Path | None], *outputs: Path | None) -> None:
    """Refuse, before any work, to write a result over an image that it is made from.

    Args:
        inputs: The files that are read; None is none.
        outputs: The files that will be written; None is none.

    Raises:
        nstk.OutputError: If an output is one of the inputs, by whatever name.
    """
    read = [path for path in inputs if path is not None and path.is_file()]
    for output in outputs:
        if output is None or not output.is_file():
            continue
        if any(output.samefile(path) for path in read):
            raise nstk.OutputError(
                f"Cannot write {output}: the result is made from this very file; choose another "
                "name."
            )
