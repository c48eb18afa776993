"""`nstk backbones`: every name with its size, taps and source of weights."""

import json
import os
import shutil
import sys

from shell import invoke, spawn

from nstk.backbones.listing import backbone_names
from nstk_cli.output import print_table


def test_json_is_one_object_that_lists_every_name():
    answer = json.loads(invoke("backbones", "--json").stdout)
    assert list(answer) == ["backbones"]
    assert tuple(each["name"] for each in answer["backbones"]) == backbone_names()
    for each in answer["backbones"]:
        assert {"name", "source", "parameters", "file_bytes", "input_size", "taps"} <= set(each)


def test_a_table_with_the_packaged_network_first_is_printed():
    heading, first, *rest = invoke("backbones").stdout.splitlines()
    assert heading.split()[:2] == ["name", "parameters"]
    assert first.split()[0] == "compact"
    assert "packaged" in first
    assert "block1_conv1" in first
    assert len(rest) == len(backbone_names()) - 1
    assert all("download" in row for row in rest)


def test_listing_needs_no_tensorflow():
    answer = spawn("backbones", NSTK_LOG="debug")
    assert answer.returncode == 0
    assert answer.stderr == ""


def test_a_terminal_wraps_the_last_column(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((40, 24)))
    print_table(["name", "taps"], [["one", "alpha beta gamma delta epsilon zeta eta theta"]])
    assert capsys.readouterr().out.splitlines() == [
        "name  taps",
        "one   alpha beta gamma delta epsilon",
        "      zeta eta theta",
    ]
