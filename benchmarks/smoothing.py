"""Does smoothing of activations help a network that is not of VGG's shape?

    python benchmarks/smoothing.py --markdown smoothing.md

Wang, Li and Vasconcelos (2021, "Rethinking and Improving the Robustness of Image Style Transfer",
SWAG) found residual networks to paint badly because few activations are large, and smoothed every
map by a softmax over all its entries before comparing. Here MobileNet-0.75 with its ImageNet
weights paints three pairs at 256 px: as it is, with that softmax, and with log(1 + a), a gentler
smoothing, each under nstk's own loss (`moments`) and under the Gram matrix alone. The judge
(`benchmarks/style_judge.py`) looks through another network. α is 0.3 under `moments` and 0.01 under
`gram`, where squares make it count for more.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np

import nstk
from benchmarks.compact import PAIRS
from benchmarks.style_judge import find_shared, judge
from nstk.backbones.backbone import Backbone
from nstk.images.image import load_image
from nstk.stylization.inputs import read_inputs
from nstk.stylization.task import StyleTransferTask

WEIGHTS = "mobilenet_0.75_224_notop.weights.h5"
CONTENT_WEIGHTS = {"moments": 0.3, "gram": 0.01}

Smoothing = Callable[[Any], Any]


def soften(maps: Any) -> Any:
    """SWAG: softmax over all entries of a map, times a constant near their number."""
    return 1e5 * keras.layers.Softmax(axis=(1, 2, 3))(maps)


SMOOTHINGS: dict[str, Smoothing | None] = {
    "none": None,
    "softmax (SWAG)": soften,
    "log(1 + a)": keras.ops.log1p,
}


@dataclass(frozen=True, eq=False)
class SmoothedBackbone(Backbone):
    """A backbone whose feature maps are smoothed before anybody sees them."""

    smooth: Smoothing

    def tap(self, names: Any) -> Any:
        """See `Backbone.tap`."""
        taps = super().tap(names)
        outputs = {name: self.smooth(output) for name, output in taps.output.items()}
        return keras.Model(taps.inputs[0], outputs)


def paint(network: Backbone, content: Path, style: Path, loss: str) -> nstk.Image:
    """Paint one pair at 256 px."""
    settings = nstk.StylizeSettings(size=256, style_loss=loss, content_weight=CONTENT_WEIGHTS[loss])
    painting = StyleTransferTask(network, read_inputs(content, style, settings), settings)
    *_, descent = painting.descend(strength=0.5)
    return descent.image()


def main() -> None:
    """Paint, judge and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--keep", type=Path, help="folder for the images")
    arguments = parser.parse_args()
    shared = find_shared()
    plain = nstk.load_backbone("mobilenet-0.75", weights=shared / "weights" / WEIGHTS)
    plain = plain.prepared(edge="replicate")
    fields = (plain.name, plain.model, plain.input_size, plain.source)
    lines = [
        "| loss | smoothing | mean style error | mean content cosine |",
        "|---|---|---|---|",
    ]
    for loss in CONTENT_WEIGHTS:
        for name, smooth in SMOOTHINGS.items():
            network = plain if smooth is None else SmoothedBackbone(*fields, smooth)
            judged = []
            for names in PAIRS[::2]:
                folder = shared / "data" / "images"
                paths = (
                    folder / "content" / f"{names[0]}.jpg",
                    folder / "style" / f"{names[1]}.jpg",
                )
                painted = paint(network, *paths, loss)
                judged.append(judge(*(load_image(path).pixels for path in paths), painted))
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    file = f"{loss}-{name.split()[0]}-{'-'.join(names)}.png"
                    nstk.save_image(arguments.keep / file, painted)
            figures = (
                np.mean([j[key] for j in judged]) for key in ("style_error", "content_cosine")
            )
            lines.append(f"| {loss} | {name} | " + " | ".join(f"{f:.3f}" for f in figures) + " |")
            print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table, "utf-8")


if __name__ == "__main__":
    main()
