"""``nstk page``: the local page; and ``nstk label``: its tab for labeling, or the loop alone."""

import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstk.progress import Reporter
from nstk.settings import LabelSettings, PageSettings
from nstk_cli.options import CacheFolder, Json, Quiet, choose_cache, with_settings
from nstk_cli.output import print_output
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.labeling.loop import LabelingStatus

log = logging.getLogger("nstk")

NetworkOfAll = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME|FILE",
        help="Frozen network; default: compact to paint, efficientnet-lite0 to recognize and label",
    ),
]


@with_settings
def page(
    *,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of images and results")
    ] = Path(),
    settings: PageSettings,
    backbone: NetworkOfAll = None,
    cache: CacheFolder = None,
) -> None:
    """Paint, recognize and label in a browser, on this machine."""
    serve(folder, settings, cache=choose_cache(cache), backbone=backbone)


@partial(with_settings, only=("multi_label", "limit", "seed", "port"))
def label(
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images to label")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Table of answers, NAME.csv, in DIR or above it; it is continued if it exists",
        ),
    ],
    headless: Annotated[
        Path | None,
        typer.Option(
            metavar="ANSWERS",
            help="Take the answers from this table or folder of classes instead of a person",
        ),
    ] = None,
    settings: LabelSettings,
    page_settings: PageSettings,
    backbone: NetworkOfAll = None,
    cache: CacheFolder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Label the images in DIR, the most useful first."""
    from nstk.labeling.answers import check_answers

    check_answers(output, folder)
    if headless is None:
        root = Path(os.path.abspath(output)).parent
        place = Path(os.path.abspath(folder)).relative_to(root).as_posix()
        opened = place, output.name, settings.multi_label
        serve(root, page_settings, cache=choose_cache(cache), backbone=backbone, label=opened)
        return
    with reporting(quiet=quiet) as report:
        network = backbone or "efficientnet-lite0"
        places = folder, output, headless
        status = answer_all(places, settings, network, choose_cache(cache), report)
    described = {"output": output, **status.to_dict()}
    print_output(json, described, "label.txt", output=output, status=status)


def answer_all(
    places: tuple[Path, Path, Path],
    settings: LabelSettings,
    network: str,
    cache: Path | None,
    report: Reporter,
) -> "LabelingStatus":
    """Run the loop with the answers of a table; return what is known at the end."""
    from nstk.labeling.answers import AnswerFile
    from nstk.labeling.job import answer_from, open_labeling, read_answers

    folder, output, headless = places
    known = read_answers(headless)
    with AnswerFile(output, folder, multi_label=settings.multi_label) as answers:
        chosen: dict[str, Any] = {"backbone": network, "cache": cache, "on_progress": report}
        opened = open_labeling(folder, answers, settings=settings, **chosen)
        for notice in opened.notices:
            log.warning(notice)
        for _ in answer_from(opened.loop, known, settings.limit, report):
            pass
        return opened.loop.status()


def serve(folder: Path, settings: PageSettings, **chosen: Any) -> None:
    """Serve the page until Ctrl-C; print its address first."""
    from nstk.page.server import serve_page

    serve_page(folder, settings, on_ready=show_address, **chosen)


def show_address(address: str) -> None:
    print(f"Open {address}\nCtrl-C ends the page.", flush=True)
