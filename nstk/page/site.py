"""What all tabs share: the workspace, the worker, the jobs, and how a page is rendered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from nstk.errors import ImageError
from nstk.page.access import AccessRules
from nstk.page.jobs import Jobs
from nstk.page.languages import LANGUAGES, choose_language, translate
from nstk.page.process import Worker
from nstk.page.workspace import Workspace, encode_preview
from nstk.reports.pages import make_environment
from nstk.types import Json

TABS = {"paint": "Paint", "recognize": "Recognize", "label": "Label"}

MAX_UPLOADS, MAX_FIELDS = 100, 200


@dataclass(eq=False)
class LabelState:
    """The labeling that is open, as the page shows it."""

    folder: str = "."
    table: str = "labels.csv"
    multi_label: bool = False
    job: str = ""
    images: Sequence[Path] = ()
    reply: Mapping[str, Json] = field(default_factory=dict)
    accuracies: list[tuple[int, float]] = field(default_factory=list)


@dataclass(eq=False)
class Site:
    """The page of one folder."""

    workspace: Workspace
    worker: Worker
    access: AccessRules
    start: str = "paint"
    labeling: LabelState = field(default_factory=LabelState)
    recognized: Mapping[str, Json] = field(default_factory=dict)
    notice: str = ""
    on_restart: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.worker)
        self.worker.on_end = self._report_end

    def render(
        self, request: Request, tab: str, *, status: int = 200, **values: object
    ) -> Response:
        """A tab as HTML, in the language of the request."""
        language = choose_language(
            request.cookies.get("language", ""), request.headers.get("accept-language", "")
        )
        template = _environment().get_template(f"{tab}.html")
        words = partial(translate, language)
        shared = {"_": words, "language": language, "languages": LANGUAGES, "tabs": TABS}
        shared |= {"tab": tab, "site": self, "notice": self.notice, "error": "", "sections": []}
        return HTMLResponse(template.render(**(shared | values)), status)

    def _report_end(self, reason: str) -> None:
        """Say that the worker ended, start it again, and open again what was open."""
        self.notice = reason
        self.jobs.warm_up()
        self.on_restart()
        self.jobs.publish("worker")


@cache
def _environment() -> Environment:
    loader = ChoiceLoader([PackageLoader("nstk.page"), PackageLoader("nstk.reports")])
    return make_environment().overlay(loader=loader)


def go_to(tab: str) -> Response:
    """The answer to a form: the page that shows what it did."""
    return RedirectResponse(f"/{tab}", 303)


async def show_preview(path: Path, side: int) -> Response:
    """An image, encoded again in a thread."""
    content = await run_in_threadpool(encode_preview, path, side)
    headers = {"cache-control": "private, max-age=300"}
    return Response(content, media_type="image/jpeg", headers=headers)


@dataclass(frozen=True)
class Form:
    """What a form sent: texts, and files with their names, by field."""

    texts: Mapping[str, Sequence[str]]
    files: Mapping[str, Sequence[tuple[str, bytes]]]

    def text(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return [default, *self.texts.get(name, ())][-1]


async def read_form(request: Request) -> Form:
    """Read a form completely; an empty choice of files counts as none."""
    texts: dict[str, list[str]] = {}
    files: dict[str, list[tuple[str, bytes]]] = {}
    async with request.form(max_files=MAX_UPLOADS, max_fields=MAX_FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                texts.setdefault(name, []).append(value)
            elif value.filename or value.size:
                files.setdefault(name, []).append((value.filename or "image", await value.read()))
    return Form(texts, files)


def keep_uploads(site: Site, form: Form, name: str) -> list[Path]:
    """Save the images that a form uploads in one of its fields.

    Raises:
        ImageError: If one of them is not an image that the page takes.
    """
    return [site.workspace.save_upload(*each) for each in form.files.get(name, ())]


def check_listed(value: str, listed: Sequence[str], what: str) -> str:
    """A choice of a menu; refuse what the menu does not have."""
    if value not in listed:
        raise ImageError(f"{value!r} is not {what} of this folder; choose one from the list.")
    return value
