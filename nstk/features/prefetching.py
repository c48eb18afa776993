"""Passing files through a network: threads read ahead while it works on what they have read."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

BATCH = 32
"""How many images go through a network together."""

_Source = TypeVar("_Source")
_Outcome = TypeVar("_Outcome")


def read_ahead(
    sources: Iterable[_Source], read: Callable[[_Source], _Outcome], ahead: int
) -> Generator[_Outcome]:
    """Read in threads, in order, never more than ``ahead`` files before the one asked for.

    Args:
        sources: The files, or whatever else is to be read.
        read: Reads one; must be thread-safe.
        ahead: How many, at least 1.
    """
    executor = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8))
    upcoming = iter(sources)
    waiting: deque[Future[_Outcome]] = deque()
    try:
        waiting.extend(executor.submit(read, source) for source in islice(upcoming, ahead))
        while waiting:
            outcome = waiting.popleft().result()
            waiting.extend(executor.submit(read, source) for source in islice(upcoming, 1))
            yield outcome
    finally:
        executor.shutdown(cancel_futures=True)
