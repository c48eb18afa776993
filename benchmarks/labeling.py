"""Labels that are needed to reach 95 % of the accuracy of all labels: the loop against chance.

    python benchmarks/labeling.py ../shared/data

Answers are simulated: those of the data sets. The images that are labeled come from one split, and
accuracy is measured on the other, by the loop's own head on the answers so far. Chance takes the
images in random order. Also prints how far the accuracy that the loop shows is from that on the
other split, and the seconds from an answer to the next question.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from nstk.backbones.loading import load_backbone
from nstk.features.cache import FeatureCache
from nstk.features.crops import choose_size
from nstk.features.extractor import FeatureExtractor, extract_features
from nstk.labeling.answers import AnswerFile
from nstk.labeling.loop import LabelingLoop
from nstk.labeling.ridge_head import fit_ridge, reduce
from nstk.settings import LabelSettings
from nstk.storage.files import find_cache_folder
from nstk.types import Array, FeatureVectors

Item = tuple[Path, str, bool]
"""An image, its label, and whether it is among those to label."""

TARGET = 0.95
MOST = {"hymenoptera": 120, "trashnet": 300, "tiny-imagenet": 300}


def list_hymenoptera(data: Path, folder: Path) -> Iterator[Item]:
    for path in sorted((data / "hymenoptera").rglob("*.jpg")):
        yield path, path.parent.name, path.parent.parent.name == "train"


def list_trashnet(data: Path, folder: Path) -> Iterator[Item]:
    for number, path in enumerate(sorted((data / "trashnet").rglob("*.jpg"))):
        yield path, path.parent.name, number % 3 > 0


def list_tiny_imagenet(data: Path, folder: Path) -> Iterator[Item]:
    """Ten of the classes, 100 images of each to label and 50 to measure on."""
    source = data / "tiny-imagenet"
    lines = (source / "classes.tsv").read_text().splitlines()
    for name in [line.split("\t")[0] for line in lines][::20][:10]:
        for split, columns, count in (("train", 25, 100), ("val", 10, 50)):
            sheet = Image.open(source / split / f"{name}.jpg")
            for number in range(count):
                row, column = divmod(number, columns)
                box = 64 * column, 64 * row, 64 * column + 64, 64 * row + 64
                path = folder / f"{split}-{name}-{number}.png"
                sheet.crop(box).save(path)
                yield path, name, split == "train"


SETS = {
    "hymenoptera": list_hymenoptera,
    "trashnet": list_trashnet,
    "tiny-imagenet": list_tiny_imagenet,
}


def extract(items: Sequence[Item]) -> FeatureVectors:
    network = load_backbone("efficientnet-lite0")
    paths = [path for path, _, _ in items]
    extractor = FeatureExtractor(
        network, choose_size(network, paths), executor="auto", images=len(paths)
    )
    cache = FeatureCache(find_cache_folder())
    return extract_features(extractor, paths, cache=cache).vectors("pooled")


class Measure:
    """The accuracy on the other split of a head on some answers."""

    def __init__(self, vectors: FeatureVectors, truth: Array, pool: Array) -> None:
        self.points = reduce(vectors)  # the same components for both, without their labels
        self.truth, self.pool, self.test = truth, np.flatnonzero(pool), np.flatnonzero(~pool)

    def accuracy(self, rows: Sequence[int] | Array) -> float:
        places = self.pool[rows]
        answers = [frozenset([self.truth[place]]) for place in places]
        head = fit_ridge(self.points, places, answers, multi_label=False)
        if head is None:
            return 0.0
        names = np.array(head.labels)[head.scores[self.test].argmax(axis=1)]
        return float((names == self.truth[self.test]).mean())


def ask(
    vectors: FeatureVectors, truth: Array, most: int, seed: int
) -> tuple[list[int], dict[int, tuple[float | None, int]], list[float]]:
    """The images in the order in which the loop asks, the accuracies it shows, and seconds."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(len(truth))]
        with AnswerFile(Path(folder) / "labels.csv", folder) as answers:
            loop = LabelingLoop(paths, vectors, answers, LabelSettings(seed=seed))
            order, shown, seconds, questions = [], {}, [], 0
            while len(order) < min(most, len(paths)) and (question := loop.ask()):
                questions += 1
                begun = time.perf_counter()
                loop.answer(question.image, [truth[question.image]])
                status = loop.status()
                loop.ask()
                seconds.append(time.perf_counter() - begun)
                if question.reason != "second look":
                    order.append(question.image)
                    shown[len(order)] = status.accuracy, questions
            return order, shown, seconds


def first_at(curves: Sequence[Mapping[int, float]], target: float) -> int | None:
    """The first count from which the mean of the curves reaches the target."""
    mean = {n: np.mean([curve[n] for curve in curves]) for n in curves[0]}
    return next((n for n, accuracy in mean.items() if accuracy >= target), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    given = parser.parse_args()
    for name in given.sets:
        with TemporaryDirectory() as folder:
            items = list(SETS[name](given.data, Path(folder)))
            vectors = extract(items)
        truth, pool = np.array([each[1] for each in items]), np.array([each[2] for each in items])
        measure, most = Measure(vectors, truth, pool), min(MOST[name], int(pool.sum()))
        full = measure.accuracy(np.arange(pool.sum()))
        counts = [n for n in range(4, most + 1) if n < 60 or n % 4 == 0]
        asked, chance, errors, seconds, questions = [], [], [], [], []
        for seed in range(given.seeds):
            order, shown, spent = ask(vectors[pool], truth[pool], most, seed)
            random = np.random.default_rng(seed).permutation(pool.sum())
            asked.append({n: measure.accuracy(order[:n]) for n in counts})
            chance.append({n: measure.accuracy(random[:n]) for n in counts})
            errors += [shown[n][0] - asked[-1][n] for n in counts if shown[n][0] is not None]
            questions.append(shown[most][1] / most)
            seconds += spent
        loop, random = first_at(asked, TARGET * full), first_at(chance, TARGET * full)
        ratio = f"{loop / random:.2f}" if loop and random else "–"
        print(
            f"{name}: all {pool.sum()} labels {full:.3f}; {TARGET:.0%} of it at {loop} answers, "
            f"at random {random}, ratio {ratio}; questions per label {np.mean(questions):.2f}; "
            f"accuracy shown − measured {np.mean(errors):+.3f} ± {np.std(errors):.3f}; "
            f"next question after {np.median(seconds):.3f} s (largest {max(seconds):.3f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
