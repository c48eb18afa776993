"""``nstk lesson``: a folder for a class, with images, worksheets and answers."""

from pathlib import Path
from typing import Annotated

import typer

from nstk.settings import LessonName, LessonSettings
from nstk_cli.options import Json, Quiet, with_settings
from nstk_cli.output import print_output
from nstk_cli.reporting import reporting

Name = Annotated[LessonName, typer.Argument(metavar="NAME", help="Lesson to write")]
KitFolder = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="New folder for the lesson")
]


@with_settings
def lesson(
    *,
    name: Name,
    output: KitFolder,
    settings: LessonSettings,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the lesson NAME: images, worksheets in English and Korean, answers and commands.

    few-images: how accuracy and its interval grow. shortcut: a background that gives the class
    away. leak: copies in the test images. none-of-these: a confident wrong answer. gram: what a
    Gram matrix forgets. layers: what each depth keeps. alpha-beta: content against style.
    """
    with reporting(quiet=quiet):
        from nstk.lessons.kit import list_commands, read_lesson, write_kit

        files = write_kit(name, output, seed=settings.seed)
    commands = list_commands(read_lesson(name, "en"))
    described = {"output": output, "lesson": name, "files": files, "commands": commands}
    print_output(json, described, "lesson.txt", files=files, commands=commands, output=output)
