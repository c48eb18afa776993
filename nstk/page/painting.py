"""The tab Paint: images, six controls, the plan, the queue and the results."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nstk.errors import NstkError, SettingsError
from nstk.page.jobs import Job
from nstk.page.site import (
    Form,
    Site,
    check_listed,
    go_to,
    keep_uploads,
    read_form,
)
from nstk.reports.figures import LineChart, Series
from nstk.settings import ColorMode, QualityName, StylizeSettings, list_words
from nstk.types import Json

CONTROLS = ("size", "strength", "color", "style_scale", "quality", "seed")

DEFAULTS = {
    each.name: f"{each.default:g}" if isinstance(each.default, float) else str(each.default)
    for each in fields(StylizeSettings)
    if each.name in CONTROLS
}

COLORS, QUALITIES = list_words(ColorMode), list_words(QualityName)

_MOST_STYLES = 6


class PaintTab:
    """The handlers of the tab."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.routes = [
            Route("/paint", self.show, methods=["GET"]),
            Route("/paint", self.submit, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The tab; ``?again=NAME`` fills it with the images and settings of a result."""
        again = request.query_params.get("again")
        for result in self.site.workspace.list_results() if again else ():
            if result.name == again:
                chosen, kept = _repeat(result.facts)
                return self._render(request, chosen=chosen, kept=kept)
        return self._render(request)

    async def submit(self, request: Request) -> Response:
        """Predict memory and time of a painting, or start it."""
        form = await read_form(request)
        chosen = {name: form.text(name, value) for name, value in DEFAULTS.items()}
        kept: dict[str, Json] = {"content": "", "styles": []}
        try:
            values = self._read_painting(form, kept)
            if form.text("action") == "plan":
                plan = await self.site.worker.call("plan", **values)
                return self._render(request, chosen=chosen, kept=kept, plan=plan)
        except NstkError as error:
            return self._render(request, 422, chosen=chosen, kept=kept, error=str(error))
        stem = Path(values["content"]).stem
        names = " + ".join(Path(each).stem for each in values["styles"])
        name = self.site.workspace.name_result(stem)
        folder = self.site.workspace.make_folder("paintings") / name
        job = Job("paint", f"{stem} × {names}", folder)
        self.site.jobs.start(job, folder=str(folder), **values)
        return go_to("paint")

    def _render(self, request: Request, status: int = 200, **values: object) -> Response:
        workspace = self.site.workspace
        shared: dict[str, object] = {
            "jobs": [job for job in self.site.jobs.list("paint") if job.state != "done"],
            "results": list(workspace.list_results()),
            "images": workspace.list_images(),
            "colors": COLORS,
            "qualities": QUALITIES,
            "chosen": DEFAULTS,
            "kept": {"content": "", "styles": []},
            "plan": None,
            "draw_losses": draw_losses,
        }
        return self.site.render(request, "paint", status=status, **(shared | values))

    def _read_painting(self, form: Form, kept: dict[str, Json]) -> dict[str, Json]:
        """The values of a painting; ``kept`` gets the images, to be shown again after an error."""
        settings = _read_settings(form)
        contents = keep_uploads(self.site, form, "content") or self._find(form, "content_kept")
        kept["content"] = self.site.workspace.show(contents[0]) if contents else ""
        styles = keep_uploads(self.site, form, "style") or self._find(form, "style_kept")
        kept["styles"] = [self.site.workspace.show(each) for each in styles]
        if not contents or not styles:
            missing = "content" if not contents else "style"
            raise SettingsError(f"The {missing} image is missing; choose one.")
        if len(styles) > _MOST_STYLES:
            raise SettingsError(f"{len(styles)} styles; choose at most {_MOST_STYLES}.")
        masks = self._read_masks(form, len(styles))
        return {
            "content": str(contents[0]),
            "styles": [str(each) for each in styles],
            "settings": settings,
            "masks": masks,
        }

    def _find(self, form: Form, field: str) -> list[Path]:
        workspace = self.site.workspace
        chosen = [each for each in form.texts.get(field, ()) if each != "-"]
        uploads = [workspace.show(each) for each in workspace.results.glob("uploads/*")]
        listed = [*workspace.list_images(), *uploads]
        return [workspace.resolve(check_listed(each, listed, "an image")) for each in chosen]

    def _read_masks(self, form: Form, styles: int) -> dict[str, Json]:
        """The masks that were drawn, if any; they have the aspect ratio of the content."""
        keep = keep_uploads(self.site, form, "keep_mask")
        drawn = keep_uploads(self.site, form, "content_mask")
        if drawn and len(drawn) != styles:
            raise SettingsError(
                f"{len(drawn)} masks for {styles} styles; draw where each style goes, or none."
            )
        return {"keep": str(keep[0]) if keep else "", "content": [str(each) for each in drawn]}


def _read_settings(form: Form) -> dict[str, Json]:
    """The settings of the six controls.

    Raises:
        SettingsError: If one is out of its range.
    """
    try:
        settings: dict[str, Json] = {
            "size": int(form.text("size", DEFAULTS["size"])),
            "strength": float(form.text("strength", DEFAULTS["strength"])),
            "color": form.text("color", DEFAULTS["color"]),
            "style_scale": float(form.text("style_scale", DEFAULTS["style_scale"])),
            "quality": form.text("quality", DEFAULTS["quality"]),
            "seed": int(form.text("seed", DEFAULTS["seed"])),
        }
    except ValueError as error:
        raise SettingsError(f"{error} is not a value of its control; correct it.") from error
    StylizeSettings(**settings)
    return settings


def _repeat(facts: Mapping[str, Json]) -> tuple[dict[str, Json], Mapping[str, Json]]:
    """The values of the controls, and the images, of a result."""
    return DEFAULTS | facts["settings"], facts["inputs"]


def draw_losses(losses: list[float]) -> LineChart | None:
    """The curve of a running job."""
    if len(losses) < 2:
        return None
    series = Series("loss", range(1, len(losses) + 1), losses)
    return LineChart([series], "step", "loss", log_y=True, height=220)
