"""Measuring the speed of convolutions on this machine; results are cached."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from nstk.backbones.variants import Arithmetic, Convolution
from nstk.backbones.winograd import convolve, transform_kernel, turn_kernel
from nstk.errors import OutputError
from nstk.storage.files import atomic_write, find_cache_folder
from nstk.types import Tensor

TIMED_FLOPS = 1e8
"""Multiplications of one timed convolution."""

MIN_SIDE: Mapping[Convolution, int] = {"direct": 8, "winograd": 32}
"""Smallest side of the timed feature maps: Winograd tiles pay off on large maps."""

RUNS = 10

Kernel = tuple[int, ...]


@dataclass(frozen=True)
class Speed:
    """Seconds per multiplication of one convolution.

    Attributes:
        forward: For its result.
        backward: For the gradient of its input.
    """

    forward: float
    backward: float


def time_convolutions(kernels: Iterable[Kernel], arithmetic: Arithmetic) -> dict[Kernel, Speed]:
    """Time convolutions, or read their times on this machine from the cache folder.

    All of VGG19's convolutions in every arithmetic take a few seconds. If the cache folder is not
    writable, the times are not stored.

    Args:
        kernels: ``(rows, columns, channels in, channels out)``.
        arithmetic: Precision and algorithm.
    """
    file = find_cache_folder() / "speeds.json"
    known = _read(file)
    machine = known.setdefault(_describe_machine(), {})
    prefix = " ".join(arithmetic)
    wanted = {kernel: f"{prefix} {'×'.join(map(str, kernel))}" for kernel in set(kernels)}
    new = {kernel: name for kernel, name in wanted.items() if name not in machine}
    for kernel, name in new.items():
        speed = _time(kernel, arithmetic)
        machine[name] = [speed.forward, speed.backward]
    if new:
        _write(file, known)
    return {kernel: Speed(*machine[name]) for kernel, name in wanted.items()}


def _time(kernel: Kernel, arithmetic: Arithmetic) -> Speed:
    rows, columns, given, made = kernel
    least = MIN_SIDE[arithmetic.convolution]
    side = int(min(128, max(least, (TIMED_FLOPS / (rows * columns * given * made)) ** 0.5)))
    precision = arithmetic.precision
    maps = tf.cast(tf.random.stateless_uniform([1, side, side, given], [0, 1]), precision)
    filters = tf.cast(tf.random.stateless_uniform(kernel, [0, 2]), precision)
    gradient = tf.cast(tf.random.stateless_uniform([1, side, side, made], [0, 3]), precision)
    if arithmetic.convolution == "winograd":
        kernel_t, turned_t = (
            transform_kernel(filters.numpy()),
            transform_kernel(turn_kernel(filters)),
        )
        forward = _fastest(tf.function(lambda: convolve(maps, kernel_t, turned_t), autograph=False))
        backward = _fastest(
            tf.function(lambda: convolve(gradient, turned_t, kernel_t), autograph=False)
        )
    else:
        shape = [1, side, side, given]
        forward = _fastest(lambda: tf.nn.conv2d(maps, filters, 1, "SAME"))
        backward = _fastest(lambda: tf.nn.conv2d_transpose(gradient, filters, shape, 1, "SAME"))
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


def _describe_machine() -> str:
    devices = [
        tf.config.experimental.get_device_details(device).get("device_name", device.device_type)
        for device in tf.config.list_physical_devices()
    ]
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
    parts = [platform.node(), platform.machine(), f"{threads} threads", *devices, tf.__version__]
    return ", ".join(map(str, parts))


def _read(file: Path) -> dict[str, dict[str, list[float]]]:
    with suppress(OSError, AttributeError, TypeError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
        return {
            machine: {name: [float(there), float(back)] for name, (there, back) in speeds.items()}
            for machine, speeds in known.items()
        }
    return {}


def _write(file: Path, known: dict[str, dict[str, list[float]]]) -> None:
    def write(path: Path) -> None:
        path.write_text(json.dumps(known, ensure_ascii=False, indent=1), encoding="utf-8")

    with suppress(OSError, OutputError):
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, write)
