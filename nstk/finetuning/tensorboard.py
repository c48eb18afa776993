"""Figures of a run as TensorBoard shows them."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from nstk.errors import OutputError
from nstk.finetuning.result import FinetuneResult
from nstk.progress import Progress

# What TensorBoard's own package would write; tf.summary.scalar is missing where that is not there.
_SCALAR = tf.compat.v1.SummaryMetadata(
    data_class="DATA_CLASS_SCALAR",
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
)


class ScalarLog:
    """A listener that writes what has a loss into a folder for TensorBoard.

        log = nstk.ScalarLog("runs/insects")
        made = nstk.finetune("insects", settings=settings, on_progress=log)
        log.record(made)

    TensorFlow writes the files itself; only looking at them needs TensorBoard.

    Args:
        folder: Where to; made if it is not there.

    Raises:
        OutputError: If nothing can be written there.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = tf.summary.create_file_writer(str(folder))
            self._writer.init()
        except (OSError, tf.errors.OpError) as error:
            raise self._explain(error) from error

    def __call__(self, progress: Progress) -> None:
        """Write the loss and its terms at a step, if it has one.

        Args:
            progress: What is reported; a stage is a group of scalars.
        """
        if progress.loss is None:
            return
        self._write(progress.stage, {"loss": progress.loss, **progress.terms}, progress.step)

    def record(self, made: FinetuneResult) -> None:
        """Write the final figures, and all that is not yet on disk.

        Args:
            made: What `nstk.finetune` gave.

        Raises:
            OutputError: If they cannot be written.
        """
        accuracies = {part: each.accuracy for part, each in made.evaluations.items()}
        self._write("accuracy", accuracies, 0)
        if stage := made.second_stage:
            figures = {
                "probe accuracy": stage.probe_accuracy,
                "finetuned accuracy": stage.finetuned_accuracy,
                "p-value": stage.pairing.p_value,
                "kept": float(stage.kept),
            }
            self._write("second stage", figures, stage.plan.taken)
        try:
            self._writer.flush()
        except tf.errors.OpError as error:
            raise self._explain(error) from error

    def _write(self, group: str, figures: dict[str, Any], step: int) -> None:
        with self._writer.as_default():
            for name, value in figures.items():
                tf.summary.write(f"{group}/{name}", float(value), step=step, metadata=_SCALAR)

    def _explain(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        return OutputError(
            f"Cannot write figures to {self._folder} ({reason}); name a folder that can be written."
        )
