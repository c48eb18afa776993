"""Several processes that do one job together: who does what, and how they tell each other."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_WORD = 4


@dataclass(frozen=True, eq=False)
class Workers:
    """The processes of a ``tf.distribute`` strategy; without one, this process alone.

    Attributes:
        strategy: A ``tf.distribute.Strategy``.
    """

    strategy: Any

    @cached_property
    def count(self) -> int:
        """How many processes there are."""
        return sum(map(len, self._cluster.values())) or 1

    @cached_property
    def index(self) -> int:
        """Which of them this is, from 0; a chief comes first."""
        if self.count == 1:
            return 0
        resolver = self.strategy.cluster_resolver
        before = 0 if resolver.task_type == "chief" else len(self._cluster.get("chief", ()))
        return before + int(resolver.task_id)

    @property
    def replicas(self) -> int:
        """How many copies of the network this process has."""
        return max(1, int(self.strategy.num_replicas_in_sync) // self.count)

    def share(self, items: Any) -> Any:
        """Those of a sequence or of the rows of an array that are this process's to look at.

        They are every ``count``-th.
        """
        return items[self.index :: self.count]

    def all_gather(self, message: bytes) -> tuple[bytes, ...]:
        """Tell all others something, and hear what they tell; every process must call it.

        Returns:
            What each of them told, in their order.
        """
        if self.count == 1:
            return (message,)
        padding = bytes(-len(message) % _WORD)
        words = np.frombuffer(message + padding, np.int32)
        spoken = np.concatenate([np.array([len(message)], np.int32), words])
        silent = np.array([-1], np.int32)
        first = self.index * self.replicas

        def speak(context: Any) -> Any:
            return tf.constant(spoken if context.replica_id_in_sync_group == first else silent)

        told = self.strategy.experimental_distribute_values_from_function(speak)
        return _split(self.strategy.gather(told, axis=0).numpy())

    def all_reduce_max(self, number: float) -> float:
        """The largest of the numbers that the processes give; every process must call it."""
        told = self.all_gather(np.float64(number).tobytes())
        return max(float(np.frombuffer(each, np.float64)[0]) for each in told)

    def join(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The rows ``(n, k)`` of all processes, one below the other; every process must call it."""
        told = self.all_gather(np.ascontiguousarray(rows).tobytes())
        return np.concatenate([np.frombuffer(each).reshape(-1, rows.shape[1]) for each in told])

    @cached_property
    def _cluster(self) -> dict[str, list[str]]:
        resolver = getattr(self.strategy, "cluster_resolver", None)
        spec = resolver.cluster_spec().as_dict() if resolver else {}
        return {role: spec[role] for role in ("chief", "worker") if role in spec}


def _split(words: npt.NDArray[np.int32]) -> tuple[bytes, ...]:
    messages = []
    place = 0
    while place < len(words):
        length = int(words[place])
        place += 1
        if length >= 0:
            count = -(-length // _WORD)
            messages.append(words[place : place + count].tobytes()[:length])
            place += count
    return tuple(messages)
