"""Workflows, containers and templates say what is true of this project."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from shell import invoke

import nstk

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}
STEPS = [
    step for each in WORKFLOWS.values() for job in each["jobs"].values() for step in job["steps"]
]


def matches(pattern, text):
    return re.findall(pattern, text, re.MULTILINE)


def test_workflows_call_targets_that_make_has():
    [targets] = matches(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"))
    called = {word for step in STEPS for word in matches(r"^make (\w+)", step.get("run", ""))}
    assert {"lint", "test", "docs", "dependencies", "demo"} <= called
    assert called <= set(targets.split())


def test_the_pythons_of_the_workflow_are_those_of_the_classifiers():
    prefix = "Programming Language :: Python :: 3."
    declared = [each.split(" :: ")[-1] for each in PROJECT["classifiers"] if prefix in each]
    for job in ("test", "windows"):
        assert WORKFLOWS["ci"]["jobs"][job]["strategy"]["matrix"]["python"] == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"


def test_no_job_may_write_but_those_that_publish():
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}
        for job, each in workflow["jobs"].items():
            assert "permissions" not in each or "publish" in job, (name, job)


def test_a_release_uses_no_stored_token():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert WORKFLOWS["release"]["jobs"]["publish"]["permissions"]["id-token"] == "write"


def test_version_changelog_and_citation_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == nstk.__version__
    assert f"## [{nstk.__version__}] - {citation['date-released']}\n" in changelog
    assert PROJECT["urls"]["Source"] == citation["repository-code"]


def test_a_bug_report_asks_for_nstk_doctor():
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8"))
    [doctor] = [each for each in form["body"] if each["id"] == "doctor"]
    assert "`nstk doctor`" in doctor["attributes"]["label"]
    assert doctor["validations"]["required"]


def test_the_page_in_a_container_is_reached_from_this_machine_alone():
    page = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["page"]
    assert all(port.startswith("127.0.0.1:") for port in page["ports"])
    assert page["cap_drop"] == ["ALL"]
    help = invoke(page["command"][0], "--help").stdout
    assert all(word in help for word in page["command"] if word.startswith("--"))


def test_a_container_runs_without_privileges_and_gets_only_the_packages():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert int(next(line for line in lines if line.startswith("USER ")).split()[1]) > 0
    extras = next(line for line in lines if "EXTRAS=" in line).partition("=")[2]
    assert extras in PROJECT["optional-dependencies"]
    kept = matches(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"))
    copied = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]}
    assert copied - {"--from=build", "/opt/nstk"} == set(kept)


@pytest.mark.parametrize("word", ["Documentation", "Source", "Issues", "Changelog"])
def test_the_project_has_addresses(word):
    assert PROJECT["urls"][word].startswith("https://")


def test_every_extra_and_its_packages_are_explained():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = dict(matches(r"^\| `(\w+)` \| (.*)$", text))
    for extra, packages in PROJECT["optional-dependencies"].items():
        if extra not in ("all", "dev"):
            names = [re.split(r"[^\w-]", package)[0] for package in packages]
            assert all(f"`{name}`" in rows[extra] for name in names), extra
