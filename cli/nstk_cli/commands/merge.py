"""``nstk merge``: the results of shards as one run would have written them."""

from pathlib import Path
from typing import Annotated

import typer

from nstk.errors import SettingsError
from nstk_cli.options import Json
from nstk_cli.output import check_not_inputs, print_output

Parts = Annotated[
    list[Path],
    typer.Argument(
        metavar="PART", help="Prediction files of all shards, or folders of cached features"
    ),
]
Merged = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE|DIR", help="File or folder to write"),
]


def merge(*, parts: Parts, output: Merged, json: Json = False) -> None:
    """Merge prediction files of shards, or caches of features, into one."""
    from nstk.classifiers.prediction.merging import merge_predictions
    from nstk.features.cache import merge_caches

    folders = [path for path in parts if path.is_dir()]
    if folders and len(folders) < len(parts):
        raise SettingsError("PART names both files and folders; give one kind at a time.")
    check_not_inputs(parts, output)
    merging = merge_caches if folders else merge_predictions
    count = merging(parts, output)
    what = "new files of features" if folders else "predictions"
    answer = {"output": output, "parts": len(parts), "merged": count}
    print_output(json, answer, "merge.txt", what=what, **answer)
