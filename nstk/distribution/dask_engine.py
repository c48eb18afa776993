"""Dask as the engine: functions run on its workers, and results come back in order."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from importlib import import_module
from itertools import islice
from typing import Any, Self, TypeVar

from nstk.errors import SettingsError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

RETRIES = 3
"""How often a task is repeated whose worker was lost."""

WINDOW = 512
"""Tasks that are submitted at a time: enough for others to go on while one worker is slow."""

_SECONDS_TO_CONNECT = 20


class DaskEngine:
    """A Dask cluster: processes of this machine, or a scheduler that is running; a context manager.

    Args:
        address: ``local``, ``local:WORKERS``, or the address of a scheduler, ``tcp://HOST:PORT``.
            Workers of another machine need nstk and the same paths to the files.

    Raises:
        SettingsError: If Dask is not installed, the address is none, or nobody answers there.
    """

    def __init__(self, address: str) -> None:
        self._stack = ExitStack()
        kind, _, rest = address.partition(":")
        try:
            if kind == "local" and (not rest or int(rest) > 0):
                self._start_local(int(rest) if rest else None)
            elif "://" in address:
                self._connect(address)
            else:
                raise ValueError("no such form")
        except ImportError as error:
            raise SettingsError("Dask is not installed; pip install 'nstk[dask]'.") from error
        except (OSError, TimeoutError) as error:
            raise SettingsError(f"`dask` is {address!r}, where no scheduler answers.") from error
        except ValueError as error:
            raise SettingsError(
                f"`dask` is {address!r}; it must be local, local:WORKERS or tcp://HOST:PORT."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(
        self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]
    ) -> Iterator[_Result]:
        """Run a function on every task; a task whose worker is lost is run again elsewhere.

        Raises:
            SettingsError: If a task lost its workers again and again.
        """
        from distributed import KilledWorker

        upcoming = iter(tasks)

        def submit(count: int) -> list[Any]:
            return [
                self.client.submit(function, task, pure=False, retries=RETRIES)
                for task in islice(upcoming, count)
            ]

        waiting = deque(submit(WINDOW))
        try:
            while waiting:
                result: _Result = waiting.popleft().result()
                waiting.extend(submit(1))
                yield result
        except KilledWorker as error:
            raise SettingsError(
                f"Dask lost {RETRIES} workers in one task; give each worker more memory, or choose "
                "fewer workers."
            ) from error
        finally:
            self.client.cancel(list(waiting))

    def prepare(self, module: str, function: str, *arguments: object) -> None:
        """Let every worker call a function, such as one that loads a model, without waiting."""
        self.client.run(_call, module, function, arguments, wait=False)

    def _start_local(self, workers: int | None) -> None:
        from distributed import LocalCluster

        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        processors = processors or os.cpu_count() or 1
        workers = workers or processors
        threads = str(max(1, processors // workers))
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=None,
            silence_logs=logging.ERROR,
            env={"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": "1"},
        )
        self._connect(self._stack.enter_context(cluster))

    def _connect(self, cluster: Any) -> None:
        from distributed import Client

        self.client = self._stack.enter_context(Client(cluster, timeout=_SECONDS_TO_CONNECT))


def _call(module: str, function: str, arguments: tuple[object, ...]) -> None:
    with suppress(Exception):  # the first task says what is wrong
        getattr(import_module(module), function)(*arguments)
