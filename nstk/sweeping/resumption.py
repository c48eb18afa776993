"""The checkpoint of the run that a sweep was interrupted in.

Finished runs are saved by `nstk.sweeping.records`, with or without checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from nstk.settings import StylizeSettings
from nstk.storage.checkpoints import (
    CheckpointCallback,
    CheckpointFolder,
    State,
    reraise_as_checkpoint_error,
)
from nstk.storage.run_identity import RunIdentity, list_versions
from nstk.stylization.resumption import digest_init, setting_values
from nstk.sweeping.grid import SweepAxis

RUN = "run"


def identify_sweep(
    axes: Sequence[SweepAxis],
    settings: StylizeSettings,
    images: Mapping[str, str],
    networks: Mapping[str, str],
) -> RunIdentity:
    """Return everything the runs of a sweep depend on.

    Args:
        axes: The varied settings.
        settings: The common settings.
        images: Digests of content, styles and masks, by name.
        networks: Digests of the networks, by name.
    """
    over = [f"{axis.option}={';'.join(map(axis.format_value, axis.values))}" for axis in axes]
    digests = {
        **images,
        **{f"network {name}": digest for name, digest in networks.items()},
        **digest_init(settings),
    }
    options = {"over": over, **setting_values(settings), **list_versions()}
    return RunIdentity("sweep", options, digests)


class UnfinishedRun:
    """The checkpoints of a sweep's current run, one run after another in one folder.

    Args:
        folder: The checkpoint folder; it may be disabled.
        identity: Everything the sweep depends on.

    Raises:
        CheckpointError: If the folder belongs to another sweep.
    """

    def __init__(self, folder: CheckpointFolder, identity: RunIdentity) -> None:
        self._folder = folder
        self._state = folder.restore(identity) if folder.is_enabled else None
        self._steps_before = 0

    @property
    def is_saved(self) -> bool:
        """Whether there is a folder for checkpoints."""
        return self._folder.is_enabled

    def restore(self, digest: str) -> State | None:
        """Return the state of a run, or None if another run was interrupted.

        Args:
            digest: The digest that identifies the run.

        Raises:
            CheckpointError: If the checkpoint is not that of a run.
        """
        if self._state is None:
            return None
        with reraise_as_checkpoint_error():
            facts = dict(self._state.facts)
            interrupted = facts.pop(RUN)
            return replace(self._state, facts=facts) if interrupted == digest else None

    def callback(self, digest: str) -> CheckpointCallback:
        """Return the callback that saves the state of one run."""

        def save(step: int, make_state: Callable[[], State], *, now: bool = False) -> None:
            def marked() -> State:
                state = make_state()
                return replace(state, facts={**state.facts, RUN: digest})

            self._folder.save(self._steps_before + step, marked, now=now)

        return save

    def advance(self, steps: int) -> None:
        """Finish a run, so that the states of later runs count as newer.

        Args:
            steps: The number of its steps.
        """
        self._steps_before += steps
