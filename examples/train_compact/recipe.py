"""The recipe: read the data, prepare the teachers, train, fold, evaluate, write."""

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from examples.train_compact import evaluation, sheets, teachers, training
from nstk.errors import SettingsError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of one run."""

    shared: Path
    """Folder with `data/tiny-imagenet/` and `weights/`."""
    work: Path
    """Folder for checkpoints, teacher features and the report; up to half a gigabyte."""
    out: Path
    """The weights file to write."""
    steps: int = 12000
    """Training steps; the schedule scales with them."""
    finish: int = 1500
    """Steps of the finishing phase on textures; only with teachers."""
    until: int | None = None
    """Stop at this step; the same recipe resumes later."""
    objective: str = "both"
    seed: int = 0
    checkpoint_every: int = 500
    classes: int | None = None
    """Use only the first classes; None for all."""
    per_class: int | None = None
    """Use only this many images of each class; None for all."""
    batch_share: float = 1.0
    """Factor for every batch size."""
    parts: int = 1
    """Number of independent parts of every batch."""

    def __post_init__(self) -> None:
        if self.objective not in training.OBJECTIVES:
            raise SettingsError(
                f"objective {self.objective!r} is unknown; choose {', '.join(training.OBJECTIVES)}"
            )
        for name in ("steps", "finish", "checkpoint_every", "classes", "per_class", "parts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}; it must be at least 1")

    @property
    def end(self) -> int:
        """The number of the last step."""
        return self.steps + (self.finish if self.objective != "supervised" else 0)

    @property
    def checkpoint(self) -> Path:
        """The file from which a stopped run resumes."""
        return self.work / f"{self.objective}.npz"

    def shrink(self) -> "Recipe":
        """Return a test run of seconds: a few classes, a few steps, the same code."""
        work = self.work / "smoke"
        return replace(
            self,
            work=work,
            out=work / "compact.npz",
            steps=4,
            finish=2,
            checkpoint_every=4,
            classes=3,
            per_class=12,
            batch_share=1 / 16,
        )


class Report(NamedTuple):
    """The result of a run."""

    step: int
    top_1: float
    file_bytes: int
    epochs: float
    seconds: float


def prepare(recipe: Recipe) -> tuple[training.Trainer, sheets.Images]:
    """Return the trainer, restored from any checkpoint, and the validation images."""
    folder, weights = recipe.shared / "data" / "tiny-imagenet", recipe.shared / "weights"
    classes = sheets.read_classes(folder)[: recipe.classes]
    train = sheets.read_split(folder, "train", classes, recipe.per_class)
    val = sheets.read_split(folder, "val", classes, recipe.per_class)
    class_teacher = style_teacher = texture_teacher = None
    if recipe.objective != "supervised":
        style_teacher = teachers.load_style_teacher(weights)
        texture_teacher = teachers.load_texture_teacher(weights)
        class_teacher = teachers.prepare_class_teacher(train, weights, recipe.work / "teacher")
    trainer = training.Trainer(
        train,
        len(classes),
        recipe.objective,
        class_teacher,
        style_teacher,
        texture_teacher,
        recipe.seed,
        parts=recipe.parts,
    )
    if recipe.checkpoint.is_file():
        trainer.restore(recipe.checkpoint)
        log.info("resuming from step %d of %s", trainer.step, recipe.checkpoint)
    return trainer, val


def train(recipe: Recipe) -> Report:
    """Run or resume the recipe and write the weights file.

    Raises:
        FolderError: If a contact sheet is missing or has the wrong size.
        WeightsError: If a teacher is missing, or the checkpoint belongs to another run.
        DivergenceError: If the loss is NaN or infinite.
    """
    trainer, val = prepare(recipe)
    end = min(recipe.end, recipe.until or recipe.end)
    began = time.perf_counter()
    while trainer.step < end:
        stop = min(end, trainer.step + recipe.checkpoint_every)
        trainer.run(recipe.steps, recipe.finish, stop, recipe.batch_share, _log_terms)
        trainer.save(recipe.checkpoint)
        log.info("step %d of %d: saved", trainer.step, recipe.end)
    return export(recipe, trainer, val, time.perf_counter() - began)


def export(
    recipe: Recipe, trainer: training.Trainer, val: sheets.Images, seconds: float = 0.0
) -> Report:
    """Fold the averaged weights of the trainer, evaluate them as stored, and write them."""
    folded = evaluation.round_weights(trainer.fold())
    evaluation.write_weights(recipe.out, folded)
    report = Report(
        step=trainer.step,
        top_1=evaluation.measure_top_1(folded, trainer.head(), val),
        file_bytes=recipe.out.stat().st_size,
        epochs=trainer.seen / trainer.pixels.shape[0],
        seconds=seconds,
    )
    recipe.checkpoint.with_suffix(".json").write_text(json.dumps(report._asdict()) + "\n")
    return report


def _log_terms(step: int, terms: dict[str, float], seconds: float) -> None:
    shown = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
    log.info("step %d  %.3f s per step  %s", step, seconds, shown)
