"""General behavior: fast help, one line for each error, and the exit status."""

import io
import json
import logging
import os
import re
import resource
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
from shell import complaint, environment, invoke, spawn
from typer.testing import CliRunner

from nstk import __version__
from nstk.errors import NstkError
from nstk.heads.metrics import evaluate
from nstk.progress import Progress
from nstk_cli.main import app
from nstk_cli.output import format_duration, format_table, print_json, print_text
from nstk_cli.process import hide_stderr
from nstk_cli.reporting import Bars, Lines, reporting


def test_help_is_fast():
    seconds = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = spawn("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert result.returncode == 0
    assert all(name in result.stdout for name in ("stylize", "finetune", "predict", "backbones"))
    assert min(seconds) < 1.0  # of processor time; 0.2 on a machine of 2024


def test_neither_the_application_nor_listing_backbones_loads_tensorflow():
    code = (
        "import sys; from typer.testing import CliRunner; from nstk_cli.main import app\n"
        "result = CliRunner().invoke(app, ['backbones'])\n"
        "print(result.exit_code, repr(result.stderr), 'tensorflow' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(NSTK_LOG="debug"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "0 '' False\n"


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ()])
def test_help_lists_the_commands(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0
    assert "Commands:" in result.stdout


@pytest.mark.parametrize("group", [(), ("inspect",), ("style",)])
def test_a_group_lists_full_summaries_of_its_commands(group):
    result = invoke(*group)
    assert result.exit_code == 0
    assert result.stdout == invoke(*group, "--help").stdout
    told = " ".join(result.stdout.split())
    assert "..." not in told.partition("Commands:")[2]
    assert told.endswith(".")


@pytest.mark.parametrize(
    "command",
    [
        *("stylize", "style save", "finetune", "predict", "evaluate", "explain", "export", "audit"),
        *("sweep", "inspect frozen"),
        *("inspect layers", "inspect content", "inspect style", "inspect gram"),
    ],
)
def test_every_command_and_every_option_is_explained(command):
    result = invoke(*command.split(), "--help")
    assert result.exit_code == 0
    lines = [*result.stdout.splitlines(), ""]
    for line, following in pairwise(lines):
        bare = re.fullmatch(r"  (-\w, )?--[\w-]+( \S+)?", line.rstrip())
        # The help of a long option begins on the next line, far to the right.
        assert not bare or following.startswith(" " * 10), f"no help: {line}"
    assert "--json" in result.stdout


def test_the_version_is_that_of_the_library():
    assert invoke("--version").stdout == f"nstk {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stilyze",), "'stylize'"),
        (("--color",), "--color"),
        (("stylize",), "CONTENT"),
        (("stylize", "a.png"), "STYLE"),
        (("stylize", "a.png", "b.png"), "--output"),
        (("stylize", "a.png", "b.png", "-o", "c.png", "--stepz", "3"), "--steps"),
        (("stylize", "a.png", "b.png", "-o", "c.png", "--size", "big"), "'--size'"),
        (("stylize", "a.png", "b.png", "-o", "c.png", "--scales", "big"), "--scales"),
        (("stylize", "a.png", "b.png", "-o", "c.png", "--preview-every", "-1"), "--preview-every"),
    ],
)
def test_a_usage_error_is_one_line_that_points_to_the_help(arguments, said):
    result = invoke(*arguments)
    line = complaint(result)
    assert said in line
    assert line.endswith(" --help`.")
    assert result.exit_code == 2


def test_an_unexpected_error_is_one_line_and_exit_1(tmp_path, monkeypatch):
    def fail(path):
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("nstk.images.encoding.check_output", fail)
    result = invoke("stylize", "a.png", "b.png", "-o", tmp_path / "c.png")
    assert result.exit_code == 1
    assert complaint(result) == (
        "nstk: unexpected ZeroDivisionError: a b. Set NSTK_LOG=debug to see the traceback."
    )


def test_debug_mode_shows_the_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("NSTK_LOG", "debug")
    result = invoke("stylize", "a.png", "b.png", "-o", tmp_path / "missing" / "c.png")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "OutputError" in result.stderr


def test_ctrl_c_at_the_start_is_one_line_and_exit_130(tmp_path, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("nstk.images.encoding.check_output", interrupt)
    result = invoke("stylize", "a.png", "b.png", "-o", tmp_path / "c.png")
    assert result.exit_code == 130
    assert complaint(result) == "nstk: interrupted."


def test_json_is_strict_and_on_one_line(capsys, tmp_path):
    print_json({"path": tmp_path, "loss": float("nan"), "terms": {"a": 1.5}, "top": ({"é": 1},)})
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "é" in line
    assert json.loads(line) == {
        "path": str(tmp_path),
        "loss": None,
        "terms": {"a": 1.5},
        "top": [{"é": 1}],
    }


def test_characters_that_standard_output_cannot_encode_are_escaped():
    said = "print(format_table(['a → b'], [])); print_json({'path': 'é'})"
    imports = "from nstk_cli.output import format_table, print_json"
    code = f"{imports}; from nstk_cli.process import prepare_process; prepare_process(); {said}"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=True,
    )
    table, line = answer.stdout.splitlines()
    assert table == b"a \\u2192 b"
    assert json.loads(line) == {"path": "é"}


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_harmless(closed):
    line = f'exec "$0" -m nstk_cli --version {closed}'
    run = subprocess.run(
        ["sh", "-c", line, sys.executable], env=environment(), capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == b""
    assert (run.stdout == b"") == (" >&-" in f" {closed}")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("fine", "finetune"), ("finetune --unfr", "--unfreeze"), ("stylize --color la", "lab")],
)
def test_completion_knows_commands_options_and_values(typed, offered):
    words = f"nstk {typed}"
    result = CliRunner().invoke(
        app,
        env={
            "_NSTK_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        prog_name="nstk",
    )
    assert result.stdout.split() == [offered]


def test_a_table_is_aligned_and_its_cells_cannot_break_lines():
    table = format_table(["class", "right"], [["ant", 7], ["b\n\x1b", 12]], right=["right"])
    assert table.splitlines() == [
        "class      right",
        "ant            7",
        "b\\n\\u001b     12",
    ]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (
            ("ant", "bee"),
            [
                "true \\ predicted  ant  bee",
                "ant                 1    1",
                "bee                 0    2",
            ],
        ),
        (
            ("a" * 40, "b" * 40),
            [f"true \\ predicted{' ' * 29}1  2", f" 1 {'a' * 40}  1  1", f" 2 {'b' * 40}  0  2"],
        ),
    ],
)
def test_a_confusion_matrix_has_names_or_numbers_as_headings(names, shown, capsys):
    targets, assigned = np.eye(2, dtype=bool)[[[0, 0, 1, 1], [0, 1, 1, 1]]]
    found = evaluate(targets, assigned, assigned * 1.0, names)
    print_text("confusion.txt", evaluation=found)
    assert capsys.readouterr().out.splitlines() == ["", *shown]
    print_text("confusion.txt", evaluation=evaluate(targets, targets, targets * 1.0, names))
    assert capsys.readouterr().out == "", "there are no errors"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.311, "0.31 s"), (12.36, "12.4 s"), (200.2, "3 min 20 s")]
)
def test_durations_are_formatted_for_readers(seconds, words):
    assert format_duration(seconds) == words


def test_plain_lines_appear_at_the_end_of_a_stage_and_every_ten_seconds(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    report = Lines()
    now += 60  # imports
    for step in range(5):
        report(Progress(stage="64×48", step=step, total=4, loss=0.5))
        now += 6
    assert capsys.readouterr().err.splitlines() == [
        "nstk: 64×48: 2/4, loss 0.5, 12.0 s left",
        "nstk: 64×48: 4/4, loss 0.5, 24.0 s",
    ]


def test_a_short_stage_prints_no_line(capsys):
    report = Lines()
    for step in range(5):
        report(Progress(stage="scan", step=step, total=4))
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar_with_the_loss(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with reporting() as report:
        assert isinstance(report, Bars)
        for step in range(4):
            report(Progress(stage="64×48", step=step, total=4, loss=0.25))
        logging.getLogger("nstk").warning("by the way")
        shown = [(task.description, task.completed, task.total) for task in report.progress.tasks]
    assert shown == [("64×48", 3, 4)]
    assert "loss 0.25" in terminal.getvalue()
    assert "nstk: by the way" in terminal.getvalue()


def test_a_terminal_shows_the_last_stages(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with reporting() as report:
        for run in range(20):
            report(Progress(stage=f"run {run}", step=0, total=4))
        shown = [task.description for task in report.progress.tasks]
    assert shown == [f"run {run}" for run in range(12, 20)]


def test_quiet_shows_errors_only(capsys):
    with reporting(quiet=True) as report:
        report(Progress(stage="64×48", step=4, total=4))
        logging.getLogger("nstk").warning("by the way")
        logging.getLogger("nstk").error("this matters")
    assert capsys.readouterr().err == "nstk: this matters\n"
    assert not any("Stderr" in str(each) for each in logging.getLogger("nstk").handlers)


def write_noise(error=None):
    """Write to standard error as native code does, with output hidden."""
    with hide_stderr():
        os.write(2, b"noise\n")
        if error:
            raise error


def test_output_of_native_code_is_hidden_unless_it_fails_or_is_requested(capfd, monkeypatch):
    monkeypatch.delenv("NSTK_LOG", raising=False)
    write_noise()
    assert capfd.readouterr().err == ""
    with pytest.raises(ZeroDivisionError):
        write_noise(ZeroDivisionError())
    assert capfd.readouterr().err == "noise\n"
    with pytest.raises(NstkError):
        write_noise(NstkError("the whole message"))
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("NSTK_LOG", "debug")
    write_noise()
    assert capfd.readouterr().err == "noise\n"
