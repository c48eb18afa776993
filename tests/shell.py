"""Running commands: in this process, or in a process of their own as a user does."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from nstk_cli.main import app

ROOT = Path(__file__).resolve().parents[1]


def invoke(*arguments):
    """Run a command in this process; has ``exit_code``, ``stdout`` and ``stderr``."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def environment(**changes):
    """The environment of a user who has nstk installed and no log settings."""
    inherited = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    inherited |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")]),
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    return inherited | changes


def spawn(*arguments, **changes):
    """Run a command in a process of its own; has ``returncode``, ``stdout`` and ``stderr``."""
    return subprocess.run(
        [sys.executable, "-m", "nstk_cli", *map(str, arguments)],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def complaint(result):
    """The single line on standard error of a command that failed; standard output is empty."""
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("nstk: ")
    return lines[0]
