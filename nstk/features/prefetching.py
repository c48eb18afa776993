"""Reading ahead in threads."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_Source = TypeVar("_Source")
_Result = TypeVar("_Result")


def prefetch(
    sources: Iterable[_Source], read: Callable[[_Source], _Result], ahead: int
) -> Generator[_Result]:
    """Read in threads, in order, at most ``ahead`` items before the requested one, at least 1."""
    executor = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8))
    upcoming = iter(sources)
    pending: deque[Future[_Result]] = deque()
    try:
        pending.extend(executor.submit(read, source) for source in islice(upcoming, ahead))
        while pending:
            result = pending.popleft().result()
            pending.extend(executor.submit(read, source) for source in islice(upcoming, 1))
            yield result
    finally:
        executor.shutdown(cancel_futures=True)
