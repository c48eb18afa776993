"""Keeping TensorFlow's own log off the terminal, unless ``NSTK_LOG=debug`` asks for it."""

import importlib.util
import io
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import nstk

STDERR = 2
DETERMINISTIC = "TF_DETERMINISTIC_OPS"


def debugging() -> bool:
    """Whether the user asked for every log line and traceback with ``NSTK_LOG=debug``."""
    return os.environ.get("NSTK_LOG", "").lower() == "debug"


def is_deterministic() -> bool:
    """Whether TensorFlow was told to compute the same bits every time."""
    return os.environ.get(DETERMINISTIC, "").lower() in ("1", "true")


def prepare_process() -> None:
    """Set the stage for TensorFlow, before anything imports it, and for letters of any script.

    Keras is told which of its engines to use, whatever the user's own Keras settings say, and
    TensorFlow to compute the same bits every time, unless ``TF_DETERMINISTIC_OPS=0`` forbids it.
    Python's standard error becomes a duplicate of the process's, so that `loading` can hold
    back what C++ writes there without holding back what the shell says. Letters that the terminal
    or file behind standard output does not know are escaped there.
    """
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault(DETERMINISTIC, "1")
    if debugging():
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    sys.stderr = os.fdopen(
        os.dup(STDERR), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )
    sys.meta_path.insert(0, QuietImport())


def open_closed_streams() -> None:
    """Give a process that was started without a standard stream, as by ``>&-``, an empty one.

    The next file to be opened would otherwise take its number, and all that C++ says there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


class QuietImport(MetaPathFinder):
    """Holds back what TensorFlow writes while it is imported, whoever is the first to need it.

    Names of the library are imported when they are first used, so no command can tell which of
    them brings TensorFlow.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find TensorFlow once, as whoever comes next on the path would."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_quietly(module: ModuleType) -> None:
                with loading():
                    execute(module)

            vars(spec.loader)["exec_module"] = execute_quietly
        return spec


@contextmanager
def loading() -> Iterator[None]:
    """Hold back what engines write while the block runs; show it after all if one of them fails.

    TensorFlow's first lines, and those of its converters, are written by C++ whatever the log
    level, so only the file descriptor stops them. What the library raises on purpose says
    everything itself.
    """
    if debugging():
        yield
        return
    terminal = os.dup(STDERR)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        except (nstk.NstkError, KeyboardInterrupt):
            raise
        except BaseException:
            held.seek(0)
            with os.fdopen(os.dup(terminal), "wb") as shown:
                shutil.copyfileobj(held, shown)
            raise
        finally:
            os.dup2(terminal, STDERR)
            os.close(terminal)
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
