"""The tab Label: one image after the other, and what is known after each answer."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nstk.errors import NstkError, SettingsError
from nstk.page.jobs import Job
from nstk.page.site import (
    Form,
    LabelState,
    Site,
    check_listed,
    go_to,
    read_form,
)
from nstk.reports.figures import LineChart, Series

MOST_KEYS = 9
"""Labels that a digit chooses."""


class LabelTab:
    """The handlers of the tab."""

    def __init__(self, site: Site) -> None:
        self.site = site
        site.on_restart = self._open_again
        self.routes = [
            Route("/label", self.show, methods=["GET"]),
            Route("/label/start", self.start, methods=["POST"]),
            Route("/label/answer", self.answer, methods=["POST"]),
            Route("/label/close", self.close, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        self._take_opened()
        return self._render(request)

    async def start(self, request: Request) -> Response:
        """Open a folder for labeling."""
        form = await read_form(request)
        workspace = self.site.workspace
        try:
            folder = check_listed(form.text("folder"), workspace.list_folders(), "a folder")
            table = form.text("table", "labels.csv").strip()
            if Path(table).name != table or not table.endswith(".csv") or table.startswith("."):
                raise SettingsError(f"{table!r} as a table; give a name that ends in .csv.")
        except NstkError as error:
            return self._render(request, 422, error=str(error))
        self.open(folder, table, multi_label=bool(form.text("multi_label")))
        return go_to("label")

    def open(self, folder: str, table: str, *, multi_label: bool) -> None:
        """Start to open a folder, from the page or from the command line."""
        workspace = self.site.workspace
        job = Job("open_folder", folder)
        self.site.labeling = LabelState(folder, table, multi_label, job.id)
        values = {"folder": str(workspace.resolve(folder)), "multi_label": multi_label}
        self.site.jobs.start(job, table=str(workspace.root / table), **values)

    async def answer(self, request: Request) -> Response:
        """Take an answer, a skip or an undo, and show the next question."""
        form = await read_form(request)
        try:
            await self._send(form)
        except NstkError as error:
            return self._render(request, 422, error=str(error))
        return go_to("label")

    async def close(self, request: Request) -> Response:
        """Go back to the choice of a folder; all answers are in the table."""
        state = self.site.labeling
        self.site.labeling = LabelState(state.folder, state.table, state.multi_label)
        return go_to("label")

    async def _send(self, form: Form) -> None:
        worker, state = self.site.worker, self.site.labeling
        action, image = form.text("action", "answer"), form.text("image")
        if not state.images:
            raise SettingsError("No folder is open for labeling; open one.")
        if not image.isdecimal() or int(image) >= len(state.images):
            raise SettingsError(f"{image!r} is not an image of this folder; reload the page.")
        asked = state.reply["question"]
        if asked is not None and int(image) != asked["image"]:
            raise SettingsError("Another window has answered this question; here is the next one.")
        if action == "undo":
            state.reply = await worker.call("undo")
        elif action == "skip":
            state.reply = await worker.call("skip", image=int(image))
        else:
            labels = [*form.texts.get("label", ()), *form.text("new_label").split(",")]
            labels = [each for each in dict.fromkeys(map(str.strip, labels)) if each]
            state.reply = await worker.call("answer", image=int(image), labels=labels)
        status = state.reply["status"]
        if status["accuracy"] is not None and status["answered"]:
            state.accuracies.append((status["answered"], status["accuracy"]))

    def _open_again(self) -> None:
        """Continue after the end of a worker: all answers are in the table."""
        state = self.site.labeling
        if state.images:
            self.open(state.folder, state.table, multi_label=state.multi_label)
            self.site.labeling.accuracies = state.accuracies

    def _take_opened(self) -> None:
        """Take over what the worker found in the folder, once it is open."""
        state = self.site.labeling
        job = self.site.jobs.find(state.job)
        if job is not None and job.state == "done" and not state.images:
            state.images = [Path(each) for each in job.result["images"]]
            state.reply = job.result

    def _render(self, request: Request, status: int = 200, **values: object) -> Response:
        state, workspace = self.site.labeling, self.site.workspace
        question = state.reply.get("question")
        shared: dict[str, object] = {
            "state": state,
            "job": self.site.jobs.find(state.job),
            "question": question,
            "known": state.reply.get("status"),
            "labels": self._order_labels(),
            "folders": workspace.list_folders() if not state.job else [],
            "name": state.images[question["image"]].name if question else "",
            "chart": draw_accuracy(state.accuracies),
            "most_keys": MOST_KEYS,
        }
        return self.site.render(request, "label", status=status, **(shared | values))

    def _order_labels(self) -> list[tuple[str, float | None]]:
        """All labels in the order in which they came, so that keys stay, with their shares."""
        reply = self.site.labeling.reply
        question = reply.get("question") or {"suggestions": []}
        shares: dict[str, float] = dict(question["suggestions"])
        return [(name, shares.get(name)) for name in reply.get("labels", [])]


def draw_accuracy(accuracies: list[tuple[int, float]]) -> LineChart | None:
    """The accuracy after each answer."""
    if len(accuracies) < 3:
        return None
    series = Series("", [x for x, _ in accuracies], [100 * y for _, y in accuracies])
    return LineChart([series], "answers", "accuracy in %", y_range=(0, 100), height=220)
