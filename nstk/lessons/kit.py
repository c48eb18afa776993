"""A lesson as a folder: its images, worksheets in two languages, answers, and commands to run."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nstk.images.loading import load_image
from nstk.lessons.samples import draw_samples
from nstk.reports.pages import CaptionedImage, render, write_text
from nstk.settings import LessonName
from nstk.storage.files import atomic_write_folder, check_folder_writable
from nstk.types import Json

LANGUAGES = ("en", "ko")

MOST_EXAMPLES = 6

_TEXTS = Path(__file__).parent / "texts"


@dataclass(frozen=True)
class Part:
    """A step of a lesson: what to read, what to run, what to answer; empty where there is none.

    ``code`` is a Python program that the worksheet shows and the folder has under ``file``.
    """

    heading: str
    text: str
    commands: tuple[str, ...]
    file: str
    code: str
    question: str
    hint: str
    answer: str

    @property
    def lines(self) -> tuple[str, ...]:
        """What to type, the program of this part last."""
        return (*self.commands, f"python {self.file}") if self.file else self.commands


@dataclass(frozen=True)
class Lesson:
    """A lesson in one language; ``minutes`` are those of a class."""

    name: str
    language: str
    minutes: int
    title: str
    aim: str
    parts: tuple[Part, ...]


def read_lesson(name: LessonName, language: str) -> Lesson:
    """Read the texts of a lesson."""
    record = tomllib.loads((_TEXTS / f"{name}.toml").read_text(encoding="utf-8"))
    parts = [
        Part(
            heading=part[language]["heading"],
            text=part[language]["text"].strip(),
            commands=tuple(part.get("commands", ())),
            file=part.get("file", ""),
            code=part.get("code", "").strip(),
            question=part[language].get("question", "").strip(),
            hint=part[language].get("hint", "").strip(),
            answer=part[language].get("answer", "").strip(),
        )
        for part in record["parts"]
    ]
    own = record[language]
    return Lesson(name, language, record["minutes"], own["title"], own["aim"].strip(), tuple(parts))


def read_words(language: str) -> Mapping[str, str]:
    """Read the words of worksheets that all lessons share."""
    words: dict[str, dict[str, str]] = tomllib.loads(
        (_TEXTS / "words.toml").read_text(encoding="utf-8")
    )
    return words[language]


def check_kit(folder: str | Path) -> None:
    """Refuse, before any work, a folder that has files: those of a student would be lost."""
    check_folder_writable(folder, member="")


def write_kit(
    name: LessonName, folder: str | Path, *, seed: int = 0, share: float = 1.0
) -> tuple[Path, ...]:
    """Write a lesson into a new folder, completely or not at all.

    Args:
        name: The lesson.
        folder: A folder that is empty or does not exist.
        seed: Random seed of the images.
        share: Draw fewer images, or smaller ones, for a quick try.

    Returns:
        The worksheets and the other files, without the images.

    Raises:
        OutputError: If the folder has files, or cannot be written.
    """
    check_kit(folder)
    written: list[str] = []

    def write(place: Path) -> None:
        place.mkdir()
        draw_samples(name, place, seed=seed, share=share)
        written.extend(_write_texts(name, place))

    atomic_write_folder(folder, write)
    return tuple(Path(folder) / each for each in written)


def pick_examples(place: Path) -> list[CaptionedImage]:
    """Return images to show on a worksheet: the first of every folder, all of the outer one."""
    paths = [path for path in sorted(place.rglob("*")) if path.suffix in (".jpg", ".png")]
    first = {path.parent if path.parent != place else path: path for path in reversed(paths)}
    return [
        CaptionedImage(
            load_image(path).pixels, named.relative_to(place).as_posix(), "", 256, kind="webp"
        )
        for named, path in sorted(first.items())[:MOST_EXAMPLES]
    ]


def _write_texts(name: LessonName, place: Path) -> Iterator[str]:
    examples = pick_examples(place)
    for language in LANGUAGES:
        lesson, words = read_lesson(name, language), read_words(language)
        values = {"lesson": lesson, "words": words, "lang": language, "examples": examples}
        pages = {
            f"worksheet.{language}.html": render("worksheet.html", **values, answers=False),
            f"answers.{language}.html": render("worksheet.html", **values, answers=True),
            f"worksheet.{language}.ipynb": make_notebook(lesson, words),
        }
        for file, text in pages.items():
            write_text(text, place / file)
            yield file
    for part in lesson.parts:
        if part.file:
            write_text(part.code + "\n", place / part.file)
            yield part.file
    write_text("\n".join(list_commands(lesson)) + "\n", place / "commands.txt")
    yield "commands.txt"


def list_commands(lesson: Lesson) -> list[str]:
    """List the commands of all parts in order."""
    return [line for part in lesson.parts for line in part.lines]


def make_notebook(lesson: Lesson, words: Mapping[str, str]) -> str:
    """Write a worksheet as a notebook: questions as text, commands as cells that run them."""
    cells = [_text_cell("title", f"# {lesson.title}", lesson.aim, words["notebook"])]
    for number, part in enumerate(lesson.parts, 1):
        cells.append(_text_cell(f"text-{number}", f"## {number}. {part.heading}", part.text))
        code = [*(f"!{line}" for line in part.commands), *filter(None, [part.code])]
        if code:
            cells.append(_code_cell(f"run-{number}", "\n".join(code)))
        if part.question:
            asked = f"**{words['question']}** {part.question}"
            hint = f"<details><summary>{words['hint']}</summary>\n\n{part.hint}\n\n</details>"
            own = f"*{words['own_answer']}*"
            cells.append(_text_cell(f"question-{number}", asked, *([hint] if part.hint else [])))
            cells.append(_text_cell(f"answer-{number}", own))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _text_cell(name: str, *paragraphs: str) -> dict[str, Json]:
    source = _split_lines("\n\n".join(paragraphs))
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def _code_cell(name: str, code: str) -> dict[str, Json]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": _split_lines(code),
    }


def _split_lines(text: str) -> Sequence[str]:
    return text.splitlines(keepends=True)
