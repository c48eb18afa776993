"""``nstk predict``: labels for pictures."""

import csv
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.options import Json, Quiet
from nstk_cli.output import list_skipped, percent, print_json, print_skipped, print_table
from nstk_cli.reporting import reporting
from nstk_cli.silence import loading


def predict(
    *,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Classifier file made by nstk finetune")
    ],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Picture files, or folders of them")
    ],
    top: Annotated[
        int, typer.Option(metavar="N", help="How many of the likeliest classes to name")
    ] = 5,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the labels as CSV too")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say which class of MODEL each picture shows."""
    if table:
        nstk.check_writable(table)
    with reporting(quiet=quiet) as report:
        with loading():
            from nstk import load_classifier
            from nstk import predict as run
        classifier = load_classifier(model)
        several = classifier.multi_label
        made = run(classifier, paths, top=top, on_progress=report)
    if not made.predictions:
        raise nstk.PictureError(none_usable(made))
    if table:
        write_csv(table, made, several)
    if json:
        print_json(
            {
                "predictions": [
                    {
                        "path": each.path,
                        "label": each.label,
                        "probability": each.probability,
                        **({"labels": each.labels} if several else {}),
                        "top": [
                            {"label": label, "probability": probability}
                            for label, probability in each.top
                        ],
                    }
                    for each in made.predictions
                ],
                "skipped": list_skipped(made.skipped),
            }
        )
    else:
        print_result(made, several)


def print_result(made: "nstk.Predictions", several: bool) -> None:
    """Print the labels of each picture, likeliest first, and what was left out."""
    (print_labels if several else print_likeliest)(made)
    print_skipped(made.skipped)


def print_labels(made: "nstk.Predictions") -> None:
    """Print the labels given to each picture, and what else it might show."""
    print_table(
        ["picture", "labels", "otherwise"],
        [
            (
                str(each.path),
                ", ".join(spell(pair) for pair in each.top if pair[0] in each.labels) or "–",
                ", ".join(spell(pair) for pair in each.top if pair[0] not in each.labels),
            )
            for each in made.predictions
        ],
    )


def spell(pair: tuple[str, float]) -> str:
    """A label with its probability: ``ants 93.5 %``."""
    return f"{pair[0]} {percent(pair[1])}"


def print_likeliest(made: "nstk.Predictions") -> None:
    """Print the likeliest class of each picture, and the next ones."""
    print_table(
        ["picture", "label", "probability", "otherwise"],
        [
            (
                str(each.path),
                each.label,
                percent(each.probability),
                ", ".join(spell(pair) for pair in each.top[1:]),
            )
            for each in made.predictions
        ],
        right=["probability"],
    )


def write_csv(path: Path, made: "nstk.Predictions", several: bool) -> None:
    """Write one row for each picture: its path, then labels and probabilities, likeliest first.

    Where pictures may have several labels, the column ``labels`` has those it is given, as a
    manifest has them.
    """
    places = range(1, 1 + len(made.predictions[0].top))
    heading = ["path", *(["labels"] if several else []), "label", "probability"]
    heading += [f"{word}_{place}" for place in places[1:] for word in ("label", "probability")]

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(heading)
            for each in made.predictions:
                given = ["|".join(each.labels)] if several else []
                rows.writerow([each.path, *given, *(cell for pair in each.top for cell in pair)])

    nstk.write_whole(path, write)


def none_usable(made: "nstk.Predictions") -> str:
    """Why there is nothing to say."""
    if not made.skipped:
        return "No picture was found; name picture files, or folders that have some."
    first = made.skipped[0]
    more = f" ({len(made.skipped) - 1} more were left out)" if len(made.skipped) > 1 else ""
    return f"{first.path}: {first.reason}{more}; name pictures that can be read."
