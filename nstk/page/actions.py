"""What the worker process does: one function for each request, with plain values in and out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nstk.page.commands import paint_command, show_path, train_command
from nstk.progress import Reporter
from nstk.types import Json

if TYPE_CHECKING:
    from nstk.backbones.backbone import Backbone
    from nstk.classifiers.classifier import Classifier
    from nstk.labeling.answers import AnswerFile
    from nstk.labeling.job import Labeling

Lane = Literal["jobs", "label", "quick"]

PAINT_BACKBONE, CLASSIFY_BACKBONE = "compact", "efficientnet-lite0"


@dataclass
class Context:
    """What the worker knows: its folder, its networks, and the labeling that is open."""

    root: Path
    backbone: str | None
    cache: Path | None
    networks: "dict[str, Backbone]" = field(default_factory=dict)
    classifiers: "dict[tuple[Path, int], Classifier]" = field(default_factory=dict)
    answers: "AnswerFile | None" = None
    labeling: "Labeling | None" = None

    def network(self, default: str) -> "Backbone":
        """The network of a tab, loaded once."""
        from nstk.backbones.loading import load_backbone

        name = self.backbone or default
        if name not in self.networks:
            self.networks[name] = load_backbone(name)
        return self.networks[name]

    def classifier(self, path: Path) -> "Classifier":
        from nstk.classifiers.classifier import Classifier

        key = path, path.stat().st_mtime_ns
        if key not in self.classifiers:
            self.classifiers = {key: Classifier.load(path)}
        return self.classifiers[key]


@dataclass(frozen=True)
class Action:
    lane: Lane
    run: Callable[..., Json]


def warm(context: Context, report: Reporter) -> Json:
    """Load TensorFlow and the network that paints."""
    import_module("nstk.stylization.job")
    context.network(PAINT_BACKBONE)
    return True


def plan(context: Context, report: Reporter, **given: Json) -> Json:
    """Predict memory and time of a painting."""
    from nstk.stylization.job import plan_stylization

    content, styles, chosen = _read_painting(context, given)
    return plan_stylization(content, styles, **chosen).to_dict()


def paint(context: Context, report: Any, *, folder: str, **given: Json) -> Json:
    """Paint, and keep the result with its settings and command; a stopped run keeps its image."""
    from nstk.page.workspace import write_json
    from nstk.stylization.job import stylize

    target = Path(folder)
    target.mkdir(parents=True)
    report.preview = target / "preview.jpg"
    content, styles, chosen = _read_painting(context, given)
    made = stylize(content, styles, on_progress=report, **chosen)
    made.save(target / "result.png")
    command = paint_command(context.root, given, target / "result.png")
    facts = {
        "content": Path(content).name,
        "styles": [Path(each).name for each in styles],
        "inputs": {
            "content": show_path(context.root, content),
            "styles": [show_path(context.root, each) for each in styles],
        },
        "settings": given["settings"],
        "command": command,
        "seconds": made.seconds,
        "interrupted": made.interrupted,
        "notices": list(made.notices),
        "size": [made.image.shape[1], made.image.shape[0]],
        "loss": made.loss,
    }
    write_json(target / "run.json", facts)
    return facts | {"name": target.name}


def train(context: Context, report: Reporter, *, data: str, output: str) -> Json:
    """Make a classifier from a folder, with its report."""
    from nstk.finetuning.job import finetune
    from nstk.reports.classifier import write_classifier_report

    backbone = context.network(CLASSIFY_BACKBONE)
    made = finetune(data, backbone=backbone, cache=context.cache, on_progress=report)
    path = made.classifier.save(output)
    page = write_classifier_report(
        path.with_suffix(""),
        made,
        command=train_command(context.root, Path(data), path),
        cache=context.cache,
        on_progress=report,
    )
    return {
        "classifier": str(path),
        "report": str(page),
        "classes": list(made.classifier.classes),
        "accuracy": made.accuracy,
        "interval": list(made.accuracy_interval),
        "notices": list(made.notices),
    }


def recognize(
    context: Context, report: Reporter, *, model: str, images: Sequence[str], overlays: str
) -> Json:
    """Predict single images, with a map of what speaks for the likeliest class."""
    from nstk.classifiers.explanation import Explanation
    from nstk.images.encoding import save_image

    classifier = context.classifier(Path(model))
    paths = [Path(each) for each in images]
    predictions = classifier.predict(paths)
    found = [each.to_dict(multi_label=classifier.multi_label) for each in predictions]
    drawn = {}
    for number, each in enumerate(classifier.explain([Path(one["path"]) for one in found])):
        if isinstance(each, Explanation):
            file = Path(overlays) / f"{each.path.stem}-{number}.jpg"
            drawn[str(each.path)] = str(save_image(file, each.overlay))
    return {
        "predictions": [one | {"overlay": drawn.get(one["path"])} for one in found],
        "skipped": [each.to_dict() for each in predictions.skipped],
        "multi_label": classifier.multi_label,
    }


def tabulate(
    context: Context, report: Reporter, *, model: str, folder: str, output: str, most: int
) -> Json:
    """Predict all images of a folder into a table; the first rows are returned."""
    from nstk.classifiers.prediction.job import stream_predictions
    from nstk.classifiers.prediction.results import ResultsFile
    from nstk.datasets.listing import SkippedFile

    classifier = context.classifier(Path(model))
    rows: list[Json] = []
    skipped: list[Json] = []
    count = 0
    with ResultsFile(output, classifier) as results:
        for each in stream_predictions(classifier, [Path(folder)], on_progress=report):
            if isinstance(each, SkippedFile):
                skipped.append(each.to_dict())
                continue
            results.append(each)
            count += 1
            if len(rows) < most:
                rows.append(each.to_dict(multi_label=classifier.multi_label))
    return {"table": output, "rows": rows, "skipped": skipped, "images": count}


def open_folder(
    context: Context, report: Reporter, *, folder: str, table: str, multi_label: bool
) -> Json:
    """Open a folder for labeling; one that is open is closed."""
    from nstk.labeling.answers import AnswerFile
    from nstk.labeling.job import open_labeling
    from nstk.settings import LabelSettings

    if context.answers is not None:
        context.answers.close()
        context.answers = context.labeling = None
    settings = LabelSettings(multi_label=multi_label)
    answers = AnswerFile(table, folder, multi_label=multi_label)
    try:
        backbone = context.network(CLASSIFY_BACKBONE)
        chosen: dict[str, Any] = {"settings": settings, "backbone": backbone}
        chosen |= {"cache": context.cache, "on_progress": report}
        context.labeling = open_labeling(folder, answers, **chosen)
    except BaseException:
        answers.close()
        raise
    context.answers = answers
    return _describe(context) | {
        "skipped": [each.to_dict() for each in context.labeling.skipped],
        "images": [str(path) for path in context.labeling.loop.paths],
    }


def answer(context: Context, report: Reporter, *, image: int, labels: Sequence[str]) -> Json:
    """Answer for one image, and return the next question."""
    _loop(context).answer(image, labels)
    return _describe(context)


def skip(context: Context, report: Reporter, *, image: int) -> Json:
    _loop(context).skip(image)
    return _describe(context)


def undo(context: Context, report: Reporter) -> Json:
    """Withdraw the last answer, and ask for its image again."""
    image = _loop(context).undo()
    return _describe(context, image)


def _loop(context: Context) -> Any:
    from nstk.errors import SettingsError

    if context.labeling is None:
        raise SettingsError("No folder is open for labeling; open one.")
    return context.labeling.loop


def _describe(context: Context, image: int | None = None) -> dict[str, Json]:
    """The question and what is known, as plain values."""
    loop = _loop(context)
    question = loop.ask() if image is None else loop.question(image)
    asked = None
    if question is not None:
        asked = vars(question) | {"given": question.given and sorted(question.given)}
    return {"question": asked, "status": loop.status().to_dict(), "labels": list(loop.labels)}


def _read_painting(
    context: Context, given: Mapping[str, Json]
) -> tuple[Path, list[Path], dict[str, Any]]:
    from nstk.settings import StylizeSettings
    from nstk.stylization.regions import Masks

    masks = given.get("masks") or {}
    chosen: dict[str, Any] = {
        "backbone": context.network(PAINT_BACKBONE),
        "settings": StylizeSettings(**given["settings"]),
        "masks": Masks(masks.get("content") or (), (), masks.get("keep") or None),
    }
    return Path(given["content"]), [Path(each) for each in given["styles"]], chosen


ACTIONS: dict[str, Action] = {
    "warm": Action("quick", warm),
    "plan": Action("quick", plan),
    "recognize": Action("quick", recognize),
    "paint": Action("jobs", paint),
    "train": Action("jobs", train),
    "tabulate": Action("jobs", tabulate),
    "open_folder": Action("label", open_folder),
    "answer": Action("label", answer),
    "skip": Action("label", skip),
    "undo": Action("label", undo),
}
"""Every request, and the lane that it waits in."""
