"""Several processes that share one job: their shards, and how they gather results."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.types import Strategy, Tensor

_WORD = 4


@dataclass(frozen=True, eq=False)
class Workers:
    """The processes of a ``tf.distribute`` strategy; without one, this process alone.

    Attributes:
        strategy: A ``tf.distribute.Strategy``.
    """

    strategy: Strategy

    @cached_property
    def count(self) -> int:
        """Number of processes."""
        return sum(map(len, self._cluster.values())) or 1

    @cached_property
    def index(self) -> int:
        """Index of this process, from 0; the chief is first."""
        if self.count == 1:
            return 0
        resolver = self.strategy.cluster_resolver
        before = 0 if resolver.task_type == "chief" else len(self._cluster.get("chief", ()))
        return before + int(resolver.task_id)

    @property
    def replicas(self) -> int:
        """Replicas of the network in this process."""
        return max(1, int(self.strategy.num_replicas_in_sync) // self.count)

    def shard(self, items: Any) -> Any:
        """The items of a sequence, or rows of an array, of this process: every ``count``-th."""
        return items[self.index :: self.count]

    def all_gather(self, message: bytes) -> tuple[bytes, ...]:
        """Send a message to all processes; every process must call it.

        Returns:
            The message of each process, in their order.
        """
        if self.count == 1:
            return (message,)
        padding = bytes(-len(message) % _WORD)
        words = np.frombuffer(message + padding, np.int32)
        sent = np.concatenate([np.array([len(message)], np.int32), words])
        empty = np.array([-1], np.int32)
        first = self.index * self.replicas

        def message_of(context: tf.distribute.experimental.ValueContext) -> Tensor:
            return tf.constant(sent if context.replica_id_in_sync_group == first else empty)

        values = self.strategy.experimental_distribute_values_from_function(message_of)
        return _split(self.strategy.gather(values, axis=0).numpy())

    def all_reduce_max(self, number: float) -> float:
        """The largest of the numbers of all processes; every process must call it."""
        messages = self.all_gather(np.float64(number).tobytes())
        return max(float(np.frombuffer(each, np.float64)[0]) for each in messages)

    def gather_rows(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The rows ``(n, k)`` of all processes, concatenated; every process must call it."""
        messages = self.all_gather(np.ascontiguousarray(rows).tobytes())
        return np.concatenate([np.frombuffer(each).reshape(-1, rows.shape[1]) for each in messages])

    @cached_property
    def _cluster(self) -> dict[str, list[str]]:
        resolver = getattr(self.strategy, "cluster_resolver", None)
        spec = resolver.cluster_spec().as_dict() if resolver else {}
        return {role: spec[role] for role in ("chief", "worker") if role in spec}


def _split(words: npt.NDArray[np.int32]) -> tuple[bytes, ...]:
    messages = []
    start = 0
    while start < len(words):
        length = int(words[start])
        start += 1
        if length >= 0:
            count = -(-length // _WORD)
            messages.append(words[start : start + count].tobytes()[:length])
            start += count
    return tuple(messages)
