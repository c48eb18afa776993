"""The application: routes of all tabs, images, events, and what happens when something fails."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from nstk.errors import NstkError
from nstk.page.access import AccessRules
from nstk.page.labeling import LabelTab
from nstk.page.languages import LANGUAGES
from nstk.page.painting import PaintTab
from nstk.page.process import Worker
from nstk.page.recognizing import RecognizeTab
from nstk.page.security import AccessControl, TooLargeError
from nstk.page.site import TABS, Site, read_form, show_preview
from nstk.page.workspace import Workspace

LARGE, SMALL = 1280, 320
"""Longer sides of images and thumbnails, in pixels."""

_MAX_CONNECTIONS = 200
_STATIC = {"page.css": "text/css", "page.js": "text/javascript", "masks.js": "text/javascript"}


class Application:
    """The page of one folder, as an ASGI application."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.label = LabelTab(site)
        self.open_at_start: tuple[str, str, bool] | None = None
        self.recognize = RecognizeTab(site)
        tabs = [*PaintTab(site).routes, *self.recognize.routes, *self.label.routes]
        self.app = Starlette(
            routes=[
                Route("/", self.welcome),
                Route("/events", self.follow),
                Route("/language", self.choose_language, methods=["POST"]),
                Route("/jobs/{job}/stop", self.stop, methods=["POST"]),
                Route("/jobs/{job}/preview", self.show_preview),
                Route("/results/{name}/{file}", self.show_result),
                Route("/image/{place:path}", self.show_image),
                Route("/static/{file}", self.serve_static),
                *tabs,
            ],
            middleware=[Middleware(AccessControl, access=site.access)],
            exception_handlers={
                NstkError: _show_error,
                TooLargeError: _show_too_large,
                HTTPException: _show_http_error,
            },
            lifespan=self._run,
        )
        self.app.router.redirect_slashes = False

    async def welcome(self, request: Request) -> Response:
        return RedirectResponse(f"/{self.site.start}", 303)

    async def follow(self, request: Request) -> Response:
        return StreamingResponse(self.site.jobs.listen(), media_type="text/event-stream")

    async def choose_language(self, request: Request) -> Response:
        form = await read_form(request)
        tab, language = form.text("tab"), form.text("language")
        answer = RedirectResponse(f"/{tab if tab in TABS else self.site.start}", 303)
        if language in LANGUAGES:
            answer.set_cookie("language", language, max_age=31536000, samesite="strict")
        return answer

    async def stop(self, request: Request) -> Response:
        job = self.site.jobs.find(request.path_params["job"])
        if job is None:
            raise HTTPException(404, "There is no such job.")
        await self.site.jobs.stop(job)
        form = await read_form(request)
        tab = form.text("tab")
        return RedirectResponse(f"/{tab if tab in TABS else self.site.start}", 303)

    async def show_preview(self, request: Request) -> Response:
        job = self.site.jobs.find(request.path_params["job"])
        path = Path() if job is None else job.folder / "preview.jpg"
        if not path.is_file():
            raise HTTPException(404, "There is no preview yet.")
        return FileResponse(path)

    async def show_result(self, request: Request) -> Response:
        names = request.path_params
        path = self.site.workspace.result_file(names["name"], names["file"])
        if "thumb" in request.query_params:
            return await show_preview(path, SMALL * 2)
        name = f"{names['name']}{path.suffix}"
        return FileResponse(path, filename=name, content_disposition_type="inline")

    async def show_image(self, request: Request) -> Response:
        """An image of the folder, always encoded again: ``/image/label/3`` or by its path."""
        place = request.path_params["place"]
        state = self.site.labeling
        kind, _, number = place.partition(":")
        if kind == "label" and number.isdecimal() and int(number) < len(state.images):
            path = state.images[int(number)]
        else:
            path = self.site.workspace.resolve(place)
        return await show_preview(path, SMALL if "thumb" in request.query_params else LARGE)

    async def serve_static(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in _STATIC:
            raise HTTPException(404, "There is no such page.")
        content = resources.files("nstk.page").joinpath("static", name).read_bytes()
        if name == "page.css":  # the reports' colors, type, tables and charts
            report = resources.files("nstk.reports").joinpath("templates", name)
            content = report.read_bytes() + content
        return Response(content, media_type=_STATIC[name])

    @asynccontextmanager
    async def _run(self, app: Starlette) -> AsyncIterator[None]:
        """Start the worker at once, so that it is ready when the first form is sent."""
        self.site.jobs.warm_up()
        if self.open_at_start is not None:
            folder, table, multi_label = self.open_at_start
            self.label.open(folder, table, multi_label=multi_label)
        try:
            yield
        finally:
            self.recognize.close()
            await self.site.worker.close()


def serve(
    root: Path,
    listening: socket.socket,
    access: AccessRules,
    backbone: str | None,
    cache: Path | None,
    label: tuple[str, str, bool] | None,
) -> None:
    """Answer the connections of a socket until Ctrl-C or SIGTERM."""
    workspace = Workspace(root)
    site = Site(workspace, Worker(workspace.root, backbone, cache), access)
    application = Application(site)
    if label is not None:
        site.start, application.open_at_start = "label", label
    config = uvicorn.Config(
        application.app,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listening])


async def _show_error(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"nstk: {error}\n", 400)


async def _show_too_large(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"nstk: {error}\n", 413, headers={"connection": "close"})


async def _show_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"nstk: {error.detail}\n", error.status_code)
