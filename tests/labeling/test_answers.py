"""Answers on disk: nothing is lost, and `finetune` reads them."""

import csv

import pytest

from nstk.datasets.manifests import read_manifest
from nstk.errors import OutputError, SettingsError
from nstk.labeling.answers import AnswerFile, check_label


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.png", "c.png", "sub/d.png"):
        (tmp_path / name).touch()
    return tmp_path


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_each_answer_is_a_line_and_no_line_is_ever_changed(folder):
    table = folder / "labels.csv"
    with AnswerFile(table, folder) as answers:
        before = b""
        for image, label in (("a.png", "ant"), ("sub/d.png", "bee"), ("a.png", "bee")):
            answers.append(folder / image, frozenset([label]))
            assert table.read_bytes().startswith(before)
            before = table.read_bytes()
        assert answers.undo() == folder / "a.png"
        assert table.read_bytes().startswith(before)
    written = [tuple(row[:2]) for row in rows(table)[1:]]
    corrected = [("a.png", "ant"), ("sub/d.png", "bee"), ("a.png", "bee"), ("a.png", "ant")]
    assert written == corrected


def test_the_last_answers_are_what_finetune_reads(folder):
    table = folder / "labels.csv"
    with AnswerFile(table, folder) as answers:
        for image, label in (
            ("a.png", "ant"),
            ("b.png", "ant"),
            ("c.png", "bee"),
            ("a.png", "bee"),
        ):
            answers.append(folder / image, frozenset([label]))
        answers.append(folder / "sub/d.png", frozenset(["wasp"]))
        answers.undo()
        known = answers.answers
    catalog = read_manifest(table)
    found = {each.path: catalog.classes[each.labels[0]] for each in catalog.images}
    assert found == {path: next(iter(labels)) for path, labels in known.items()}
    assert found == {folder / "a.png": "bee", folder / "b.png": "ant", folder / "c.png": "bee"}


def test_several_labels_and_none_are_answers(folder):
    table = folder / "labels.csv"
    with AnswerFile(table, folder, multi_label=True) as answers:
        answers.append(folder / "a.png", frozenset(["red", "round"]))
        answers.append(folder / "b.png", frozenset())
        answers.append(folder / "c.png", frozenset(["red"]))
        known = answers.answers
    with AnswerFile(table, folder, multi_label=True) as again:
        assert again.answers == known
    catalog = read_manifest(table)
    assert catalog.multi_label
    assert [len(each.labels) for each in sorted(catalog.images, key=lambda i: i.path)] == [2, 0, 1]


def test_undo_goes_back_through_all_answers_even_of_an_earlier_session(folder):
    table = folder / "labels.csv"
    with AnswerFile(table, folder) as answers:
        answers.append(folder / "a.png", frozenset(["ant"]))
        answers.append(folder / "b.png", frozenset(["bee"]))
    with AnswerFile(table, folder) as again:
        assert [again.undo(), again.undo(), again.undo()] == [
            folder / "b.png",
            folder / "a.png",
            None,
        ]
        assert again.answers == {}


def test_a_line_that_a_crash_cut_off_is_left_out(folder):
    table = folder / "labels.csv"
    with AnswerFile(table, folder) as answers:
        answers.append(folder / "a.png", frozenset(["ant"]))
    whole = table.read_bytes()
    table.write_bytes(whole + b"b.png,be")
    with AnswerFile(table, folder) as again:
        assert again.answers == {folder / "a.png": frozenset(["ant"])}
        again.append(folder / "b.png", frozenset(["bee"]))
    assert table.read_bytes().startswith(whole + b"b.png,bee,")


def test_without_an_answer_no_file_is_left(folder):
    with AnswerFile(folder / "labels.csv", folder):
        pass
    assert sorted(path.name for path in folder.glob("*labels*")) == []


def test_two_runs_cannot_write_one_table(folder):
    with (
        AnswerFile(folder / "labels.csv", folder),
        pytest.raises(OutputError, match=r"labels\.csv"),
    ):
        AnswerFile(folder / "labels.csv", folder)


@pytest.mark.parametrize("content", ["path,label\na.png,ant\n", "path,labels,answered_at\n", "x\n"])
def test_another_table_is_refused_and_kept(folder, content):
    table = folder / "labels.csv"
    table.write_text(content)
    with pytest.raises(OutputError):
        AnswerFile(table, folder)
    assert table.read_text() == content


def test_the_table_lies_where_finetune_finds_the_images(folder):
    for path in (folder / "sub" / "labels.csv", folder / "labels.txt", folder / "no" / "l.csv"):
        with pytest.raises(OutputError):
            AnswerFile(path, folder)
    with AnswerFile(folder / "labels.csv", folder / "sub") as answers:
        answers.append(folder / "sub/d.png", frozenset(["bee"]))
    assert rows(folder / "labels.csv")[1][0] == "sub/d.png"


@pytest.mark.parametrize("label", ["", "  ", "a\x00b"])
def test_labels_are_names(label):
    with pytest.raises(SettingsError):
        check_label(label, multi_label=False)


def test_labels_of_several_cannot_hold_what_separates_them():
    assert check_label("  honey\n bee ", multi_label=False) == "honey bee"
    assert check_label("a|b", multi_label=False) == "a|b"
    with pytest.raises(SettingsError):
        check_label("a|b", multi_label=True)
