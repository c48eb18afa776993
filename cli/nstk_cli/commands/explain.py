"""``nstk explain``: images with what made the classifier say so painted over them."""

from pathlib import Path
from typing import Annotated, Any

import typer

import nstk
from nstk_cli.options import Json, Quiet
from nstk_cli.output import list_skipped, percent, print_made, print_skipped, print_table
from nstk_cli.reporting import reporting


def explain(
    *,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Classifier file made by nstk finetune")
    ],
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Image files, or folders of them")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the overlays, NAME.explained.png"
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="Class to explain instead of each image's likeliest"
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show which places of each image speak for its label (vermilion) and against it (blue)."""
    nstk.check_writable(output / "a.explained.png" if output.exists() else output)
    with reporting(quiet=quiet) as report:
        from nstk import Classifier, Explanation

        answers: list[dict[str, Any]] = []
        skipped: list[nstk.SkippedFile] = []
        for each in Classifier.load(model).explain(paths, label=label, on_progress=report):
            if isinstance(each, Explanation):
                nstk.make_folder(output)
                overlay = name_overlay(output, each.path, {row["overlay"] for row in answers})
                nstk.save_image(overlay, each.overlay)
                answers.append({**each.to_dict(), "overlay": overlay})
            else:
                skipped.append(each)
    if not answers:
        reason = f"{skipped[0].path}: {skipped[0].reason}" if skipped else "No image was found"
        raise nstk.ImageError(f"{reason}; name images that can be read.")
    if json:
        print_made({"explanations": answers, "skipped": list_skipped(skipped)})
    else:
        print_table(
            ["image", "label", "probability", "overlay"],
            [
                (str(row["path"]), row["label"], percent(row["probability"]), str(row["overlay"]))
                for row in answers
            ],
            right=["probability"],
        )
        print_skipped(skipped)


def name_overlay(folder: Path, image: Path, taken: set[Path]) -> Path:
    """Name the overlay after its image, with a number where that name is taken."""
    numbers = ["", *(f"-{number}" for number in range(2, len(taken) + 2))]
    names = (folder / f"{image.stem}{number}.explained.png" for number in numbers)
    return next(name for name in names if name not in taken)
