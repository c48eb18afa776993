"""SIGTERM, which asks a process to end, is heard as Ctrl-C is: what can be saved is saved."""

import signal
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143

_received: list[int] = []


def hear_termination() -> None:
    """Let SIGTERM interrupt whatever runs."""
    signal.signal(signal.SIGTERM, _interrupt)


def status_of_interruption() -> int:
    """The exit status of a run that was interrupted: 143 after SIGTERM, 130 after Ctrl-C."""
    return TERMINATED if signal.SIGTERM in _received else INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt
