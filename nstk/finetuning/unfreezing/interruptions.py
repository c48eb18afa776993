"""Ctrl-C and SIGTERM at a moment when everything stands still."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NUMBERS = signal.SIGINT, signal.SIGTERM


@contextmanager
def postpone_interruptions() -> Iterator[None]:
    """Let signals that come while the block runs take effect at its end.

    Signals reach the main thread alone; in any other the block just runs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def wait(number: int, frame: Any) -> None:
        waiting.append(number)

    former = {number: signal.signal(number, wait) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])
