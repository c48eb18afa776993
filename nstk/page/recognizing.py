"""The tab Recognize: classifiers, their training and report, single images, and whole folders."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from nstk.errors import FolderError, NstkError, SettingsError
from nstk.page.jobs import Job
from nstk.page.security import REPORT_POLICY
from nstk.page.site import Site, check_listed, go_to, keep_uploads, read_form, show_preview
from nstk.types import Json

MOST_ROWS = 200
"""Rows of a folder's table that the page shows; the file has all."""

SHOWN_SIDE = 640
"""Longer side of images beside their maps, in pixels."""

_NAME = re.compile(r"[\w-][\w -]{0,40}")


class RecognizeTab:
    """The handlers of the tab."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._overlays = TemporaryDirectory(prefix="nstk-page-")
        self._shown: dict[str, Path] = {}
        self.routes = [
            Route("/recognize", self.show, methods=["GET"]),
            Route("/recognize", self.predict, methods=["POST"]),
            Route("/recognize/train", self.train, methods=["POST"]),
            Route("/recognize/folder", self.tabulate, methods=["POST"]),
            Route("/recognize/overlay/{name}", self.show_overlay, methods=["GET"]),
            Route("/recognize/report/{job}", self.show_report, methods=["GET"]),
            Route("/recognize/table/{job}", self.download_table, methods=["GET"]),
        ]

    def close(self) -> None:
        """Remove the maps that were shown."""
        self._overlays.cleanup()

    async def show(self, request: Request) -> Response:
        return self._render(request)

    async def predict(self, request: Request) -> Response:
        """Predict the images that were uploaded."""
        form = await read_form(request)
        model = form.text("model")
        try:
            path = self._find_model(model)
            images = keep_uploads(self.site, form, "images")
            if not images:
                raise SettingsError("No image was chosen; choose one, or take one.")
            values: dict[str, Json] = {"model": str(path), "images": list(map(str, images))}
            made = await self.site.worker.call("recognize", overlays=self._overlays.name, **values)
        except NstkError as error:
            return self._render(request, 422, model=model, error=str(error))
        self.site.recognized = {"model": model, **self._publish(made)}
        return go_to("recognize#answers")

    async def train(self, request: Request) -> Response:
        """Start to make a classifier."""
        form = await read_form(request)
        workspace = self.site.workspace
        try:
            listed = [*workspace.list_folders(), *workspace.list_tables()]
            data = check_listed(form.text("data"), listed, "a folder or table")
            name = form.text("name").strip() or Path(data).stem or workspace.root.name
            if not _NAME.fullmatch(name):
                raise SettingsError(f"{name!r} as a name; give letters, digits and spaces.")
        except NstkError as error:
            return self._render(request, 422, error=str(error))
        output = workspace.make_folder("classifiers") / f"{name}.keras"
        values = {"data": str(workspace.resolve(data)), "output": str(output)}
        self.site.jobs.start(Job("train", name, output.parent), **values)
        return go_to("recognize")

    async def tabulate(self, request: Request) -> Response:
        """Start to predict a whole folder."""
        form = await read_form(request)
        workspace, model = self.site.workspace, form.text("model")
        try:
            path = self._find_model(model)
            folder = check_listed(form.text("folder"), workspace.list_folders(), "a folder")
        except NstkError as error:
            return self._render(request, 422, model=model, error=str(error))
        stem = workspace.resolve(folder).name
        output = workspace.make_folder("tables") / f"{workspace.name_result(stem)}.csv"
        values = {"model": str(path), "folder": str(workspace.resolve(folder))}
        job = Job("tabulate", stem, output)
        self.site.jobs.start(job, output=str(output), most=MOST_ROWS, **values)
        return go_to("recognize#folder")

    async def show_overlay(self, request: Request) -> Response:
        path = self._shown.get(request.path_params["name"])
        if path is None or not path.is_file():
            raise FolderError("There is no such image any more; ask again.")
        return await show_preview(path, SHOWN_SIDE)

    async def show_report(self, request: Request) -> Response:
        result = self._result(request, "train")
        return FileResponse(result["report"], headers={"content-security-policy": REPORT_POLICY})

    async def download_table(self, request: Request) -> Response:
        path = Path(self._result(request, "tabulate")["table"])
        return FileResponse(path, media_type="text/csv", filename=path.name)

    def _render(self, request: Request, status: int = 200, **values: object) -> Response:
        workspace, models = self.site.workspace, self.site.workspace.list_classifiers()
        shared: dict[str, object] = {
            "models": models,
            "model": self.site.recognized.get("model", models[0] if models else ""),
            "folders": workspace.list_folders(),
            "tables": workspace.list_tables(),
            "trainings": self.site.jobs.list("train"),
            "batches": self.site.jobs.list("tabulate"),
            "answers": self.site.recognized,
            "show_path": lambda path: workspace.show(Path(path)),
        }
        return self.site.render(request, "recognize", status=status, **(shared | values))

    def _find_model(self, model: str) -> Path:
        listed = self.site.workspace.list_classifiers()
        if not listed:
            raise SettingsError("There is no classifier yet; make one first.")
        return self.site.workspace.resolve(check_listed(model, listed, "a classifier"))

    def _publish(self, made: Mapping[str, Json]) -> dict[str, Json]:
        """Give the images of an answer names that requests can ask for."""
        predictions = []
        self._shown = {}
        for each in made["predictions"]:
            names = {}
            for kind, path in (("image", each["path"]), ("map", each["overlay"])):
                names[kind] = secrets.token_hex(8) if path else ""
                if path:
                    self._shown[names[kind]] = Path(path)
            predictions.append(each | names | {"name": Path(each["path"]).name})
        return {**made, "predictions": predictions}

    def _result(self, request: Request, kind: str) -> Mapping[str, Json]:
        job = self.site.jobs.find(request.path_params["job"])
        if job is None or job.kind != kind or job.result is None:
            raise FolderError("There is no such result; start it again.")
        result: Mapping[str, Json] = job.result
        return result
