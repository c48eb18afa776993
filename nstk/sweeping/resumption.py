"""The run that a sweep was at when it ended: a checkpoint keeps where it stood.

Finished runs are kept by `nstk.sweeping.records`, with or without checkpoints.
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
from nstk.stylization.resumption import digest_init, option_values
from nstk.sweeping.grid import SweepAxis

RUN = "run"


def identify_sweep(
    axes: Sequence[SweepAxis],
    settings: StylizeSettings,
    images: Mapping[str, str],
    networks: Mapping[str, str],
) -> RunIdentity:
    """Say what all the runs of a sweep depend on.

    Args:
        axes: What is varied.
        settings: What all have in common.
        images: Digests of content, styles and masks, by name.
        networks: Digests of the networks, by name.
    """
    over = [f"{axis.option}={';'.join(map(axis.format_value, axis.values))}" for axis in axes]
    digests = {
        **images,
        **{f"network {name}": digest for name, digest in networks.items()},
        **digest_init(settings),
    }
    return RunIdentity("sweep", {"over": over, **option_values(settings), **list_versions()}, digests)


class UnfinishedRun:
    """The state of the run that a sweep is at, one run after the other in one folder.

    Args:
        folder: Of checkpoints; may keep nothing.
        recipe: What the sweep depends on.

    Raises:
        CheckpointError: If the folder has the state of another sweep.
    """

    def __init__(self, folder: CheckpointFolder, recipe: RunIdentity) -> None:
        self._folder = folder
        self._found = folder.restore(recipe) if folder.is_enabled else None
        self._before = 0

    @property
    def is_kept(self) -> bool:
        """Whether there is a folder to keep it in."""
        return self._folder.is_enabled

    def find(self, digest: str) -> State | None:
        """Where a run stood, None where it was not the one that was ended.

        Args:
            digest: What the run is known by.

        Raises:
            CheckpointError: If what is kept is no state of a run.
        """
        if self._found is None:
            return None
        with reraise_as_checkpoint_error():
            facts = dict(self._found.facts)
            ended = facts.pop(RUN)
            return replace(self._found, facts=facts) if ended == digest else None

    def keeper(self, digest: str) -> CheckpointCallback:
        """What keeps the state of one run."""

        def keep(step: int, make_state: Callable[[], State], *, now: bool = False) -> None:
            def marked() -> State:
                state = make_state()
                return replace(state, facts={**state.facts, RUN: digest})

            self._folder.save(self._before + step, marked, now=now)

        return keep

    def move_on(self, steps: int) -> None:
        """Leave a run behind, so that the states of the next ones count as newer.

        Args:
            steps: How many it took.
        """
        self._before += steps
