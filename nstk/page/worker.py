"""The process that runs TensorFlow for the page; it reads requests and writes replies as JSON.

A line on standard input is ``{"id": 3, "action": "answer", "values": {…}}``. A line on standard
output is its reply, ``{"id": 3, "result": …}`` or ``{"id": 3, "error": "one line"}``, or an event
of a job, ``{"job": "…", "step": 4, …}``. Requests wait in lanes, so that a long job does not delay
an answer. The end of the input ends the process.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from nstk.errors import NstkError
from nstk.page.actions import ACTIONS, Context
from nstk.progress import Progress
from nstk.types import Json

_SECONDS_BETWEEN_EVENTS = 0.25
_log = logging.getLogger("nstk")


@dataclass
class Stopped:
    """The jobs that are to end."""

    jobs: set[str] = field(default_factory=set)
    everything: bool = False

    def includes(self, job: str) -> bool:
        return self.everything or job in self.jobs


class JobReporter:
    """Writes the progress of a job as events; ends a job that is to stop as Ctrl-C would."""

    def __init__(self, job: str, write: Callable[[Json], None], stopped: Stopped) -> None:
        self.job, self.preview = job, Path()
        self._write, self._stopped = write, stopped
        self._stage, self._last = "", 0.0
        self._losses: list[float] = []

    def __call__(self, progress: Progress) -> None:
        if self._stopped.includes(self.job):
            raise KeyboardInterrupt
        if progress.loss is not None:
            self._losses.append(progress.loss)
        now = time.monotonic()
        done = progress.step >= progress.total
        if progress.stage == self._stage and now - self._last < _SECONDS_BETWEEN_EVENTS:
            return
        self._stage, self._last = progress.stage, now
        event = {"job": self.job, "stage": progress.stage, "step": progress.step}
        event |= {"total": progress.total, "losses": self._losses, "done": done}
        self._losses = []
        if progress.preview is not None and self.preview.name:
            from nstk.images.encoding import save_image

            save_image(self.preview, progress.preview())
            event["preview"] = True
        self._write(event)


def serve(requests: TextIO, replies: TextIO, context: Context) -> None:
    """Answer requests until their end."""
    lock, stopped = threading.Lock(), Stopped()
    lanes: dict[str, ThreadPoolExecutor] = {}

    def write(value: Json) -> None:
        text = json.dumps(value)
        with lock:
            replies.write(text + "\n")
            replies.flush()

    def run(request: Mapping[str, Json]) -> None:
        number, job = request["id"], str(request.get("job") or "")
        reporter = JobReporter(job, write, stopped)
        try:
            if stopped.includes(job):
                raise KeyboardInterrupt
            action = ACTIONS[request["action"]]
            if job:
                write({"job": job, "stage": "", "step": 0, "total": 0, "losses": []})
            write({"id": number, "result": action.run(context, reporter, **request["values"])})
        except NstkError as error:
            write({"id": number, "error": str(error)})
        except KeyboardInterrupt:
            write({"id": number, "error": "", "stopped": True})
        except Exception as error:
            _log.exception("%s failed", request.get("action"))
            cause = f"Unexpected {type(error).__name__}: {error}"
            write({"id": number, "error": f"{cause}. Set NSTK_LOG=debug to see the traceback."})

    for line in requests:
        request = json.loads(line)
        if request["action"] == "stop":
            stopped.jobs.add(request["values"]["job"])
            continue
        lane = ACTIONS[request["action"]].lane
        lanes.setdefault(lane, ThreadPoolExecutor(1, thread_name_prefix=lane)).submit(run, request)
    stopped.everything = True
    for executor in lanes.values():
        executor.shutdown(cancel_futures=True)


def main() -> None:
    """Take over standard output: what TensorFlow prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    root, backbone, cache = sys.argv[1:4]
    serve(sys.stdin, replies, Context(Path(root), backbone or None, Path(cache) if cache else None))


if __name__ == "__main__":
    main()
