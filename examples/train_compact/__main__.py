"""Train the packaged `compact` network: `python -m examples.train_compact --help`."""

import argparse
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from examples.train_compact import recipe, training
from nstk.errors import NstkError

ROOT = Path(__file__).parents[2]


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.train_compact", description=__doc__)
    add = parser.add_argument
    add(
        "--shared",
        type=Path,
        default=Path(os.environ.get("NSTK_SHARED", ROOT.parent / "shared")),
        help="folder with data/tiny-imagenet/ and weights/ [NSTK_SHARED or ../shared]",
    )
    add(
        "--work",
        type=Path,
        default=Path.home() / ".cache" / "nstk" / "train_compact",
        help="folder for checkpoints and teacher features [%(default)s]",
    )
    add(
        "--out",
        type=Path,
        default=ROOT / "nstk" / "backbones" / "data" / "compact.npz",
        help="weights file to write [nstk/backbones/data/compact.npz]",
    )
    add("--steps", type=int, default=12000, help="training steps [%(default)s]")
    add(
        "--finish",
        type=int,
        default=1500,
        help="steps of the finishing phase on textures [%(default)s]",
    )
    add("--until", type=int, help="stop at this step; the same command resumes later")
    add(
        "--objective",
        choices=tuple(training.OBJECTIVES),
        default="both",
        help="train on labels, teachers or both [%(default)s]",
    )
    add("--seed", type=int, default=0, help="random seed of weights, order and crops [%(default)s]")
    add("--checkpoint-every", type=int, default=500, help="steps between checkpoints [%(default)s]")
    add(
        "--parts",
        type=int,
        default=1,
        help="independent parts of a batch; 2 with TF_NUM_INTRAOP_THREADS=1 suits two busy cores",
    )
    add("--export", action="store_true", help="write the network of the latest checkpoint and exit")
    add("--smoke", action="store_true", help="a test run of seconds on three classes")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run the recipe with the options of the command line."""
    arguments = vars(parse_arguments(words))
    export, smoke = arguments.pop("export"), arguments.pop("smoke")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        chosen = recipe.Recipe(**arguments)
        chosen = chosen.shrink() if smoke else chosen
        report = recipe.export(chosen, *recipe.prepare(chosen)) if export else recipe.train(chosen)
    except NstkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{chosen.out}: step {report.step}, {report.epochs:.1f} epochs, "
        f"top-1 {report.top_1:.4f}, {report.file_bytes / 1e6:.2f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
