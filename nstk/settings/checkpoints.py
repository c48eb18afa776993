"""What long jobs keep of their state."""

from dataclasses import dataclass
from pathlib import Path

from nstk.errors import SettingsError
from nstk.settings.checks import check_switch, check_whole
from nstk.settings.fields import setting
from nstk.settings.parsing import parse_interval


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """Whether and how often a long job keeps its state; nothing here changes its result.

    Raises:
        SettingsError: If a value is out of its range, or there is nothing to go on from.
    """

    checkpoint: Path | None = setting(
        None,
        "Folder to keep the state in, so that nothing is lost when the run is ended",
        metavar="DIR",
    )
    checkpoint_every: int | str = setting(
        "60s",
        "How often to keep it: after so many steps or, as in 60s, seconds",
        parse=parse_interval,
        metavar="N|SECONDS",
    )
    resume: bool = setting(
        False, "Go on from the last state in the --checkpoint folder, where there is one"
    )

    def __post_init__(self) -> None:
        every = self.checkpoint_every
        if isinstance(every, str) and not (self.seconds or 0) > 0:
            raise SettingsError(
                f"--checkpoint-every is {every!r}; it must be a number of steps, or seconds as in "
                "60s."
            )
        if not isinstance(every, str):
            check_whole("checkpoint_every", every, 1)
        check_switch("resume", self.resume)
        if self.resume and self.checkpoint is None:
            raise SettingsError(
                "--resume was given without --checkpoint; say which folder to go on from."
            )

    @property
    def steps(self) -> int:
        """Steps from one checkpoint to the next, where that is not counted in seconds."""
        return 0 if isinstance(self.checkpoint_every, str) else self.checkpoint_every

    @property
    def seconds(self) -> float | None:
        """Seconds from one checkpoint to the next, None where that is counted in steps."""
        if not isinstance(self.checkpoint_every, str):
            return None
        try:
            return float(self.checkpoint_every.removesuffix("s"))
        except ValueError:
            return 0.0
