"""Settings for checkpoints of long jobs."""

from dataclasses import dataclass
from pathlib import Path

from nstk.errors import SettingsError
from nstk.settings.checks import check_switch, check_whole
from nstk.settings.fields import setting
from nstk.settings.parsing import parse_interval


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """Where and how often a long job saves its state; none of this changes its result.

    Raises:
        SettingsError: If a value is out of its range, or ``resume`` is set without a folder.
    """

    checkpoint: Path | None = setting(
        None,
        "Folder for the state of the run, so that it can be resumed",
        metavar="DIR",
    )
    checkpoint_every: int | str = setting(
        "60s",
        "Interval between checkpoints: a number of steps, or seconds as in 60s",
        parse=parse_interval,
        metavar="N|SECONDS",
    )
    resume: bool = setting(
        False, "Resume from the last state in the checkpoint folder, if there is one"
    )

    def __post_init__(self) -> None:
        every = self.checkpoint_every
        if isinstance(every, str) and not (self.seconds or 0) > 0:
            raise SettingsError(
                f"`checkpoint_every` is {every!r}; it must be a number of steps, or seconds as in "
                "60s."
            )
        if not isinstance(every, str):
            check_whole("checkpoint_every", every, 1)
        check_switch("resume", self.resume)
        if self.resume and self.checkpoint is None:
            raise SettingsError("`resume` needs a `checkpoint` folder to resume from; give one.")

    @property
    def steps(self) -> int:
        """Steps between two checkpoints; 0 if the interval is in seconds."""
        return 0 if isinstance(self.checkpoint_every, str) else self.checkpoint_every

    @property
    def seconds(self) -> float | None:
        """Seconds between two checkpoints; None if the interval is in steps."""
        if not isinstance(self.checkpoint_every, str):
            return None
        try:
            return float(self.checkpoint_every.removesuffix("s"))
        except ValueError:
            return 0.0
