"""Measure whether smoothing of activations helps style transfer with other networks than VGG.

    python benchmarks/smoothing.py --markdown smoothing.md

Wang, Li and Vasconcelos (2021, "Rethinking and Improving the Robustness of Image Style Transfer",
SWAG) found that residual networks give poor results because few activations are large, and smoothed
every feature map by a softmax over all its entries before comparing. This program stylizes three
pairs at 256 px with MobileNet-0.75 and its ImageNet weights: without smoothing, with that softmax,
and with log(1 + a), a gentler smoothing, each with the default loss (`moments`) and with the Gram
matrix alone. The quality metrics (`benchmarks/style_metrics.py`) use another network. α is 0.3 for
`moments` and 0.01 for `gram`, whose squared distances are smaller.
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
from benchmarks.style_metrics import find_shared, measure_style
from nstk.backbones.backbone import Backbone
from nstk.images.loading import load_image
from nstk.stylization.inputs import read_inputs
from nstk.stylization.regions import NO_MASKS
from nstk.stylization.task import StyleTransferTask

WEIGHTS = "mobilenet_0.75_224_notop.weights.h5"
CONTENT_WEIGHTS = {"moments": 0.3, "gram": 0.01}

Smoothing = Callable[[Any], Any]


def spatial_softmax(maps: Any) -> Any:
    """Apply SWAG: softmax over all entries of a map, times a constant near their number."""
    return 1e5 * keras.layers.Softmax(axis=(1, 2, 3))(maps)


SMOOTHINGS: dict[str, Smoothing | None] = {
    "none": None,
    "softmax (SWAG)": spatial_softmax,
    "log(1 + a)": keras.ops.log1p,
}


@dataclass(frozen=True, eq=False)
class SmoothedBackbone(Backbone):
    """A backbone with smoothed feature maps."""

    smooth: Smoothing

    def tap(self, names: Any) -> Any:
        """See `Backbone.tap`."""
        taps = super().tap(names)
        outputs = {name: self.smooth(output) for name, output in taps.output.items()}
        return keras.Model(taps.inputs[0], outputs)


def stylize(network: Backbone, content: Path, style: Path, loss: str) -> nstk.Image:
    """Stylize one pair at 256 px."""
    settings = nstk.StylizeSettings(size=256, style_loss=loss, content_weight=CONTENT_WEIGHTS[loss])
    task = StyleTransferTask(network, read_inputs(content, style, NO_MASKS, settings), settings)
    *_, optimization = task.run(strength=0.5)
    return optimization.image()


def main() -> None:
    """Stylize and measure all pairs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--keep", type=Path, help="store the images here")
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
            metrics = []
            for names in PAIRS[::2]:
                folder = shared / "data" / "pictures"
                paths = (
                    folder / "content" / f"{names[0]}.jpg",
                    folder / "style" / f"{names[1]}.jpg",
                )
                result = stylize(network, *paths, loss)
                metrics.append(measure_style(*(load_image(path).pixels for path in paths), result))
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    file = f"{loss}-{name.split()[0]}-{'-'.join(names)}.png"
                    nstk.save_image(arguments.keep / file, result)
            figures = (
                np.mean([each[key] for each in metrics])
                for key in ("style_error", "content_cosine")
            )
            lines.append(f"| {loss} | {name} | " + " | ".join(f"{f:.3f}" for f in figures) + " |")
            print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table, "utf-8")


if __name__ == "__main__":
    main()
