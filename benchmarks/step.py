"""Measure seconds per step of nstk, of a plain TensorFlow loop and of a plain PyTorch loop.

    python -m benchmarks.step --sizes 256 512 --json step.json --torch-python venv/bin/python

Every loop runs in its own process and takes one step on request. The loops take steps in turn, so
that other work on the machine slows all of them equally; the table states medians. All use the same
layers, ``block4_conv2`` for the content and the first convolution of each block for the style; only
``nstk, default layers`` uses the layers of `nstk stylize`. Weights are random.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.history import Figure, record

ROOT = Path(__file__).resolve().parents[1]
TILINGS = ("off", "on")
PRECISIONS = ("float32", "bfloat16")
ARITHMETICS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"precision": "bfloat16"},
}


def make_nstk_step(
    size: int, network: str, tiling: str, arithmetic: str, layers: str
) -> Callable[[], float]:
    """Return a function that takes one step of `nstk stylize` and returns the loss."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.networks import load_network
    from benchmarks.plain_tensorflow import CONTENT_LAYER, STYLE_LAYERS
    from nstk.optimizers import Adam, Averaged
    from nstk.stylization.objective import LossWeights, ObjectiveWeights, StyleObjective
    from nstk.stylization.recipe import choose_content_layer, choose_style_layers
    from nstk.stylization.tiled.network import TiledNetwork
    from nstk.stylization.tiled.objective import TiledObjective

    backbone = load_network(network).prepared(edge="replicate", **ARITHMETICS[arithmetic])
    style_layers = dict.fromkeys(STYLE_LAYERS, 0.2)
    content_layers = {CONTENT_LAYER: 1.0}
    if layers == "default":
        style_layers = choose_style_layers(backbone)
        content_layers = {choose_content_layer(backbone): 1.0}
    weights = ObjectiveWeights(1.0, 1.0, 0.1, content_layers, style_layers)
    generator = np.random.default_rng(0)
    content, style = generator.random((2, size, size, 3), np.float32)
    objective: Any = StyleObjective.from_images(backbone, content, [style], weights)
    if tiling == "on":
        tiled = TiledNetwork(backbone, tuple(style_layers), tuple(content_layers))
        objective = TiledObjective.from_regions(tiled, content, objective.regions, weights)
    optimizer = Averaged(Adam(0.02, bounds=(0.0, 1.0)), decay=0.9)
    compiled_step = objective.compile(optimizer)
    loss_weights = LossWeights(*map(tf.constant, weights.loss_weights))
    x = tf.constant(content)
    current = [x, optimizer.init(x)]

    def step() -> float:
        current[0], current[1], evaluation = compiled_step(*current, loss_weights)
        return float(evaluation.loss)

    return step


def serve(loop: str) -> None:
    """Take a step for every line on standard input and print its seconds."""
    kind, network, size, *rest = loop.split(":")
    if kind == "tensorflow":
        from benchmarks.plain_tensorflow import make_step

        step = make_step(int(size), network)
    else:
        tiling, arithmetic, layers = rest
        step = make_nstk_step(int(size), network, tiling, arithmetic, layers)
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        step()
        print(time.perf_counter() - began, flush=True)


class LoopProcess:
    """A process that takes steps on request."""

    def __init__(self, name: str, command: list[str]) -> None:
        """Start the process, wait until it is ready and take two steps that do not count."""
        self.name = name
        self.seconds: list[float] = []
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._read_line()
        for _ in range(2):
            self._time_step()

    def step(self) -> None:
        """Take one step and record its seconds."""
        self.seconds.append(self._time_step())

    def stop(self) -> None:
        """End the process."""
        self.process.communicate()

    def _time_step(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._read_line())

    def _read_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def list_loops(size: int, network: str, torch_python: str) -> dict[str, list[str]]:
    """Return the commands of all loops at one size, by name."""
    prefix = [sys.executable, "-m", "benchmarks.step", "--serve"]
    commands = {
        f"nstk, tiling {tiling}, {arithmetic}": [
            *prefix,
            f"nstk:{network}:{size}:{tiling}:{arithmetic}:plain",
        ]
        for tiling in TILINGS
        for arithmetic in ARITHMETICS
    }
    commands["nstk, default layers, float32"] = [
        *prefix,
        f"nstk:{network}:{size}:off:float32:default",
    ]
    commands["plain TensorFlow"] = [*prefix, f"tensorflow:{network}:{size}"]
    if network == "vgg19" and _has_torch(torch_python):
        for precision in PRECISIONS:
            command = [torch_python, "benchmarks/plain_pytorch.py", str(size), precision]
            commands[f"plain PyTorch, {precision}"] = command
    return commands


def compare(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Let all loops take steps in turn and return their seconds by name."""
    loops = [LoopProcess(name, command) for name, command in commands.items()]
    for _ in range(rounds):
        for loop in loops:
            loop.step()
    for loop in loops:
        loop.stop()
    return {loop.name: loop.seconds for loop in loops}


def _has_torch(python: str) -> bool:
    process = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    return process.returncode == 0


def main() -> None:
    """Measure all networks and sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 512, 1024])
    parser.add_argument("--networks", nargs="*", default=["compact", "vgg19"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loops", nargs="*", help="names as in the table [all]")
    parser.add_argument(
        "--torch-python", default=sys.executable, help="Python with PyTorch [this one]"
    )
    parser.add_argument("--json", type=Path, default=Path("step.json"))
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    rows = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    for network in arguments.networks:
        for size in arguments.sizes:
            commands = list_loops(size, network, arguments.torch_python)
            chosen = arguments.loops or list(commands)
            measured = compare({name: commands[name] for name in chosen}, arguments.rounds)
            plain = measured.get("plain TensorFlow")
            for name, seconds in measured.items():
                median = statistics.median(seconds)
                rows.append(
                    {
                        "network": network,
                        "size": size,
                        "loop": name,
                        "median_seconds": median,
                        "against_tensorflow": median / statistics.median(plain) if plain else None,
                        "seconds": seconds,
                    }
                )
            arguments.json.write_text(json.dumps(rows, indent=1))
    figures = {
        f"{row['network']}, {row['size']} px, {row['loop']}": Figure(
            row["median_seconds"], "s", row["against_tensorflow"]
        )
        for row in rows
    }
    record("step", figures)
    print("| network | size | loop | seconds per step | against plain TensorFlow |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['network']} | {row['size']} | {row['loop']} | {row['median_seconds']:.3f} "
            f"| {row['against_tensorflow'] or float('nan'):.2f} |"
        )


if __name__ == "__main__":
    main()
