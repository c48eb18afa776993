"""Several processes and several replicas share a run and get the same result."""

import multiprocessing
import socket

import numpy as np
import pytest
from labeled_images import draw_folder
from working_together import run, work

from nstk.features.workers import Workers, _split

# Processes are forked from one that has loaded TensorFlow but not used it.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tensorflow", "keras", "nstk.finetuning.job"])


def start(data, kind, cluster=None):
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=run, args=(data, kind, cluster or {}, sender), daemon=True)
    process.start()
    sender.close()
    return process, receiver


def finish(started):
    process, receiver = started
    assert receiver.poll(300), "it hangs"
    result = receiver.recv()
    process.join()
    assert process.exitcode == 0
    return result


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 12)


@pytest.fixture(scope="module")
def alone(folder):
    return work(folder)


def check_equal(one, other):
    """A shared run gives what one process gives, but for rounding."""
    for name in ("accuracy", "forward_passes", "files"):
        assert one[name] == other[name]
    assert np.array(one["head"]) == pytest.approx(np.array(other["head"]), abs=1e-4)
    for index in (0, -1):
        assert one["losses"][index] == pytest.approx(other["losses"][index], rel=0.02)


@pytest.mark.slow
def test_two_workers_give_the_result_of_one_process(folder, alone):
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    workers = [
        start(folder, "workers", {"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(2)
    ]
    first, second = map(finish, workers)
    assert first["extracted"] + second["extracted"] == alone["extracted"]
    assert first["extracted"] == second["extracted"]
    assert first == second
    check_equal(first, alone)


@pytest.mark.slow
def test_two_replicas_give_the_result_of_one(folder, alone):
    check_equal(finish(start(folder, "replicas")), alone)


def test_the_strategy_of_the_enclosing_scope_is_used(folder, alone):
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        check_equal(work(folder), alone)


class Alone:
    num_replicas_in_sync = 1


def test_one_process_has_all_items():
    workers = Workers(Alone())
    assert (workers.count, workers.index, workers.replicas) == (1, 0, 1)
    assert workers.shard([1, 2, 3]) == [1, 2, 3]
    assert workers.all_gather(b"word") == (b"word",)
    assert workers.all_reduce_max(2.5) == 2.5
    np.testing.assert_array_equal(workers.gather_rows(np.array([[1.0, 2.0]])), [[1.0, 2.0]])


def test_messages_of_any_length_are_separated():
    def encode(message):
        words = np.frombuffer(message + bytes(-len(message) % 4), np.int32)
        return [len(message), *words]

    words = np.array([*encode(b"hello"), -1, *encode(b""), *encode(b"four"), -1], np.int32)
    assert _split(words) == (b"hello", b"", b"four")
