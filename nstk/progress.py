"""Progress reports of running jobs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

from nstk.errors import SettingsError

if TYPE_CHECKING:  # NumPy would slow the start of the command line
    import numpy as np
    import numpy.typing as npt
    from keras.callbacks import Callback


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a running job; all jobs report the same event.

    Attributes:
        stage: The name of the stage, such as ``"256×192"`` or ``"features"``.
        step: Steps done in this stage; the first report is 0.
        total: Steps of this stage.
        loss: The loss before the update of this step, where the stage has one.
        terms: The terms of the loss by name.
        preview: Returns the current image, float32 ``(height, width, 3)`` in ``[0, 1]``; nothing
            is copied until it is called.
    """

    stage: str
    step: int
    total: int
    loss: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    preview: "Callable[[], npt.NDArray[np.float32]] | None" = None


Reporter = Callable[[Progress], object]
"""Any callable that takes one `Progress`."""


def no_progress(progress: Progress) -> None:
    """Ignore progress: the default reporter."""


class CallbackReporter:
    """Calls Keras callbacks as a job reports its progress.

    A report with a loss is a batch: ``on_train_batch_end``. An epoch ends where a report has a
    validation loss, or with its stage, and has the logs of its last batch. Callbacks observe a run:
    they have no model, and stopping or changing it has no effect. As in `fit`, one callback may be
    given alone.
    """

    def __init__(
        self,
        callbacks: "Callback | list[Callback] | tuple[Callback, ...] | None",
        on_progress: Reporter = no_progress,
    ) -> None:
        given = callbacks or []
        self.callbacks = list(given) if isinstance(given, list | tuple) else [given]
        self.on_progress = on_progress
        self.stage: str | None = None
        self.epochs = self.batches = 0
        self.logs: dict[str, float] = {}
        for each in self.callbacks:
            if isinstance(each, type) or not all(hasattr(each, name) for name in _METHODS):
                raise SettingsError(
                    f"`callbacks` has {each!r}, which is not a Keras callback; give instances of "
                    "`keras.callbacks.Callback`, and functions as `on_progress`."
                )
            each.set_model(SimpleNamespace(stop_training=False))
        self._call("on_train_begin")

    def __call__(self, progress: Progress) -> None:
        self.on_progress(progress)
        if progress.loss is None:
            return
        if progress.stage != self.stage:
            self._end_epoch()
        if not self.logs:
            self.stage, self.batches = progress.stage, 0
            self._call("on_epoch_begin", self.epochs)
        self.logs = {"loss": progress.loss}
        self.logs |= {_LOGS.get(name, name): value for name, value in progress.terms.items()}
        self._call("on_train_batch_end", self.batches, logs=self.logs)
        self.batches += 1
        if "val_loss" in self.logs:
            self._end_epoch()

    def finish(self, logs: Mapping[str, float]) -> None:
        """End the run; one without epochs gets one, with these logs."""
        if not self.epochs and not self.logs:
            self._call("on_epoch_begin", 0)
            self.logs = dict(logs)
        self._end_epoch()
        self._call("on_train_end", logs=logs)

    def _end_epoch(self) -> None:
        if self.logs:
            self._call("on_epoch_end", self.epochs, logs=self.logs)
            self.epochs, self.logs = self.epochs + 1, {}

    def _call(self, method: str, *place: int, logs: Mapping[str, float] | None = None) -> None:
        for each in self.callbacks:
            getattr(each, method)(*place, logs=dict(logs or {}))


_METHODS = (
    *("set_model", "on_train_begin", "on_train_end"),
    *("on_epoch_begin", "on_epoch_end", "on_train_batch_end"),
)

_LOGS = {"validation log-loss": "val_loss", "learning rate": "learning_rate"}
"""Names of the logs of `fit` for terms of a loss."""


class Stopwatch:
    """Wall-clock seconds of a job, by stage."""

    def __init__(self) -> None:
        self.began = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the job began."""
        return time.perf_counter() - self.began

    def lap(self, stage: str | None = None) -> float:
        """End a stage, record its seconds unless it has no name, and return them."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        if stage is not None:
            self.seconds[stage] = seconds
        return seconds
