"""`nstk backbones`: every name with its size, taps and source of weights."""

import json
import os
import shutil
import sys

from shell import invoke

from nstk.backbones.listing import backbone_names
from nstk_cli.output import format_table


def test_json_is_one_object_that_lists_every_name():
    answer = json.loads(invoke("backbones", "--json").stdout)
    assert list(answer) == ["backbones"]
    assert tuple(each["name"] for each in answer["backbones"]) == backbone_names()
    for each in answer["backbones"]:
        assert {"name", "source", "parameters", "file_bytes", "input_size", "taps"} <= set(each)


def test_a_table_with_the_packaged_networks_first_is_printed():
    heading, first, second, *rest = invoke("backbones").stdout.splitlines()
    assert heading.split()[:2] == ["name", "parameters"]
    assert first.split()[0] == "compact"
    assert "packaged" in first
    assert "block1_conv1" in first
    assert second.split()[0] == "efficientnet-lite0"
    assert "packaged" in second
    assert len(rest) == len(backbone_names()) - 2
    assert all("download" in row for row in rest)


def test_a_terminal_wraps_the_last_column(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: os.terminal_size((40, 24)))
    cells = ["one", "alpha beta gamma delta epsilon zeta eta theta"]
    assert format_table(["name", "taps"], [cells]).splitlines() == [
        "name  taps",
        "one   alpha beta gamma delta epsilon",
        "      zeta eta theta",
    ]
