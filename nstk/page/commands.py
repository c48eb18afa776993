"""The command lines that repeat what the page did, run in its folder."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from nstk.types import Json


def paint_command(root: Path, given: Mapping[str, Json], output: Path) -> str:
    """The `nstk stylize` of a painting, with its masks."""
    masks = given.get("masks") or {}
    words = ["nstk", "stylize", show_path(root, given["content"])]
    words += [show_path(root, each) for each in given["styles"]]
    for name, value in given["settings"].items():
        words += [
            "--" + name.replace("_", "-"),
            f"{value:g}" if isinstance(value, float) else str(value),
        ]
    for mask in masks.get("content") or ():
        words += ["--content-mask", show_path(root, mask)]
    if masks.get("keep"):
        words += ["--keep-mask", show_path(root, masks["keep"])]
    return shlex.join([*words, "-o", show_path(root, output)])


def train_command(root: Path, data: Path, output: Path) -> str:
    """The `nstk finetune` of a classifier."""
    return shlex.join(["nstk", "finetune", show_path(root, data), "-o", show_path(root, output)])


def show_path(root: Path, path: str | Path) -> str:
    """A path relative to the folder of the page, as commands that run in it take it."""
    path = Path(path)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
