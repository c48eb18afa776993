"""Measuring the speed of convolutions on this machine; results are cached."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from nstk.backbones.convolutions import prepare_kernels
from nstk.backbones.variants import Precision
from nstk.backbones.winograd import convolve_by_winograd, suits_winograd
from nstk.errors import OutputError
from nstk.storage.files import atomic_write, find_cache_folder
from nstk.types import Tensor

TIMED_FLOPS = 1e8
"""Multiplications of one timed convolution."""

MIN_SIDE, MIN_SIDE_WINOGRAD = 8, 32
"""Smallest side of the timed feature maps: Winograd tiles pay off on large maps."""

RUNS = 10

Kernel = tuple[int, ...]


@dataclass(frozen=True)
class Speed:
    """Seconds per multiplication of one convolution."""

    forward: float
    backward: float


def time_convolutions(kernels: Iterable[Kernel], precision: Precision) -> dict[Kernel, Speed]:
    """Time convolutions, or read their times on this machine from the cache folder.

    All of VGG19's convolutions in both precisions take a few seconds. If the cache folder is not
    writable, the times are not stored.
    """
    file = find_cache_folder() / "speeds.json"
    known = read_speeds(file)
    machine = known.setdefault(describe_machine(), {})
    wanted = {kernel: f"{precision} {'×'.join(map(str, kernel))}" for kernel in set(kernels)}
    new = {kernel: name for kernel, name in wanted.items() if name not in machine}
    for kernel, name in new.items():
        speed = _time(kernel, precision)
        machine[name] = [speed.forward, speed.backward]
    if new:
        write_speeds(file, known)
    return {kernel: Speed(*machine[name]) for kernel, name in wanted.items()}


def _time(kernel: Kernel, precision: Precision) -> Speed:
    rows, columns, given, made = kernel
    least = MIN_SIDE_WINOGRAD if suits_winograd(kernel, precision) else MIN_SIDE
    side = int(min(128, max(least, (TIMED_FLOPS / (rows * columns * given * made)) ** 0.5)))
    maps = tf.cast(tf.random.stateless_uniform([1, side, side, given], [0, 1]), precision)
    filters = tf.cast(tf.random.stateless_uniform(kernel, [0, 2]), precision)
    gradient = tf.cast(tf.random.stateless_uniform([1, side, side, made], [0, 3]), precision)
    constants = prepare_kernels(filters, precision)
    if suits_winograd(kernel, precision):
        forward = _fastest(lambda: convolve_by_winograd(maps, *constants))
        backward = _fastest(lambda: convolve_by_winograd(gradient, *reversed(constants)))
    else:
        forward = _fastest(lambda: tf.nn.conv2d(maps, filters, 1, "SAME"))
        backward = _fastest(lambda: tf.nn.conv2d(gradient, *constants, 1, "SAME"))
    products = side * side * rows * columns * given * made
    return Speed(forward / products, backward / products)


def _fastest(compute: Callable[[], Tensor]) -> float:
    """Seconds of the fastest of many short runs; other processes slow down the rest."""
    seconds = []
    for _ in range(RUNS):
        before = time.perf_counter()
        compute()
        tf.test.experimental.sync_devices()
        seconds.append(time.perf_counter() - before)
    return min(seconds)


def describe_machine() -> str:
    devices = [
        tf.config.experimental.get_device_details(device).get("device_name", device.device_type)
        for device in tf.config.list_physical_devices()
    ]
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
    parts = [platform.node(), platform.machine(), f"{threads} threads", *devices, tf.__version__]
    return ", ".join(map(str, parts))


def read_speeds(file: Path) -> dict[str, dict[str, list[float]]]:
    with suppress(OSError, AttributeError, TypeError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
        return {
            machine: {name: [*map(float, seconds)] for name, seconds in speeds.items()}
            for machine, speeds in known.items()
        }
    return {}


def write_speeds(file: Path, known: dict[str, dict[str, list[float]]]) -> None:
    def write(path: Path) -> None:
        path.write_text(json.dumps(known, ensure_ascii=False, indent=1), encoding="utf-8")

    with suppress(OSError, OutputError):
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, write)
