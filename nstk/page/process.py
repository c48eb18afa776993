"""The server's side of the worker process: starts it, talks to it, and survives its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from nstk.errors import NstkError
from nstk.types import Json

_LIMIT = 64 * 2**20
"""Longest line of a reply, in bytes: the paths of many images."""


class WorkerError(NstkError):
    """A request failed in the worker, or the worker ended."""


class JobStoppedError(WorkerError):
    """A job was stopped before it had a result."""


class Worker:
    """One process for TensorFlow, started when it is needed and again after it ended."""

    def __init__(self, root: Path, backbone: str | None, cache: Path | None) -> None:
        self._arguments = [str(root), backbone or "", str(cache or "")]
        self._process: asyncio.subprocess.Process | None = None
        self._replies: asyncio.Task[None] | None = None
        self._pending: dict[int, asyncio.Future[Json]] = {}
        self._count = 0
        self._starting = asyncio.Lock()
        self._closing = False
        self.on_event: Callable[[Json], None] = lambda event: None
        self.on_end: Callable[[str], None] = lambda reason: None

    async def call(self, action: str, job: str = "", **values: Json) -> Json:
        """Run an action in the worker.

        Raises:
            WorkerError: The message of its error, or that the worker ended.
        """
        process = await self._start()
        self._count += 1
        number, reply = self._count, asyncio.get_running_loop().create_future()
        self._pending[number] = reply
        self._send(process, {"id": number, "action": action, "job": job, "values": values})
        return await reply

    async def stop_job(self, job: str) -> None:
        """End a job at its next step."""
        if self._process is not None:
            self._send(self._process, {"id": 0, "action": "stop", "values": {"job": job}})

    async def close(self) -> None:
        """End the worker, if it runs."""
        self._closing = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 3)
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def _start(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None:
                environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": _paths()}
                environment |= {"KERAS_BACKEND": "tensorflow"}
                is_debugging = os.environ.get("NSTK_LOG", "").lower() == "debug"
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "nstk.page.worker", *self._arguments),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=None if is_debugging else asyncio.subprocess.DEVNULL,
                    limit=_LIMIT,
                    env=environment,
                    start_new_session=True,  # so that Ctrl-C reaches the server alone
                )
                self._replies = asyncio.create_task(self._read(self._process))
            return self._process

    def _send(self, process: asyncio.subprocess.Process, value: Json) -> None:
        assert process.stdin is not None
        process.stdin.write((json.dumps(value) + "\n").encode())

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand replies and events on until the worker ends; then say so to all who wait."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            value = json.loads(line)
            if "id" not in value:
                self.on_event(value)
            elif (reply := self._pending.pop(value["id"], None)) and not reply.done():
                if value.get("stopped"):
                    reply.set_exception(JobStoppedError("stopped"))
                elif "error" in value:
                    reply.set_exception(WorkerError(value["error"]))
                else:
                    reply.set_result(value["result"])
        status = await process.wait()
        self._process = None
        reason = f"The process that computes ended ({_describe(status)}); it is started again."
        pending, self._pending = self._pending, {}
        for reply in pending.values():
            if not reply.done():
                reply.set_exception(WorkerError(reason))
        if not self._closing:
            self.on_end(reason)


def _describe(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def _paths() -> str:
    """Where this package was found, for a process that starts elsewhere."""
    places = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, places))
