"""The process: its streams, signals and environment, and TensorFlow's log output."""

import importlib.util
import io
import logging
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType

from nstk.errors import NstkError

STDERR = 2
DETERMINISTIC = "TF_DETERMINISTIC_OPS"
INTERRUPTED, TERMINATED = 130, 143

_received: list[int] = []


def is_debugging() -> bool:
    return os.environ.get("NSTK_LOG", "").lower() == "debug"


def is_deterministic() -> bool:
    return os.environ.get(DETERMINISTIC, "").lower() in ("1", "true")


def prepare_process() -> None:
    """Set up streams and environment before TensorFlow is imported.

    Keras uses its TensorFlow backend regardless of the user's Keras configuration, and TensorFlow
    deterministic operations unless ``TF_DETERMINISTIC_OPS=0`` disables them. Python's standard
    error becomes a duplicate of the process's, so that `hide_stderr` can hide what C++ code
    writes there without hiding our own messages. Characters that standard output cannot encode
    are escaped.
    """
    open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault(DETERMINISTIC, "1")
    if is_debugging():
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    sys.stderr = os.fdopen(
        os.dup(STDERR), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )
    sys.meta_path.insert(0, QuietImport())


def open_closed_streams() -> None:
    """Open standard streams that were closed when the process started, as by ``>&-``.

    Otherwise the next file to be opened would get the stream's number and receive its output.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


class QuietImport(MetaPathFinder):
    """Hides what TensorFlow writes while it is imported.

    The library imports TensorFlow lazily, so a command does not know which call imports it.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_quietly(module: ModuleType) -> None:
                with hide_stderr():
                    execute(module)

            vars(spec.loader)["exec_module"] = execute_quietly
        return spec


@contextmanager
def hide_stderr() -> Iterator[None]:
    """Hide what the block writes to standard error; show it if the block fails unexpectedly.

    C++ code of TensorFlow and of its converters writes some lines at any log level, so only the
    file descriptor can stop them. Exceptions of the library need no such output.
    """
    if is_debugging():
        yield
        return
    from nstk.storage.files import find_temporary_folder

    folder, terminal = find_temporary_folder(), os.dup(STDERR)
    with tempfile.TemporaryFile(dir=folder) as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        except (NstkError, KeyboardInterrupt):
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


def handle_sigterm() -> None:
    """Let SIGTERM interrupt the process as Ctrl-C does, so that results are saved."""
    signal.signal(signal.SIGTERM, _interrupt)


def interruption_status() -> int:
    """Return the exit status of an interrupted run: 143 after SIGTERM, 130 after Ctrl-C."""
    return TERMINATED if signal.SIGTERM in _received else INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt
