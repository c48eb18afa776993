"""What runs a frozen network: TensorFlow's compiled graph, or LiteRT with XNNPACK.

On a processor LiteRT takes 0.4 to 0.6 of the time of TensorFlow, which is slow at depthwise
convolutions; their outputs agree to 1e-5. The network has to be converted first, which takes
seconds, so that LiteRT pays off for many images only. It computes each image by itself on one
thread: a row does not depend on the other rows or on the number of threads.
"""

import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from math import prod
from queue import SimpleQueue
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from nstk.backbones.conv_benchmark import describe_machine, read_speeds, write_speeds
from nstk.backbones.keras_config import check_process, pinned_keras_config
from nstk.backbones.stages import count_flops
from nstk.errors import OutputError, SettingsError
from nstk.settings import ExecutorName, check_word
from nstk.storage.files import find_cache_folder
from nstk.types import Array, CompiledFunction, KerasModel

TENSORFLOW, LITERT = "tensorflow", "litert"

TOLERANCE = 1e-4
"""Largest difference of outputs, relative to the largest one, for which auto takes LiteRT."""

_MIN_PRODUCTS = 5e10
"""Multiplications below which a run is so short that nothing is measured: TensorFlow takes it."""

_TIMED_ROWS = 8
_MAX_INTERPRETERS = 8

Run = Callable[[Array], list[Array]]
"""Function from float32 rows ``(n, …)`` to the outputs ``(n, …)`` of a network."""


class NetworkExecutor:
    """A network as a function from float32 arrays to its outputs, by either executor.

    Args:
        network: A functional ``keras.Model``; its outputs are flattened by ``keras.tree``.
    """

    def __init__(self, network: KerasModel) -> None:
        self._network = network
        nested = (each for each in network.layers if isinstance(each, keras.Model))
        self._backbone = next(nested, network)

    def run(self, executor: str) -> Run:
        """The function that runs the network."""
        check_process()
        return self._litert if executor == LITERT else self._tensorflow

    def choose(self, asked: ExecutorName, count: int) -> str:
        """Choose the executor of a run over ``count`` rows, always the same on one machine.

        Auto takes the faster one, its conversion included, as measured once on this machine. With
        a GPU and inside the scope of a ``tf.distribute`` strategy that is TensorFlow.
        """
        check_word("executor", asked, ExecutorName)
        if asked != "auto":
            return asked
        if tf.config.list_physical_devices("GPU") or tf.distribute.has_strategy():
            return TENSORFLOW
        pixels = prod(self._network.input_shape[1:-1])
        if count * pixels * count_flops(self._backbone).products < _MIN_PRODUCTS:
            return TENSORFLOW
        tensorflow, litert, conversion = self._recall_speeds()
        return LITERT if conversion + count * litert < count * tensorflow else TENSORFLOW

    @cached_property
    def _tensorflow(self) -> Run:
        compiled = self._compile(None)
        return lambda rows: [each.numpy() for each in compiled(tf.constant(rows))]

    @cached_property
    def _litert(self) -> Run:
        try:
            return _LiteRT(self._compile(1))
        except Exception as error:  # the converter raises almost anything
            reason = " ".join(str(error).split())[:200]
            raise SettingsError(
                f"`executor` is 'litert', but this network cannot be converted ({reason}); use "
                "`executor='tensorflow'`."
            ) from error

    @pinned_keras_config()
    def _compile(self, count: int | None) -> CompiledFunction:
        return tf.function(
            lambda rows: keras.tree.flatten(self._network(rows, training=False)),
            input_signature=[tf.TensorSpec((count, *self._network.input_shape[1:]), tf.float32)],
            autograph=False,
        ).get_concrete_function()

    def _recall_speeds(self) -> list[float]:
        """Seconds a row by TensorFlow and by LiteRT, and of the conversion."""
        # The head hardly matters: classifiers with the same backbone share a measurement.
        shape = "×".join(map(str, self._network.input_shape[1:]))
        name = f"{self._backbone.count_params()} {shape} {len(self._backbone.outputs)}"
        with suppress(OutputError):
            file = find_cache_folder() / "executors.json"
            known = read_speeds(file)
            machine = known.setdefault(describe_machine(), {})
            if name not in machine:
                machine[name] = self._measure_speeds()
                write_speeds(file, known)
            return machine[name]
        return self._measure_speeds()

    def _measure_speeds(self) -> list[float]:
        shape = (_TIMED_ROWS, *self._network.input_shape[1:])
        rows = np.random.default_rng(0).random(shape, np.float32)
        began = time.perf_counter()
        try:
            litert = self._litert
        except SettingsError:
            return [0.0, 0.0, float("inf")]
        conversion = time.perf_counter() - began
        agree = all(
            np.abs(one - other).max() <= TOLERANCE * np.abs(one).max()
            for one, other in zip(self._tensorflow(rows), litert(rows), strict=True)
        )
        speeds = [_time(run, rows) / _TIMED_ROWS for run in (self._tensorflow, litert)]
        return [*speeds, conversion if agree else float("inf")]


def depends_on_rows(executor: str) -> bool:
    """Whether a row of outputs may depend in the last bit on its place and the size of its batch.

    On GPUs it may as well, but there machines differ by more.
    """
    return executor == TENSORFLOW and not tf.config.list_physical_devices("GPU")


def _time(run: Run, rows: Array) -> float:
    """Seconds of the fastest of three runs; other processes slow down the rest."""
    seconds: list[float] = []
    for _ in range(3):
        before = time.perf_counter()
        run(rows)
        seconds.append(time.perf_counter() - before)
    return min(seconds)


class _LiteRT:
    """A network in LiteRT: one interpreter for each thread, each with one row at a time.

    Args:
        function: A concrete function of one row.
    """

    def __init__(self, function: CompiledFunction) -> None:
        # Freezing first takes a tenth of the time of converting a Keras model.
        frozen = convert_variables_to_constants_v2(function)
        converter = tf.compat.v1.lite.TFLiteConverter(
            frozen.graph.as_graph_def(), frozen.inputs, frozen.outputs
        )
        self._content = converter.convert()
        self._threads = min(count_threads(), _MAX_INTERPRETERS)
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self._threads):
            self._idle.put(None)  # made when it is needed
        self._pool = ThreadPoolExecutor(self._threads)

    def __call__(self, rows: Array) -> list[Array]:
        outputs = [*self._pool.map(self._run_row, rows)]
        return [np.concatenate(each) for each in zip(*outputs, strict=True)]

    def _run_row(self, row: Array) -> list[Array]:
        interpreter = self._idle.get() or self._make_interpreter()
        try:
            [entry] = interpreter.get_input_details()
            interpreter.set_tensor(entry["index"], row[np.newaxis])
            interpreter.invoke()
            outputs = interpreter.get_output_details()
            return [interpreter.get_tensor(each["index"]) for each in outputs]
        finally:
            self._idle.put(interpreter)

    def _make_interpreter(self) -> Any:
        with warnings.catch_warnings():  # its successor is another package
            warnings.simplefilter("ignore")
            interpreter = tf.lite.Interpreter(
                model_content=self._content, num_threads=count_threads() // self._threads
            )
        interpreter.allocate_tensors()
        return interpreter


def count_threads() -> int:
    """Threads that computations may use: those TensorFlow is limited to, or all processors."""
    limit = tf.config.threading.get_intra_op_parallelism_threads()
    limit = limit or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return limit or available or 1
