"""Seconds per step, ours against a plain TensorFlow loop and a plain PyTorch loop.

    python benchmarks/step.py --sizes 256 512 --json step.json --torch-python venv/bin/python

Every contestant is a process of its own that takes a step when it is told to. They take turns, so
that what else the machine does meets all of them, and the table has medians. All look at the same
layers, the content at ``block4_conv2`` and the style at the first convolution of each block;
``ours, default`` looks at all that `nstk stylize` looks at. Weights are random.
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

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("off", "on")
PRECISIONS = ("float32", "bfloat16")
ARITHMETICS: dict[str, dict[str, Any]] = {
    "float32": {},
    "float32 winograd": {"convolution": "winograd"},
    "bfloat16": {"precision": "bfloat16"},
}


def make_our_step(
    size: int, network: str, tiling: str, arithmetic: str, layers: str
) -> Callable[[], float]:
    """Build our step; what it returns takes one and gives the loss."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.networks import load_network
    from benchmarks.plain_tensorflow import CONTENT, STYLE
    from nstk.optimizers import Adam, Averaged
    from nstk.stylization.layers import choose_content_layer, choose_style_layers
    from nstk.stylization.objective import LossWeights, ObjectiveWeights, StyleObjective
    from nstk.stylization.tiled.network import TiledNetwork
    from nstk.stylization.tiled.objective import TiledObjective

    backbone = load_network(network).prepared(edge="replicate", **ARITHMETICS[arithmetic])
    style_layers = dict.fromkeys(STYLE, 0.2)
    content_layers = {CONTENT: 1.0}
    if layers == "default":
        style_layers = choose_style_layers(backbone)
        content_layers = {choose_content_layer(backbone): 1.0}
    weights = ObjectiveWeights(1.0, 1.0, 0.1, content_layers, style_layers)
    generator = np.random.default_rng(0)
    content, style = generator.random((2, size, size, 3), np.float32)
    objective: Any = StyleObjective.from_images(backbone, content, [style], weights)
    if tiling == "on":
        cut = TiledNetwork(backbone, tuple(style_layers), tuple(content_layers))
        objective = TiledObjective.within(cut, content, objective.regions, weights)
    rule = Averaged(Adam(0.02, bounds=(0.0, 1.0)), decay=0.9)
    advance = objective.compile(rule)
    balance = LossWeights(*map(tf.constant, weights.balance))
    x = tf.constant(content)
    standing = [x, rule.init(x)]

    def step() -> float:
        standing[0], standing[1], evaluation = advance(*standing, balance)
        return float(evaluation.loss)

    return step


def serve(contestant: str) -> None:
    """Take a step for every line on standard input and print its seconds."""
    kind, network, size, *rest = contestant.split(":")
    if kind == "tensorflow":
        from benchmarks.plain_tensorflow import make_step

        step = make_step(int(size), network)
    else:
        tiling, arithmetic, layers = rest
        step = make_our_step(int(size), network, tiling, arithmetic, layers)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        step()
        print(time.perf_counter() - begun, flush=True)


class Contestant:
    """A process that takes steps."""

    def __init__(self, name: str, command: list[str]) -> None:
        """Start it and wait until it is ready; the first two steps do not count."""
        self.name = name
        self.seconds: list[float] = []
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._read()
        for _ in range(2):
            self._take()

    def step(self) -> None:
        """Take one step that counts."""
        self.seconds.append(self._take())

    def stop(self) -> None:
        """End the process."""
        self.process.communicate()

    def _take(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._read())

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def list_contestants(size: int, network: str, torch_python: str) -> dict[str, list[str]]:
    """Everybody who takes steps at one size, by name."""
    ours = [sys.executable, "-m", "benchmarks.step", "--serve"]
    entries = {
        f"ours, {tiling}, {way}": [*ours, f"ours:{network}:{size}:{tiling}:{way}:plain"]
        for tiling in ENGINES
        for way in ARITHMETICS
    }
    entries["ours, default layers, float32"] = [
        *ours,
        f"ours:{network}:{size}:whole:float32:default",
    ]
    entries["plain TensorFlow"] = [*ours, f"tensorflow:{network}:{size}"]
    if network == "vgg19" and _has_torch(torch_python):
        for precision in PRECISIONS:
            command = [torch_python, "benchmarks/plain_pytorch.py", str(size), precision]
            entries[f"plain PyTorch, {precision}"] = command
    return entries


def compare(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Let everybody take turns."""
    contestants = [Contestant(name, command) for name, command in commands.items()]
    for _ in range(rounds):
        for contestant in contestants:
            contestant.step()
    for contestant in contestants:
        contestant.stop()
    return {contestant.name: contestant.seconds for contestant in contestants}


def _has_torch(python: str) -> bool:
    ended = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    return ended.returncode == 0


def main() -> None:
    """Run all sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=[256, 512, 1024])
    parser.add_argument("--networks", nargs="*", default=["compact", "vgg19"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loops", nargs="*", help="names as in the table; all when left out")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--json", type=Path, default=Path("step.json"))
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    rows = json.loads(given.json.read_text()) if given.json.exists() else []
    for network in given.networks:
        for size in given.sizes:
            entries = list_contestants(size, network, given.torch_python)
            chosen = given.loops or list(entries)
            measured = compare({name: entries[name] for name in chosen}, given.rounds)
            base = statistics.median(measured.get("plain TensorFlow", [float("nan")]))
            for name, seconds in measured.items():
                median = statistics.median(seconds)
                rows.append(
                    {
                        "network": network,
                        "size": size,
                        "loop": name,
                        "median_seconds": median,
                        "against_tensorflow": median / base,
                        "seconds": seconds,
                    }
                )
            given.json.write_text(json.dumps(rows, indent=1))
    print("| network | size | loop | seconds a step | against plain TensorFlow |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['network']} | {row['size']} | {row['loop']} | {row['median_seconds']:.3f} "
            f"| {row['against_tensorflow']:.2f} |"
        )


if __name__ == "__main__":
    main()
