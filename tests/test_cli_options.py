"""Every setting is an option with the same name, default and help."""

import dataclasses
import inspect
import re

import pytest
import typer
from shell import invoke

import nstk
from nstk_cli.main import app
from nstk_cli.options import with_settings

MIRRORS = [("stylize", nstk.StylizeSettings), ("finetune", nstk.FinetuneSettings)]
FIELDS = [(command, field) for command, kind in MIRRORS for field in dataclasses.fields(kind)]


def parameters(command):
    group = typer.main.get_command(app)
    return {parameter.name: parameter for parameter in group.commands[command].params}


@pytest.mark.parametrize(("command", "field"), FIELDS)
def test_the_command_mirrors_the_settings(command, field):
    option = parameters(command)[field.name]
    assert option.opts == ["--" + field.name.replace("_", "-")]
    assert option.default == field.default
    assert option.help == field.metadata["help"]
    assert not option.required


@pytest.mark.parametrize(("command", "field"), FIELDS)
def test_the_help_page_shows_default_and_help(command, field):
    page = re.sub(r"\s+", " ", invoke(command, "--help").stdout)
    assert field.metadata["help"] in page
    assert f"[default: {field.default}]" in page


@pytest.mark.parametrize(("command", "settings"), MIRRORS)
def test_without_options_the_settings_are_the_defaults(command, settings):
    chosen = {}

    @with_settings
    def probe(*, settings: settings, other: int = 3) -> None:
        chosen["settings"], chosen["other"] = settings, other

    defaults = {name: item.default for name, item in inspect.signature(probe).parameters.items()}
    probe(**defaults)
    assert chosen == {"settings": settings(), "other": 3}


@pytest.mark.parametrize("command", ["stylize", "finetune"])
def test_both_jobs_share_the_options_about_the_network(command):
    options = parameters(command)
    assert options["backbone"].default == "compact"
    assert options["weights"].default is None
    assert {"quiet", "json"} <= set(options)
