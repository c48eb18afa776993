"""`nstk audit` through the command line, with a tiny network."""

import json
import zipfile

import pytest
from labeled_images import draw_folder
from shell import complaint, invoke

KEYS = [
    "images",
    "classes",
    "unreadable",
    "wrong_extension",
    "exact_duplicates",
    "near_duplicates",
    "cross_class_duplicates",
    "cross_split_duplicates",
    "label_suspects",
    "outliers",
    "tiny",
    "blurred",
    "dark",
    "low_contrast",
    "skipped",
    "notices",
    "backbone",
    "executor",
    "seconds",
    "report",
    "deterministic",
]


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tiny_backbone):
    monkeypatch.setattr("nstk.auditing.job.load_backbone", lambda name, **_: tiny_backbone)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of eight; a copy in the wrong class, and a text file."""
    root = draw_folder(tmp_path_factory.mktemp("images") / "data", 8)
    (root / "red" / "copy.png").write_bytes((root / "blue" / "0.png").read_bytes())
    (root / "red" / "notes.jpg").write_text("not an image")
    return root


def test_json_is_one_object_with_exactly_the_fixed_keys(data):
    result = invoke("audit", data, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert list(answer) == KEYS
    copies = [str(data / "blue/0.png"), str(data / "red/copy.png")]
    assert answer["exact_duplicates"] == answer["cross_class_duplicates"] == [copies]
    assert answer["cross_split_duplicates"] == []
    assert [file["path"] for file in answer["unreadable"]] == [str(data / "red/notes.jpg")]
    assert answer["classes"][0] == {"name": "blue", "images": 8, "train": 8}
    assert str(data / "red/copy.png") in {each["path"] for each in answer["label_suspects"]}
    assert answer["report"] is None
    assert result.stderr == ""


def test_a_table_and_short_lists_are_printed(data, tmp_path):
    result = invoke("audit", data, "--report", tmp_path / "report")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["class", "images"]
    assert lines[1].split() == ["blue", "8"]
    assert "exact duplicates (1):" in lines
    assert "  blue/0.png  red/copy.png" in lines
    assert f"{tmp_path / 'report' / 'audit.html'}: report" in lines
    assert lines[-1].startswith("17 images, ")
    assert result.stdout.endswith(" s\n")
    assert (tmp_path / "report" / "audit.html").is_file()


def test_images_of_a_manifest_have_its_paths(data):
    files = [file.relative_to(data.parent) for file in sorted(data.rglob("*.png"))]
    table = data.parent / "labels.csv"
    table.write_text("\n".join(["path,label", *(f"{file},{file.parent.name}" for file in files)]))
    result = invoke("audit", table)
    assert result.exit_code == 0, result.stderr
    copies = f"  {data.name}/blue/0.png  {data.name}/red/copy.png"
    assert copies in result.stdout.splitlines()


def test_bad_input_is_one_line_and_exit_2_and_nothing_is_written(data, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "bad.csv").write_text("path,label\n../secret.png,a\n")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../evil.png", b"")
    before = sorted(tmp_path.rglob("*"))
    for arguments, said in (
        ([tmp_path / "missing"], "missing"),
        ([tmp_path / "file"], "file"),
        ([tmp_path / "bad.csv"], "../secret.png"),
        ([tmp_path / "bad.zip"], "../evil.png"),
        ([data, "--report", tmp_path / "file"], "file"),
        ([data, "--near-distance", 99], "--near-distance is 99"),
    ):
        result = invoke("audit", *arguments)
        assert result.exit_code == 2, result.stderr
        assert said in complaint(result)
    assert sorted(tmp_path.rglob("*")) == before
