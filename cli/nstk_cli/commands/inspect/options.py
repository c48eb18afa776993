"""What the commands that write one sheet share."""

from pathlib import Path
from typing import Annotated

import typer

SheetFile = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Sheet to write; its ending says the format"
    ),
]
