"""Measure what the eye sees of a stylized image: color noise, octaves, and where patches come from.

    python benchmarks/visible_metrics.py STYLE RESULT

`bands` is the spectral energy of a plane in an octave of frequencies, per pixel, with a Hann
window: 1/4 to 1/2 of a cycle per pixel is the top octave. `chroma_noise` is the energy of Cb and Cr
there, divided by that of the style; both images keep their own pixels, because resizing would
remove the noise. `patch_distance` is the cosine distance of every 3×3 neighborhood of a deep
feature map to the nearest one of the style, averaged: 0 if each local patch stands somewhere in
the painting. `patch_coverage` is the same from the style to the result: 0 if every motif of the
painting is used. Both are averages over relu3_1, where every second position is compared, and
relu4_1 of the network of `style_metrics.py`, with the style at the result's longer side.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.style_metrics import compute_maps
from nstk.images.image import Image, fit_size, resize_image
from nstk.images.loading import load_image

Plane = NDArray[np.float32]

PATCH_LAYERS = {"relu3_1": (4, 2), "relu4_1": (8, 1)}
"""Stride of each layer in pixels, and the spacing of the positions that are compared."""

TOP = (0.25, 0.5)
OCTAVES = (TOP, (0.125, 0.25), (0.0625, 0.125), (0.03125, 0.0625))
CHUNK = 1024


def split_luma_chroma(image: Image) -> tuple[Plane, Plane, Plane]:
    """Return Y, Cb and Cr of Rec. 601, each `(height, width)`."""
    luma = image @ np.float32([0.299, 0.587, 0.114])
    return luma, (image[..., 2] - luma) / 1.772, (image[..., 0] - luma) / 1.402


def octave_energy(plane: Plane, octave: tuple[float, float] = TOP) -> float:
    """Compute the energy per pixel between two frequencies, in cycles per pixel."""
    height, width = plane.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    spectrum = np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    inside = (radius >= octave[0]) & (radius <= octave[1])
    return float(spectrum[inside].sum() / (window**2).sum() / plane.size)


def chroma_noise(style: Image, result: Image) -> float:
    """Compare the energy of Cb and Cr in the top octave with that of the style."""
    energy = [sum(map(octave_energy, split_luma_chroma(image)[1:])) for image in (result, style)]
    return energy[0] / max(energy[1], 1e-12)


def band_ratios(style: Image, result: Image) -> dict[str, list[float]]:
    """Compare the energies of luma and of chroma, octave by octave from the finest."""
    planes = [split_luma_chroma(image) for image in (result, style)]
    ratios: dict[str, list[float]] = {}
    for name, part in (("luma", slice(0, 1)), ("chroma", slice(1, 3))):
        energies = [
            [sum(octave_energy(plane, octave) for plane in image[part]) for octave in OCTAVES]
            for image in planes
        ]
        ratios[name] = [a / max(b, 1e-12) for a, b in zip(*energies, strict=True)]
    return ratios


def neighborhoods(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return every 3×3 neighborhood as a unit vector: `(rows - 2, columns - 2, 9·channels)`."""
    rows, columns = features.shape[0] - 2, features.shape[1] - 2
    parts = [features[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    patches = np.concatenate(parts, axis=-1)
    unit: NDArray[np.float32] = patches / np.maximum(
        np.linalg.norm(patches, axis=-1, keepdims=True), 1e-12
    )
    return unit


def nearest_distance(patches: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Average the cosine distance of each patch to the nearest of the others."""
    nearest = [
        (patches[start : start + CHUNK] @ others.T).max(axis=1)
        for start in range(0, len(patches), CHUNK)
    ]
    return float(1 - np.concatenate(nearest).mean())


def compare_patches(style: Image, result: Image) -> tuple[float, float]:
    """Compute patch distance and coverage of a result of at least 64 px per side."""
    height, width = result.shape[:2]
    style = resize_image(style, *fit_size(*style.shape[:2], max(height, width)))
    maps = [compute_maps(tf.constant(image)) for image in (result, style)]
    figures = []
    for layer, (stride, spacing) in PATCH_LAYERS.items():
        of_result, of_style = (
            neighborhoods(
                found[layer].numpy().reshape(image.shape[0] // stride, image.shape[1] // stride, -1)
            )[::spacing, ::spacing]
            for found, image in zip(maps, (result, style), strict=True)
        )
        ours, theirs = (each.reshape(-1, each.shape[-1]) for each in (of_result, of_style))
        figures.append([nearest_distance(ours, theirs), nearest_distance(theirs, ours)])
    distance, coverage = np.mean(figures, axis=0)
    return float(distance), float(coverage)


def main() -> None:
    """Measure the images given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("style", type=Path)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    style, result = (load_image(path).pixels for path in (arguments.style, arguments.result))
    distance, coverage = compare_patches(style, result)
    print(f"chroma_noise   {chroma_noise(style, result):.3f}")
    print(f"patch_distance {distance:.3f}")
    print(f"patch_coverage {coverage:.3f}")
    for name, ratios in band_ratios(style, result).items():
        print(f"{name:14} " + "  ".join(f"{ratio:.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
