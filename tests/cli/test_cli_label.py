"""`nstk label` and `nstk page` through the command line, with a tiny network."""

import json

import pytest
from shell import complaint, invoke

KEYS = ["output", "images", "answered", "counts", "accuracy", "interval", "worthwhile", "suspects"]


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tiny_backbone):
    monkeypatch.setattr("nstk.labeling.job.load_backbone", lambda name, **_: tiny_backbone)


def test_the_loop_runs_from_a_table_and_finetune_reads_what_it_wrote(color_folder, tmp_path):
    table = color_folder.parent / f"{tmp_path.name}.csv"
    command = ("label", color_folder, "-o", table, "--headless", color_folder)
    result = invoke(*command, "--json", "-q", "--limit", 12)
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert list(answer)[: len(KEYS)] == KEYS
    assert (answer["images"], answer["answered"]) == (24, 12)
    resumed = invoke(*command, "-q")
    assert resumed.exit_code == 0, resumed.stderr
    assert "24 of 24 images labeled" in resumed.stdout
    from nstk.datasets.manifests import read_manifest

    catalog = read_manifest(table)
    assert {catalog.classes[each.labels[0]] for each in catalog.images} == {"blue", "green", "red"}
    assert all(catalog.classes[e.labels[0]] == e.path.parent.name for e in catalog.images)
    table.unlink()


def test_bad_input_is_one_line_and_exit_2_and_nothing_is_written(color_folder, tmp_path):
    other = tmp_path / "images"
    other.mkdir()
    (tmp_path / "taken.csv").write_text("path,label\n")
    before = sorted(tmp_path.rglob("*"))
    new = tmp_path / "l.csv"
    for arguments, said in (
        (["label", tmp_path / "none", "-o", new, "--headless", color_folder], "none"),
        (["label", other, "-o", tmp_path / "l.txt"], "l.txt"),
        (["label", other, "-o", color_folder / "l.csv"], "l.csv"),
        (["label", other, "-o", new, "--headless", tmp_path / "no.csv"], "no.csv"),
        (["label", other, "-o", new, "--headless", color_folder], "images"),
        (["label", other, "-o", tmp_path / "taken.csv", "--headless", color_folder], "taken.csv"),
        (["page", tmp_path / "none"], "none"),
        (["page", tmp_path, "--port", "70000"], "--port"),
        (["page", tmp_path, "--host", "0.0.0.0"], "--i-know-others-can-connect"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2, (arguments, result.stderr)
        assert said in complaint(result)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_page_prints_its_address_with_a_token(monkeypatch, tmp_path):
    served = []

    def serve_page(folder, settings, *, on_ready, **chosen):
        served.append((folder, settings.port, chosen.get("label")))
        on_ready("http://127.0.0.1:8765/?token=secret")

    monkeypatch.setattr("nstk.page.server.serve_page", serve_page)
    (tmp_path / "photos").mkdir()
    assert "/?token=secret" in invoke("page", tmp_path, "--port", 9000).stdout
    assert invoke("label", tmp_path / "photos", "-o", tmp_path / "l.csv").exit_code == 0
    assert served == [(tmp_path, 9000, None), (tmp_path, 8765, ("photos", "l.csv", False))]


def test_without_its_packages_the_page_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("nstk.page.server.find_spec", lambda name: None)
    result = invoke("page", tmp_path)
    assert result.exit_code == 2
    assert "nstk[page]" in complaint(result)
