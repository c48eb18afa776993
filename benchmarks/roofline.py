"""Measure which share of the machine's peak convolution rate a step of `nstk stylize` reaches.

    python benchmarks/roofline.py --sizes 512 --json roofline.json

In each round a step and bare convolutions of four shapes, forward and backward, run in turn in the
same process and dtype. The peak rate is that of the fastest shape. The operations of a step are
those of its convolutions and its Gram matrices, two per multiplication.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.history import Figure, record
from benchmarks.networks import load_network
from benchmarks.step import make_nstk_step
from nstk.backbones.stages import count_flops
from nstk.stylization.recipe import choose_content_layer, choose_style_layers

SHAPES = ((256, 64), (128, 128), (64, 256), (32, 512))
"""Side and channels of the timed convolutions."""


def make_convolution(side: int, channels: int, precision: str) -> tuple[Callable[[], Any], float]:
    """Return a forward and backward convolution, and its number of operations."""
    maps = tf.cast(tf.random.stateless_uniform([1, side, side, channels], [0, 1]), precision)
    kernel = tf.cast(tf.random.stateless_uniform([3, 3, channels, channels], [0, 2]), precision)

    @tf.function
    def convolve() -> Any:
        forward = tf.nn.conv2d(maps, kernel, 1, "SAME")
        backward = tf.nn.conv2d_transpose(maps, kernel, maps.shape, 1, "SAME")
        return forward[0, 0, 0, 0] + backward[0, 0, 0, 0]

    return (lambda: convolve().numpy()), 4 * side**2 * prod(kernel.shape)


def count_operations(network: str, size: int) -> float:
    """Return the number of operations of a step with the default layers."""
    backbone = load_network(network)
    style = choose_style_layers(backbone)
    layers = tuple(dict.fromkeys([*style, choose_content_layer(backbone)]))
    model = backbone.tap(layers)
    grams = sum(
        model.get_layer(name).output.shape[-1] ** 2 / backbone.stride(name) ** 2 for name in style
    )
    return 4 * size**2 * (count_flops(model).products + grams)


def measure(network: str, size: int, precision: str, rounds: int) -> dict[str, Any]:
    """Run the step and the convolutions in turn and compare the median rates."""
    step = make_nstk_step(size, network, "off", precision, "default")
    workloads = {"step": (step, count_operations(network, size))}
    for side, channels in SHAPES:
        workloads[f"{side}×{channels}"] = make_convolution(side, channels, precision)
    seconds: dict[str, list[float]] = {name: [] for name in workloads}
    for round_number in range(rounds + 1):
        for name, (run, _) in workloads.items():
            began = time.perf_counter()
            run()
            if round_number:
                seconds[name].append(time.perf_counter() - began)
    rates = {name: workloads[name][1] / statistics.median(times) for name, times in seconds.items()}
    best = max(rate for name, rate in rates.items() if name != "step")
    return {
        "network": network,
        "size": size,
        "precision": precision,
        "step_rate": rates["step"],
        "best_rate": best,
        "fraction": rates["step"] / best,
    }


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 512])
    parser.add_argument("--networks", nargs="*", default=["vgg19"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("roofline.json"))
    arguments = parser.parse_args()
    rows = [
        measure(network, size, precision, arguments.rounds)
        for network in arguments.networks
        for size in arguments.sizes
        for precision in ("float32", "bfloat16")
    ]
    arguments.json.write_text(json.dumps(rows, indent=1))
    figures = {
        f"{row['network']}, {row['size']} px, {row['precision']}": Figure(
            row["step_rate"] / 1e9, "GFLOP/s", row["fraction"]
        )
        for row in rows
    }
    record("roofline", figures)
    print("| network | size | precision | step | best convolution | fraction |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['network']} | {row['size']} | {row['precision']} "
            f"| {row['step_rate'] / 1e9:.0f} GFLOP/s | {row['best_rate'] / 1e9:.0f} GFLOP/s "
            f"| {row['fraction']:.2f} |"
        )


if __name__ == "__main__":
    main()
