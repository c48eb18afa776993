"""Long jobs of the page: their queue, their progress, and the streams that browsers follow."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nstk.errors import NstkError
from nstk.page.process import JobStoppedError, Worker
from nstk.types import Json

State = Literal["waiting", "running", "done", "stopped", "failed"]
Kind = Literal["paint", "train", "tabulate", "open_folder"]

_SECONDS_OF_SILENCE = 15.0
_MOST_JOBS = 200


@dataclass(eq=False)
class Job:
    """One long job, from its request to its result."""

    kind: Kind
    title: str
    folder: Path = field(default_factory=Path)
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    state: State = "waiting"
    stage: str = ""
    step: int = 0
    total: int = 0
    losses: list[float] = field(default_factory=list)
    previews: int = 0
    result: Json = None
    error: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in ("waiting", "running")

    def update(self, event: Json) -> None:
        self.state = "running"
        self.stage, self.step, self.total = event["stage"], event["step"], event["total"]
        self.losses += event["losses"]
        self.previews += bool(event.get("preview"))


class Jobs:
    """All jobs since the server started; those of one lane run one after the other."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: set[asyncio.Queue[str]] = set()
        self.is_ready = False
        worker.on_event = self._receive

    def start(self, job: Job, **values: Json) -> Job:
        """Queue a job."""
        self._jobs[job.id] = job
        for old in [each for each in self.list() if not each.is_active][_MOST_JOBS:]:
            del self._jobs[old.id]
        self._keep(self._run(job, values))
        return job

    def warm_up(self) -> None:
        """Load the worker's libraries before somebody waits for them."""
        self.is_ready = False
        self._keep(self._warm_up())

    async def stop(self, job: Job) -> None:
        """End a job at its next step; what it has made so far is kept."""
        if job.is_active:
            await self._worker.stop_job(job.id)

    def find(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def list(self, *kinds: Kind) -> list[Job]:
        """The jobs of these kinds, the newest first."""
        return [each for each in reversed(self._jobs.values()) if not kinds or each.kind in kinds]

    def publish(self, topic: str) -> None:
        """Tell all browsers that something changed."""
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(topic)

    async def listen(self) -> AsyncIterator[str]:
        """Server-sent events: the topics that change; a comment in silence keeps it open."""
        queue: asyncio.Queue[str] = asyncio.Queue(100)
        self._listeners.add(queue)
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    topic = await asyncio.wait_for(queue.get(), _SECONDS_OF_SILENCE)
                    yield f"data: {json.dumps(topic)}\n\n"
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._listeners.discard(queue)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        """Run in the background; asyncio itself would forget the task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _warm_up(self) -> None:
        with suppress(NstkError):  # the first job will say what is wrong
            await self._worker.call("warm")
            self.is_ready = True
            self.publish("worker")

    async def _run(self, job: Job, values: Json) -> None:
        try:
            job.result = await self._worker.call(job.kind, job.id, **values)
            job.state = "done"
        except JobStoppedError:
            job.state = "stopped"
        except NstkError as error:
            job.state, job.error = "failed", str(error)
        self.publish(job.kind)

    def _receive(self, event: Json) -> None:
        job = self._jobs.get(event["job"])
        if job is not None and job.is_active:
            job.update(event)
            self.publish(job.kind)
