"""One classifier that uses everything, exported once to each format."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from in_process import InProcess
from labeled_images import draw_image, save_turned
from PIL import Image

from nstk.exporting.job import FORMATS, export
from nstk.finetuning.job import finetune

CLASSES = ("class 10", "Ä\u2028meise", "蜂")


@pytest.fixture(scope="package")
def folder(color_folder):
    return color_folder


@pytest.fixture(scope="package")
def classifier(folder, tiny_backbone):
    """A classifier on statistics of two views; a name of its classes has a line separator."""
    chosen = {"features": "pooled+statistics", "views": 2}
    made = finetune(folder, backbone=tiny_backbone, **chosen).classifier
    return replace(made, classes=CLASSES)


@pytest.fixture(scope="package")
def images(tmp_path_factory):
    """Images of many sizes, orientations and modes, between colors so that labels are close."""
    folder = tmp_path_factory.mktemp("images")
    modes = ["RGB", "L", "RGBA", "P", "LA", "1", "I;16"]
    for seed in range(21):
        height, width = np.random.default_rng(seed).integers(1, 150, 2)
        color = tuple(np.random.default_rng(seed).integers(30, 220, 3))
        pixels = draw_image(color, height, width, seed)
        if modes[seed % 7] == "I;16":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        else:
            image = Image.fromarray(pixels).convert(modes[seed % 7])
        image.save(folder / f"{seed}.png")
    for orientation in range(1, 9):
        save_turned(folder / f"turned-{orientation}.jpg", orientation)
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="package")
def exported(classifier, images, tmp_path_factory):
    """From a format to the export that was verified, each made when it is first asked for."""

    @cache
    def make(format):
        path = tmp_path_factory.mktemp(format) / f"model{FORMATS[format].extension}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nstk.exporting.verification._start", InProcess)
            return export(classifier, format, path, images=images, min_agreement=0.8, max_images=6)

    return make
