"""The page on a free port, in a thread of the test's process."""

import socket
import threading
import time
from contextlib import contextmanager

import uvicorn

from nstk.page.access import AccessRules
from nstk.page.app import Application
from nstk.page.process import Worker, WorkerError
from nstk.page.site import Site
from nstk.page.workspace import Workspace


class IdleWorker(Worker):
    """A worker without a process: it answers with what a test gave it."""

    def __init__(self):
        super().__init__("", None, None)
        self.replies, self.asked = {}, []

    async def call(self, action, job="", **values):
        self.asked.append((action, values))
        if action not in self.replies:
            raise WorkerError("nothing is computed here")
        return self.replies[action]

    async def stop_job(self, job):
        self.asked.append(("stop", {"job": job}))


@contextmanager
def serve(folder, worker=None, **access):
    """Serve a folder while the block runs; yields the site."""
    listening = socket.create_server(("127.0.0.1", 0))
    worker = worker or IdleWorker()
    site = Site(Workspace(folder), worker, AccessRules(listening.getsockname()[1], **access))
    application = Application(site)
    server = uvicorn.Server(
        uvicorn.Config(application.app, log_level="error", timeout_graceful_shutdown=1, ws="none")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield site
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
