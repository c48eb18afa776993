"""Every lesson is complete in both languages, and what it asks to type exists."""

import json
import re
import shlex
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import typer
from browsing import check_page
from shell import complaint, invoke

from nstk.errors import OutputError
from nstk.images.loading import load_image
from nstk.lessons.kit import LANGUAGES, list_commands, read_lesson, read_words, write_kit
from nstk.lessons.samples import LESSONS, draw_samples, shuffle_tiles
from nstk.settings import LessonName
from nstk_cli.main import app

KOREAN_TERMS = ("전이 학습", "합성곱", "그람 행렬", "경사 하강법", "과적합", "신뢰 구간")


def list_images(folder):
    kinds = (".jpg", ".png")
    return sorted(path for path in folder.rglob("*") if path.suffix in kinds)


@pytest.fixture(scope="module", params=LESSONS)
def kit(request, tmp_path_factory):
    """A small copy of each lesson: its name and its folder."""
    folder = tmp_path_factory.mktemp("lessons") / request.param
    write_kit(request.param, folder, share=0.1)
    return request.param, folder


def test_the_names_of_the_lessons_are_those_of_the_command():
    assert get_args(LessonName) == LESSONS
    assert len(LESSONS) == 7


@pytest.mark.parametrize("name", LESSONS)
def test_both_languages_have_the_same_parts_and_every_question_has_hint_and_answer(name):
    english, korean = (read_lesson(name, language) for language in LANGUAGES)
    assert len(english.parts) == len(korean.parts) >= 3
    assert english.minutes == korean.minutes <= 45
    for lesson in (english, korean):
        for part in lesson.parts:
            assert part.heading
            assert part.text
            assert part.question.endswith("?") or "?" in part.question or "." in part.question
            assert part.hint
            assert part.answer
    hangul = re.compile("[가-힣]")
    for one, other in zip(english.parts, korean.parts, strict=True):
        for field in ("heading", "text", "question", "hint", "answer"):
            assert not hangul.search(getattr(one, field))
            assert hangul.search(getattr(other, field))
        code = re.compile("`[^`]*`")
        assert sorted(set(code.findall(one.text))) == sorted(set(code.findall(other.text)))
        assert (one.commands, one.code, one.file) == (other.commands, other.code, other.file)
    assert read_words("en").keys() == read_words("ko").keys()


def test_a_kit_has_worksheets_answers_commands_and_images(kit):
    name, folder = kit
    texts = {path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".png"}
    for language in LANGUAGES:
        assert {
            f"worksheet.{language}.html",
            f"worksheet.{language}.ipynb",
            f"answers.{language}.html",
        } <= texts
    assert (folder / "commands.txt").read_text("utf-8").splitlines() == list_commands(
        read_lesson(name, "en")
    )
    images = list_images(folder)
    assert len(images) >= 3
    assert all(np.std(load_image(path).pixels) > 0.02 for path in images[:3])


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_are_in_their_own_file_only(kit, language):
    name, folder = kit
    lesson = read_lesson(name, language)
    sheet, answers = (
        check_page((folder / f"{kind}.{language}.html").read_text("utf-8"))
        for kind in ("worksheet", "answers")
    )
    assert sheet.values("lang") == [language]
    assert sheet.tags.count("details") == len(lesson.parts)
    notebook = (folder / f"worksheet.{language}.ipynb").read_text("utf-8")
    for part in lesson.parts:
        words = part.answer.split()[-3:]
        assert all(word in answers.text for word in words)
        assert " ".join(words) not in sheet.text
        assert " ".join(words) not in notebook


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notebook_runs_the_same_commands(kit, language):
    name, folder = kit
    notebook = json.loads((folder / f"worksheet.{language}.ipynb").read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    typed = [line[1:] for cell in code for line in "".join(cell["source"]).splitlines()]
    lesson = read_lesson(name, language)
    for command in (command for part in lesson.parts for command in part.commands):
        assert command in typed
    for part in lesson.parts:
        assert not part.code or any("".join(cell["source"]) == part.code for cell in code)


@pytest.mark.parametrize("name", LESSONS)
def test_every_command_exists_with_its_options(name):
    group = typer.main.get_command(app)
    for line in list_commands(read_lesson(name, "en")):
        program, *words = shlex.split(line)
        if program == "python":
            continue
        assert program == "nstk"
        command, context = group, typer.Context(group)
        while hasattr(command, "commands"):
            command = command.get_command(context, words.pop(0))
            context = typer.Context(command)
        command.make_context(line, words)  # raises where an option or a value does not exist


@pytest.mark.parametrize("name", LESSONS)
def test_what_a_command_reads_lies_in_the_folder_or_was_written_before(name, tmp_path):
    draw_samples(name, tmp_path, share=0.05)
    lesson = read_lesson(name, "en")
    known = {path.name for path in tmp_path.iterdir()} | {part.file for part in lesson.parts}
    for line in list_commands(lesson):
        words = shlex.split(line)
        outputs = [words[k + 1] for k, word in enumerate(words) if word in ("-o", "--report")]
        files = [word for word in words[1:] if re.search(r"\.(png|keras|py)$", word)]
        for file in files:
            assert file in known or file in outputs, line
        known |= set(outputs)


def test_the_same_seed_draws_the_same_images(tmp_path):
    drawn = []
    for place, seed in (("one", 1), ("same", 1), ("other", 2)):
        (tmp_path / place).mkdir()
        draw_samples("shortcut", tmp_path / place, seed=seed, share=0.05)
        drawn.append([path.read_bytes() for path in list_images(tmp_path / place)])
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == len(set(drawn[0]))


def test_training_folders_grow_and_share_nothing_with_the_test(tmp_path):
    draw_samples("few-images", tmp_path, share=0.05)

    def read(name):
        return {path.read_bytes() for path in (tmp_path / name).rglob("*.jpg")}

    assert [len(read(f"train-{size:02}")) for size in (4, 12, 36)] == [12, 36, 108]
    assert read("train-04") < read("train-12") < read("train-36")
    assert not read("train-36") & read("test")


def test_a_leak_is_in_data_and_not_in_honest(tmp_path):
    draw_samples("leak", tmp_path, share=0.2)

    def beetles(place):
        return {
            f"{path.parent.name}/{path.stem.rpartition('-')[0]}"
            for path in (tmp_path / place).rglob("*.jpg")
        }

    assert beetles("data/test") == beetles("data/train")
    assert not beetles("honest/test") & beetles("honest/train")
    assert beetles("honest/test") | beetles("honest/train") == beetles("data/train")


def test_shuffled_tiles_are_the_same_tiles():
    image = np.random.default_rng(0).random((32, 48, 3), np.float32)
    shuffled = shuffle_tiles(image, np.random.default_rng(1))
    assert not np.array_equal(image, shuffled)
    np.testing.assert_array_equal(np.sort(image, axis=None), np.sort(shuffled, axis=None))
    tile = image[:4, :6]
    assert any(
        np.array_equal(tile, shuffled[y : y + 4, x : x + 6])
        for y in range(0, 32, 4)
        for x in range(0, 48, 6)
    )


def test_a_folder_with_files_is_refused_and_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.keras").write_text("a week of work")
    with pytest.raises(OutputError, match="mine"):
        write_kit("layers", tmp_path / "mine", share=0.05)
    result = invoke("lesson", "layers", "-o", tmp_path / "mine")
    assert result.exit_code == 2
    assert "mine" in complaint(result)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["model.keras"]


def test_the_command_lists_files_and_commands(tmp_path):
    folder = tmp_path / "gram"
    result = invoke("lesson", "gram", "-o", folder, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    described = json.loads(result.stdout)
    assert all(Path(file).is_file() for file in described["files"])
    assert "python shuffle.py" in described["commands"]
    unknown = invoke("lesson", "alchemy", "-o", tmp_path / "x")
    assert unknown.exit_code == 2
    assert "few-images" in complaint(unknown)


def test_korean_texts_use_the_terms_of_the_field():
    texts = [
        path.read_text("utf-8")
        for path in [
            *(Path(__file__).parents[2] / "nstk" / "lessons" / "texts").glob("*.toml"),
            Path(__file__).parents[2] / "docs" / "teaching.ko.md",
        ]
    ]
    for term in KOREAN_TERMS:
        assert any(term in text for text in texts), term
