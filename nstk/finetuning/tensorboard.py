"""Scalars for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from nstk.errors import OutputError
from nstk.finetuning.result import FinetuneResult
from nstk.progress import Progress

# Metadata as TensorBoard's own package writes it; tf.summary.scalar needs that package.
_SCALAR = tf.compat.v1.SummaryMetadata(
    data_class="DATA_CLASS_SCALAR",
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
)


class ScalarLog:
    """Writes losses to a folder for TensorBoard; pass it as ``on_progress``.

        log = nstk.ScalarLog("runs/insects")
        result = nstk.finetune("insects", unfreeze="auto", on_progress=log)
        log.record(result)

    Writing needs only TensorFlow; viewing needs TensorBoard.

    Args:
        folder: Where to write; created if missing.

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
            raise self._output_error(error) from error

    def __call__(self, progress: Progress) -> None:
        """Write the loss of a step and its terms, if it has any.

        Args:
            progress: The event; its stage names the group of scalars.
        """
        if progress.loss is None:
            return
        self._write(progress.stage, {"loss": progress.loss, **progress.terms}, progress.step)

    def record(self, result: FinetuneResult) -> None:
        """Write the final metrics, and flush.

        Args:
            result: What `nstk.finetune` returned.

        Raises:
            OutputError: If they cannot be written.
        """
        accuracies = {split: each.accuracy for split, each in result.evaluations.items()}
        self._write("accuracy", accuracies, 0)
        if stage := result.second_stage:
            figures = {
                "probe accuracy": stage.probe_accuracy,
                "finetuned accuracy": stage.finetuned_accuracy,
                "p-value": stage.mcnemar.p_value,
                "kept": float(stage.kept),
            }
            self._write("second stage", figures, stage.plan.taken)
        try:
            self._writer.flush()
        except tf.errors.OpError as error:
            raise self._output_error(error) from error

    def _write(self, group: str, figures: Mapping[str, float], step: int) -> None:
        with self._writer.as_default():
            for name, value in figures.items():
                tf.summary.write(f"{group}/{name}", float(value), step=step, metadata=_SCALAR)

    def _output_error(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        return OutputError(
            f"cannot write scalars to {self._folder} ({reason}); choose a writable folder."
        )
