"""Several processes and several replicas share a run, and come to the same result."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from labeled_images import draw_folder
from working_together import work

from nstk.features.workers import Workers, _split

ROOT = Path(__file__).resolve().parents[2]


def start(data, kind, config=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    if config:
        environment["TF_CONFIG"] = json.dumps(config)
    script = Path(__file__).with_name("working_together.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(data), kind],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    told, complained = process.communicate(timeout=300)
    assert process.returncode == 0, complained[-3000:]
    return json.loads(told.splitlines()[-1])


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
    return work(folder, None)


def agree(one, other):
    """Whether a shared run did what one process does, but for rounding."""
    for name in ("accuracy", "forward_passes", "files"):
        assert one[name] == other[name]
    assert np.array(one["head"]) == pytest.approx(np.array(other["head"]), abs=1e-4)
    for place in (0, -1):
        assert one["losses"][place] == pytest.approx(other["losses"][place], rel=0.02)


@pytest.mark.slow
def test_two_workers_do_what_one_process_does(folder, alone):
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    workers = [
        start(folder, "workers", {"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(2)
    ]
    first, second = map(finish, workers)
    assert first["looked_at"] + second["looked_at"] == alone["looked_at"]
    assert first["looked_at"] == second["looked_at"]
    assert first == second
    agree(first, alone)


@pytest.mark.slow
def test_two_replicas_do_what_one_does(folder, alone):
    agree(finish(start(folder, "replicas")), alone)


def test_a_strategy_may_be_the_one_in_whose_scope_the_call_stands(folder, alone):
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        agree(work(folder, None), alone)


class Alone:
    num_replicas_in_sync = 1


def test_one_process_has_everything_to_itself():
    workers = Workers(Alone())
    assert (workers.count, workers.index, workers.replicas) == (1, 0, 1)
    assert workers.share([1, 2, 3]) == [1, 2, 3]
    assert workers.all_gather(b"word") == (b"word",)
    assert workers.all_reduce_max(2.5) == 2.5
    np.testing.assert_array_equal(workers.join(np.array([[1.0, 2.0]])), [[1.0, 2.0]])


def test_messages_of_any_length_are_told_apart():
    def speak(message):
        words = np.frombuffer(message + bytes(-len(message) % 4), np.int32)
        return [len(message), *words]

    words = np.array([*speak(b"hello"), -1, *speak(b""), *speak(b"four"), -1], np.int32)
    assert _split(words) == (b"hello", b"", b"four")
