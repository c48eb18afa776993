"""A file of predictions has complete lines at all times, and can be resumed from any of them."""

import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.classifiers.prediction.job import stream_predictions
from nstk.classifiers.prediction.layouts import CsvLayout, JsonLinesLayout
from nstk.classifiers.prediction.prediction import Prediction, PredictSettings
from nstk.classifiers.prediction.results import ResultsFile
from nstk.errors import OutputError

EXTENSIONS = (".csv", ".jsonl")
LAYOUTS = (CsvLayout, JsonLinesLayout)


@pytest.fixture(scope="module")
def folder(color_folder):
    """Twelve images."""
    return sorted(color_folder.glob("*/*"))[:12]


@pytest.fixture(scope="module")
def classifier(color_classifier):
    return color_classifier


@pytest.fixture(scope="module")
def predictions(classifier, folder):
    return [*stream_predictions(classifier, folder, PredictSettings(batch=4))]


def write(path, classifier, folder, *, count=None, resume=False):
    """Predict into a file, as the command does; stop after ``count`` images."""
    with ResultsFile(path, classifier, resume=resume) as results:
        stream = stream_predictions(classifier, folder, PredictSettings(batch=4), done=results.done)
        for number, each in enumerate(stream):
            if number == count:
                break
            results.append(each)
    return path


@pytest.fixture(scope="module", params=EXTENSIONS)
def whole(request, classifier, folder, tmp_path_factory):
    """The file of an uninterrupted run."""
    return write(tmp_path_factory.mktemp("whole") / f"labels{request.param}", classifier, folder)


def test_a_resumed_run_gives_the_same_bytes(whole, classifier, folder, tmp_path):
    expected = whole.read_bytes()
    for count in (0, 1, 6, 12):
        path = tmp_path / f"{count}{whole.suffix}"
        write(path, classifier, folder, count=count)
        assert expected.startswith(path.read_bytes() if count else b"")
        write(path, classifier, folder, resume=True)
        assert path.read_bytes() == expected


def test_a_file_truncated_anywhere_is_resumed(whole, classifier, predictions, tmp_path):
    expected = whole.read_bytes()
    for cut in [*range(0, len(expected), 97), len(expected) - 1, len(expected)]:
        path = tmp_path / f"{cut}{whole.suffix}"
        path.write_bytes(expected[:cut])
        with ResultsFile(path, classifier, resume=True) as results:
            for each in predictions:
                if (each.path, each.digest) not in results.done:
                    results.append(each)
        assert path.read_bytes() == expected


def test_earlier_predictions_are_replaced_by_the_first_line(whole, classifier, folder, tmp_path):
    path = tmp_path / f"labels{whole.suffix}"
    before = write(path, classifier, folder[::-1]).read_bytes()
    ResultsFile(path, classifier).close()
    assert path.read_bytes() == before
    assert write(path, classifier, folder).read_bytes() == whole.read_bytes()
    path.write_bytes(b"")
    assert write(path, classifier, folder).read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "path,label\n0.png,mine\n"),
        ("labels.csv", "notes of mine"),
        ("labels.jsonl", '{"path": "0.png", "label": "mine"}\n'),
    ],
)
def test_what_nstk_did_not_write_is_not_replaced(classifier, tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(OutputError, match=name):
        ResultsFile(path, classifier)
    assert path.read_text() == content


def test_a_file_with_the_longest_name_is_written(classifier, predictions, tmp_path):
    path = tmp_path / f"{'n' * 251}.csv"
    with ResultsFile(path, classifier) as results:
        results.append(predictions[0])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_both_formats_have_the_same_values(classifier, folder, tmp_path):
    rows, lines = (write(tmp_path / f"labels{end}", classifier, folder) for end in EXTENSIONS)
    with rows.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    entries = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    facts = ["ood_score", "is_ood", "sha256", "classifier"]
    assert list(entries[0]) == ["path", "label", "probability", "top", *facts]
    assert [float(row["ood_score"]) for row in table] == [row["ood_score"] for row in entries]
    assert len(table) == len(entries) == 12
    for row, entry in zip(table, entries, strict=True):
        assert [row[key] for key in ("path", "label", "sha256")] == [
            entry[key] for key in ("path", "label", "sha256")
        ]
        assert float(row["probability_2"]) == entry["top"][1]["probability"]
        assert row["classifier"] == entry["classifier"] == classifier.digest[:16]


@given(st.text(st.characters(exclude_characters="\0"), min_size=1), st.floats(0, 1))
def test_every_file_name_is_restored(name, probability):
    paths = {name, os.fsdecode(name.encode("utf-8", "replace")), os.fsdecode(b'\xff\xfe\n"')}
    for path in paths:
        each = Prediction(
            Path(path), "ä\n,", probability, ("ä\n,",), (("ä\n,", probability),), "ab"
        )
        for layout in (
            CsvLayout(1),
            JsonLinesLayout(1),
            CsvLayout(1, True),
            JsonLinesLayout(1, True),
        ):
            try:
                record = layout.write(each, "cd")
            except UnicodeEncodeError:
                assert not Path(path).as_posix().isprintable()  # no file is called that
                continue
            assert [*layout.split(io.BytesIO(record + b"half"))] == [record]
            assert layout.read(record) == (str(Path(path)), "ab", "cd")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("notes of mine", "labels.csv"),
        ("{}\n", "labels.csv"),
        ("path,label\r\n", "top"),
        ('{"path": "a"}\n', "record 1"),
        ('{"path": 3\n', "record 1"),
    ],
)
def test_another_file_is_not_resumed(classifier, tmp_path, content, said):
    path = tmp_path / ("labels.jsonl" if content.startswith('{"') else "labels.csv")
    path.write_bytes(content.encode())
    with pytest.raises(OutputError, match="resume") as caught:
        ResultsFile(path, classifier, resume=True)
    assert said in str(caught.value)
    assert path.read_bytes() == content.encode()


def test_another_classifier_or_number_of_labels_is_refused(whole, classifier, tmp_path):
    path = tmp_path / f"labels{whole.suffix}"
    path.write_bytes(whole.read_bytes())
    with pytest.raises(OutputError, match="classifier"):
        ResultsFile(path, replace(classifier, classes=("cold", "mild", "warm")), resume=True)
    with pytest.raises(OutputError, match=r"top|3 classes"):
        ResultsFile(path, classifier, top=1, resume=True)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_another_abstention_threshold_is_refused(classifier, folder, tmp_path, extension):
    path = tmp_path / f"labels{extension}"
    with ResultsFile(path, classifier, abstain_below=0.6) as results:
        settings = PredictSettings(abstain_below=0.6)
        results.append(next(stream_predictions(classifier, folder[:1], settings)))
    with pytest.raises(OutputError, match=r"abstain_below. is None and was 0\.6"):
        ResultsFile(path, classifier, resume=True)
    with pytest.raises(OutputError, match=r"abstain_below. is 0\.7 and was 0\.6"):
        ResultsFile(path, classifier, abstain_below=0.7, resume=True)
    with ResultsFile(path, classifier, abstain_below=0.6, resume=True) as results:
        assert len(results.done) == 1


@pytest.mark.parametrize("name", ["labels", "labels.txt", "missing/labels.csv", "folder.csv"])
def test_a_path_that_cannot_be_written_is_refused(classifier, tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError):
        ResultsFile(tmp_path / name, classifier)
    assert [each.name for each in tmp_path.iterdir()] == ["folder.csv"]


def test_a_full_disk_leaves_complete_lines(
    whole, classifier, predictions, folder, tmp_path, monkeypatch
):
    path = tmp_path / f"labels{whole.suffix}"

    class Filling:
        """A file that writes half of the content, and then nothing."""

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, content):
            if len(content) < 30:
                raise OSError(28, "No space left on device")
            return self.file.write(content[: len(content) // 2])

    with ResultsFile(path, classifier) as results:
        results.append(predictions[0])
        written = path.read_bytes()
        monkeypatch.setattr(results, "_file", Filling(results._file))
        with pytest.raises(OutputError, match=r"No space left.*resume"):
            results.append(predictions[1])
        assert path.read_bytes() == written
    assert write(path, classifier, folder, resume=True).read_bytes() == whole.read_bytes()


def test_a_removed_file_is_noticed(classifier, predictions, tmp_path):
    with ResultsFile(tmp_path / "labels.csv", classifier) as results:
        results.append(predictions[0])
        (tmp_path / "labels.csv").unlink()
        with pytest.raises(OutputError, match="removed"):
            results.append(predictions[1])


def test_two_runs_cannot_write_to_one_file(whole, classifier, predictions, tmp_path):
    each = predictions[0]
    path = tmp_path / f"labels{whole.suffix}"
    with ResultsFile(path, classifier) as first:
        first.append(each)
        written = path.read_bytes()
        with pytest.raises(OutputError, match=r"Another run|labels"):
            ResultsFile(path, classifier, resume=True)
        with pytest.raises(OutputError, match=r"Another run|labels"):
            ResultsFile(path, classifier).append(each)
        assert path.read_bytes() == written
    ResultsFile(path, classifier, resume=True).close()
