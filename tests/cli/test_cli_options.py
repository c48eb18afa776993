"""Every setting is an option with the same name, default and help."""

import dataclasses
import functools
import inspect
import re
from typing import Literal

import pytest
import typer
from shell import invoke
from typer.testing import CliRunner

from nstk.settings import (
    AuditSettings,
    CheckpointSettings,
    FinetuneSettings,
    StylizeSettings,
    setting,
)
from nstk_cli.main import app
from nstk_cli.options import with_settings

MIRRORS = [("stylize", StylizeSettings), ("finetune", FinetuneSettings)]
MIRRORS += [("sweep", StylizeSettings)]
MIRRORS += [("audit", AuditSettings), ("stylize", CheckpointSettings)]
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


@functools.cache
def help_page(command):
    """The help page without white space, because lines break at hyphens, too."""
    return re.sub(r"\s", "", invoke(command, "--help").stdout)


@pytest.mark.parametrize(("command", "field"), FIELDS)
def test_the_help_page_shows_default_and_help(command, field):
    page = help_page(command)
    assert re.sub(r"\s", "", field.metadata["help"]) in page
    off = f"no-{field.name.replace('_', '-')}"
    default = off if field.default is False else field.default
    shown = "" if default is None else f"[default: {default}]"
    assert re.sub(r"\s", "", shown) in page


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
def test_both_jobs_share_the_options_of_the_network(command):
    options = parameters(command)
    assert options["backbone"].default in ("compact", "efficientnet-lite0")
    assert options["weights"].default is None
    assert {"quiet", "json"} <= set(options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EveryKind:
    """A settings class with a field of every type."""

    count: int = setting(3, "A whole number")
    share: float = setting(0.5, "A number")
    word: Literal["warm", "cold"] = setting("warm", "One of two words")
    either: float | Literal["auto", "none"] = setting("auto", "A number or a word")
    maybe: str | None = setting(None, "A text or nothing")
    switch: bool = setting(False, "On or off")


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ([], {}),
        (["--count", "7", "--share", "1e-3"], {"count": 7, "share": 0.001}),
        (["--word", "cold"], {"word": "cold"}),
        (["--either", "2"], {"either": 2.0}),
        (["--either", "none"], {"either": "none"}),
        (["--maybe", "this"], {"maybe": "this"}),
        (["--switch"], {"switch": True}),
    ],
)
def test_settings_of_every_type_become_options(arguments, changed):
    chosen = []
    app = typer.Typer()

    @app.command()
    @with_settings
    def probe(*, settings: EveryKind) -> None:
        chosen.append(settings)

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert chosen == [EveryKind(**changed)]
