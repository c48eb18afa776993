"""Options of the commands: shared ones, and those generated from settings classes."""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from nstk.errors import NstkError
from nstk.progress import Reporter
from nstk.settings import DecodeMode, ExecutorName, list_words, read_setting

if TYPE_CHECKING:
    from nstk.backbones.backbone import Backbone

LONGEST_SENTENCE = 200

BackboneName = Annotated[
    str,
    typer.Option(
        help="Frozen network: a name that `nstk backbones` lists, a classifier file, or a local "
        "folder for KerasHub",
        metavar="NAME|FILE|hub:DIR",
    ),
]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Classifier file written by nstk finetune")
]
DATA_HELP = (
    "Folder with one folder of images per class, or train/, val/, test/ of such folders; a zip of "
    "either; or a CSV or JSONL manifest"
)
LabeledData = Annotated[Path, typer.Argument(metavar="DATA", help=DATA_HELP)]
Content = Annotated[Path, typer.Argument(metavar="CONTENT", help="Image to stylize")]
Styles = Annotated[
    list[Path], typer.Argument(metavar="STYLE", help="Style images, or .nstyle files")
]
WeightsFile = Annotated[
    Path | None,
    typer.Option(help="Local weights file of the backbone", metavar="FILE"),
]
TrainingBackbone = Annotated[
    str,
    typer.Option(
        help="Frozen network: a name that `nstk backbones` lists, a classifier file, a local "
        "folder for KerasHub, or auto: the best of those that need no download, on a few images "
        "of each class",
        metavar="NAME|FILE|hub:DIR|auto",
    ),
]
TrainingWeights = Annotated[
    list[Path] | None,
    typer.Option(
        "--weights",
        help="Local weights file of the backbone; with --backbone auto, repeat for each to try",
        metavar="FILE",
    ),
]
CacheFolder = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|off",
        help="Folder of cached features; default: the user's cache folder",
    ),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="DIR",
        help="Write report.html, results.json and model-card.md to this folder",
    ),
]
ContentMasks = Annotated[
    list[Path] | None,
    typer.Option(
        "--content-mask",
        metavar="FILE",
        help="Where each STYLE applies: white on black, in the shape of CONTENT; repeat once for "
        "each STYLE, in the same order",
    ),
]
StyleMasks = Annotated[
    list[Path] | None,
    typer.Option(
        "--style-mask",
        metavar="FILE",
        help="Which part of each STYLE to use; repeat once for each STYLE",
    ),
]
KeepMask = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What to keep unchanged, white on black")
]
Executor = Annotated[
    ExecutorName,
    typer.Option(
        help="What runs the network: tensorflow, litert (LiteRT with XNNPACK) or auto (the faster "
        "one for the number of images)"
    ),
]
Decode = Annotated[
    DecodeMode | None,
    typer.Option(
        help="How large JPEGs are decoded: at a fraction of their size (fast), or whole (exact); "
        "default: as for training"
    ),
]
ShardOption = Annotated[
    str,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Do the K-th of N shares of the images; N processes or machines, one for each K, do "
        "them all",
    ),
]
DaskAddress = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="local[:WORKERS]|tcp://HOST:PORT",
        help="Do the work in Dask workers: of this machine, or those of a running scheduler",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only")]


def choose_cache(given: str | None) -> Path | None:
    """Return the folder of cached features; None for ``off``."""
    from nstk.storage.files import find_cache_folder

    if given == "off":
        return None
    return find_cache_folder() if given is None else Path(given)


def choose_backbone(name: str, weights: Path | None, on_progress: Reporter) -> "Backbone | str":
    """Return the backbone of a weights file, or its name if there is none.

    A job loads a backbone by name after it has checked its other arguments.
    """
    if weights is None:
        return name
    from nstk.backbones.loading import load_backbone

    return load_backbone(name, weights=weights, on_progress=on_progress)


_PARAMETER = re.compile(r"`([a-z]\w*)(?:=([^`]*))?`")


def with_options(message: str, options: Mapping[str, str]) -> str:
    """Turn ``lower `size`, or give `tiling='auto'` `` to ``lower --size, or give --tiling auto``.

    ``options`` has the command's spelling of each parameter; other names stay as they are.
    """

    def spell(found: re.Match[str]) -> str:
        name, value = found.groups()
        if name not in options:
            return found[0]
        given = "" if value in (None, "True") else " " + value.strip("'\"")
        return options[name] + given

    return _PARAMETER.sub(spell, message)


class Command(TyperCommand):
    """A command whose help shows its arguments as people type them: CONTENT STYLE..."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; its errors name options (``--size``) instead of parameters (`size`)."""
        try:
            return super().invoke(ctx)
        except NstkError as error:
            options = {
                parameter.name: parameter.opts[0]
                if parameter.param_type_name == "option"
                else parameter.metavar or str(parameter.name).upper()
                for parameter in self.get_params(ctx)
                if parameter.name
            }
            error.args = (with_options(str(error), options),)
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [
            piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options in two sections, arguments without their types."""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            records = [
                parameter.get_help_record(ctx)
                for parameter in self.get_params(ctx)
                if parameter.param_type_name == kind
            ]
            rows = [record for record in records if record]
            if kind == "argument":
                rows = [(name.partition(" <")[0], help) for name, help in rows]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Group(TyperGroup):
    """A group that shows its help without a command, with the full summary of each command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [
            (name, command.get_short_help_str(limit=LONGEST_SENTENCE))
            for name, command in commands.items()
            if command is not None
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def with_settings(
    command: Callable[..., None], *, only: Collection[str] | None = None
) -> Callable[..., None]:
    """Replace each parameter of a dataclass by one option for each of its fields.

    Name, default and help of an option are those of the field, so a setting is declared once. Of
    settings, those in ``only`` are options; a field with an annotation of Typer is taken as it is.
    """
    signature = inspect.signature(command)
    mirrored = {
        name: [
            _mirror(settings, field)
            for field in dataclasses.fields(settings)
            if only is None or field.name in only or not field.metadata
        ]
        for name, settings in inspect.get_annotations(command).items()
        if isinstance(settings, type) and dataclasses.is_dataclass(settings)
    }
    parameters = [
        option
        for name, item in signature.parameters.items()
        for option in mirrored.get(name, [item])
    ]

    @functools.wraps(command)
    def collected(**given: Any) -> None:
        settings = {
            name: signature.parameters[name].annotation(
                **{option.name: given.pop(option.name) for option in options}
            )
            for name, options in mirrored.items()
        }
        command(**settings, **given)

    vars(collected)["__signature__"] = signature.replace(parameters=parameters)
    collected.__annotations__ = {item.name: item.annotation for item in parameters}
    return collected


_hints = functools.cache(functools.partial(get_type_hints, include_extras=True))


def _mirror(settings: type, field: dataclasses.Field[Any]) -> inspect.Parameter:
    kind = _hints(settings)[field.name]
    build = functools.partial(inspect.Parameter, field.name, inspect.Parameter.KEYWORD_ONLY)
    if not field.metadata:
        return build(default=field.default, annotation=kind)
    words, parse = list_words(kind), field.metadata["parse"]
    number = next((part for part in get_args(kind) if part in (int, float)), None)
    if parse or (words and number):
        spelled = "|".join(("N" if number is int else "X", *words))
        reader: Any = functools.partial(_read, settings=settings, name=field.name)
        kind = str
    else:
        spelled, reader = {int: "N", float: "X", str: "TEXT"}.get(kind, ""), None
    metavar = field.metadata["metavar"] or spelled or None
    option = typer.Option(help=field.metadata["help"], metavar=metavar, parser=reader)
    return build(default=field.default, annotation=Annotated[kind, option])


def _read(value: Any, *, settings: type, name: str) -> Any:
    """Parse a value; Typer also passes the default, which is parsed already."""
    return read_setting(settings, name, value) if isinstance(value, str) else value
