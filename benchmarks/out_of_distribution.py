"""Compare scores for "none of these": how many foreign images are refused.

    python benchmarks/out_of_distribution.py --features pooled

A score is fitted on four fifths of a data set; its threshold accepts 95 % of the last fifth, and
what it refuses of every other data set counts. The mean over the five fifths is printed. Foreign
images are the other data set, photographs, Tiny-ImageNet at 64 px and handwritten digits.

- `subspace`: what nstk uses, the Mahalanobis distance of vectors of length one in 64 dimensions.
- `neighbor`: the distance to the fifth nearest training image (Sun et al. 2022).
- `class`: the Mahalanobis distance to the nearest class (Lee et al. 2018), and `relative` the same
  less the distance without classes (Ren et al. 2021), both as `subspace` measures them.
- `energy`, `probability`: −logsumexp of the logits (Liu et al. 2020) and the largest probability.
- `sum`: the logarithms of `subspace` and `neighbor`, added.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.style_metrics import find_shared

ACCEPTED = 0.95
NEIGHBOR = 5
OWN = ("hymenoptera", "trashnet")

Array = np.ndarray[Any, Any]
Scores = Callable[[Array], Array]


def unit(vectors: Array) -> Array:
    """Vectors of length one."""
    exact = np.asarray(vectors, np.float64)
    return exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-12)


def subspace(vectors: Array, labels: Array) -> Scores:
    """The distance that nstk measures."""
    from nstk.heads.out_of_distribution import fit_ood_detector

    detector = fit_ood_detector(vectors, labels, np.arange(len(labels)), seed=0)
    return detector.ood_scores


def neighbor(vectors: Array, labels: Array) -> Scores:
    """The distance to one of the nearest training images."""
    mean, std = unit(vectors).mean(axis=0), unit(vectors).std(axis=0) + 1e-9
    known = (unit(vectors) - mean) / std

    def score(others: Array) -> Array:
        asked = (unit(others) - mean) / std
        squares = (asked**2).sum(axis=1)[:, np.newaxis] + (known**2).sum(axis=1)
        distances = squares - 2 * asked @ known.T
        return np.sqrt(np.maximum(np.partition(distances, NEIGHBOR, axis=1)[:, NEIGHBOR], 0))

    return score


def by_class(vectors: Array, labels: Array, *, relative: bool = False) -> Scores:
    """The distance to the nearest class mean, with one covariance within classes."""
    classes = np.unique(labels)
    known = unit(vectors)
    means = np.stack([known[labels == each].mean(axis=0) for each in classes])
    within = known - means[np.searchsorted(classes, labels)]
    covariance = within.T @ within / len(known)
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / len(covariance) * np.eye(
        len(covariance)
    )
    inverse = np.linalg.inv(shrunk)
    whole, center = None, known.mean(axis=0)
    if relative:
        total = np.cov(known.T, bias=True)
        total = 0.9 * total + 0.1 * np.trace(total) / len(total) * np.eye(len(total))
        whole = np.linalg.inv(total)

    def distance(asked: Array, mean: Array, matrix: Array) -> Array:
        return ((asked - mean) @ matrix * (asked - mean)).sum(axis=1)

    def score(others: Array) -> Array:
        asked = unit(others)
        nearest = np.min([distance(asked, mean, inverse) for mean in means], axis=0)
        return nearest if whole is None else nearest - distance(asked, center, whole)

    return score


def energy(vectors: Array, labels: Array, *, probability: bool = False) -> Scores:
    """Scores of the head's logits."""
    from nstk.heads.head import fit_head

    head = fit_head(vectors, labels[:, np.newaxis] == np.unique(labels))

    def score(others: Array) -> Array:
        if probability:
            return -head.predict_proba(others).max(axis=1)
        logits = np.asarray(head.logits(others), np.float64)
        top = logits.max(axis=1)
        return -(top + np.log(np.exp(logits - top[:, np.newaxis]).sum(axis=1)))

    return score


def added(vectors: Array, labels: Array) -> Scores:
    """Two distances together."""
    one, other = subspace(vectors, labels), neighbor(vectors, labels)
    return lambda asked: np.log(one(asked)) + np.log(other(asked))


SCORES: dict[str, Callable[[Array, Array], Scores]] = {
    "subspace": subspace,
    "neighbor": neighbor,
    "class": by_class,
    "relative": lambda vectors, labels: by_class(vectors, labels, relative=True),
    "energy": energy,
    "probability": lambda vectors, labels: energy(vectors, labels, probability=True),
    "sum": added,
}


def refuse(score: str, vectors: Array, labels: Array, foreign: dict[str, Array]) -> Array:
    """The share of each foreign set that is refused, the mean over five fifths."""
    from nstk.heads.head import assign_folds

    folds = assign_folds(labels, 5, 0)
    shares = []
    for fold in range(5):
        out = folds == fold
        measure = SCORES[score](vectors[~out], labels[~out])
        threshold = np.quantile(measure(vectors[out]), ACCEPTED)
        shares.append([(measure(each) > threshold).mean() for each in foreign.values()])
    return np.mean(shares, axis=0)


def list_images(name: str, folder: Path) -> tuple[list[Path], Array]:
    """The images of a set, some of them drawn into a folder, and their classes."""
    from PIL import Image

    import nstk

    root = find_shared() / "data"
    if name in OWN:
        found = nstk.scan_folder(root / name).images
        return [each.path for each in found], np.array([each.labels[0] for each in found])
    if name == "photos":
        paths = sorted((root / name).glob("*.jpg"))[::3]
    elif name == "digits":
        from sklearn.datasets import load_digits

        paths = [folder / f"digit-{number}.png" for number in range(100)]
        for path, levels in zip(paths, load_digits().images, strict=False):
            image = Image.fromarray((255 - 15.9 * levels).clip(0, 255).astype(np.uint8))
            image.resize((128, 128), Image.Resampling.BICUBIC).convert("RGB").save(path)
    else:
        paths = []
        for sheet in sorted((root / "tiny-imagenet" / "val").glob("*.jpg"))[:150]:
            paths.append(folder / f"tiny-{sheet.stem}.png")
            Image.open(sheet).convert("RGB").crop((0, 0, 64, 64)).save(paths[-1])
    return paths, np.zeros(len(paths), int)


def main() -> None:
    """Print the table."""
    import tempfile

    from nstk.backbones.loading import load_backbone
    from nstk.features.cache import FeatureCache, find_cache_folder
    from nstk.features.extractor import FeatureExtractor, extract_features
    from nstk.features.networks import BLOCKS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", choices=[*BLOCKS], default="pooled")
    chosen = parser.parse_args().features
    vectors, labels = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in (*OWN, "photos", "tiny-imagenet", "digits"):
            paths, labels[name] = list_images(name, Path(folder))
            extractor = FeatureExtractor(
                load_backbone("efficientnet-lite0"), 224, BLOCKS[chosen], executor="litert"
            )
            made = extract_features(extractor, paths, cache=FeatureCache(find_cache_folder()))
            vectors[name], labels[name] = made.vectors(chosen), labels[name][made.indices]
    for own in OWN:
        foreign = {name: each for name, each in vectors.items() if name != own}
        print(f"\n| {own} against | {' | '.join(foreign)} |\n|---|{'---|' * len(foreign)}")
        for score in SCORES:
            shares = refuse(score, vectors[own], labels[own], foreign)
            print(f"| {score} | {' | '.join(f'{100 * each:.1f}' for each in shares)} |", flush=True)


if __name__ == "__main__":
    main()
