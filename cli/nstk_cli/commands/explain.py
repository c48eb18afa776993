"""``nstk explain``: class activation maps over images."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nstk.errors import ImageError, OutputError
from nstk.storage.files import derive_path
from nstk_cli.options import Decode, Executor, Json, ModelFile, Quiet
from nstk_cli.output import print_output
from nstk_cli.reporting import reporting


def explain(
    *,
    model: ModelFile,
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
        typer.Option("--class", metavar="NAME", help="Class to explain; default: the most likely"),
    ] = None,
    decode: Decode = None,
    executor: Executor = "auto",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show what speaks for the label of each image (vermilion) and against it (blue)."""
    from nstk.storage.files import check_writable, make_folder

    check_writable(output / "a.explained.png" if output.exists() else output)
    with reporting(quiet=quiet) as report:
        from nstk.classifiers.classifier import Classifier
        from nstk.classifiers.explanation import Explanation
        from nstk.datasets.listing import SkippedFile
        from nstk.images.encoding import save_image

        rows: list[dict[str, Any]] = []
        skipped: list[SkippedFile] = []
        failure: OutputError | None = None
        for each in Classifier.load(model).explain(
            paths, label=label, decode=decode, executor=executor, on_progress=report
        ):
            if not isinstance(each, Explanation):
                skipped.append(each)
                continue
            make_folder(output)
            overlay = name_overlay(output, each.path, {row["overlay"] for row in rows})
            try:
                save_image(overlay, each.overlay)
            except OutputError as error:  # the other overlays may still be written
                failure = error
                skipped.append(SkippedFile(each.path, str(error)))
                continue
            rows.append({**each.to_dict(), "overlay": overlay})
    if failure and not rows:
        raise failure
    if not rows:
        reason = f"{skipped[0].path}: {skipped[0].reason}" if skipped else "no images were found"
        raise ImageError(f"{reason}; give images that can be read.")
    described = {"explanations": rows, "skipped": [each.to_dict() for each in skipped]}
    print_output(json, described, "explain.txt", explanations=rows, skipped=skipped)


def name_overlay(folder: Path, image: Path, used: set[Path]) -> Path:
    """Return the overlay's name, with a number where the name is used already."""
    numbers = ["", *(f"-{number}" for number in range(2, len(used) + 2))]
    names = (derive_path(folder / image.name, f"{number}.explained.png") for number in numbers)
    return next(name for name in names if name not in used)
