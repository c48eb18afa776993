"""Choosing a backbone by measurement: successive halving on a few images of each class.

Each round takes twice as many images and keeps the better half of the candidates by the
leave-one-out log-loss of ridge regression, which needs no cross-validation. The default network
always stays. The best of the last round replaces it if its out-of-fold log-loss is lower by more
than the standard error of the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.candidates import Candidate
from nstk.backbones.listing import EFFICIENTNET_LITE0
from nstk.datasets.folders import LabeledFolder
from nstk.features.cache import FeatureCache
from nstk.features.crops import choose_size
from nstk.features.extractor import FeatureExtractor, Features, extract_features
from nstk.features.networks import POOLED
from nstk.heads.decisions import choose_decision
from nstk.heads.head import find_strata, predict_out_of_fold
from nstk.heads.links import SIGMOID, SOFTMAX, Link
from nstk.heads.ridge import choose_l2, decompose, leave_one_out
from nstk.images.hashes import group_duplicates
from nstk.images.loading import ImageReader
from nstk.progress import Progress, Reporter, Stopwatch
from nstk.settings import FinetuneSettings
from nstk.types import Labels, Matrix, Targets

DEFAULT = EFFICIENTNET_LITE0

BUDGET_SHARE = 1 / 3
"""Share of the time budget in which candidates are tried."""

_IMAGES_PER_CLASS = (8, 16, 32)
_SCALES = 2.0 ** np.arange(-2, 9)


@dataclass(frozen=True)
class BackboneTrial:
    """How one candidate did.

    Attributes:
        name: Name of the network.
        weights: Its weights file, if it was given as one.
        images: Images it was tried on.
        log_loss: Leave-one-out log-loss of ridge regression on them, in nats.
        held_out_log_loss: Out-of-fold log-loss of the head; None for those that dropped out.
        held_out_accuracy: Out-of-fold accuracy of the head; None for those that dropped out.
        seconds: Time it took.
        chosen: Whether it is the backbone of the classifier.
    """

    name: str
    weights: str | None
    images: int
    log_loss: float
    held_out_log_loss: float | None = None
    held_out_accuracy: float | None = None
    seconds: float = 0.0
    chosen: bool = False


def try_backbones(
    candidates: Sequence[Candidate],
    folder: LabeledFolder,
    settings: FinetuneSettings,
    cache: str | Path | None,
    on_progress: Reporter,
) -> tuple[Backbone, tuple[BackboneTrial, ...]]:
    """Try all candidates within a share of the budget; return the best and all trials."""
    watch, samples = Stopwatch(), _Samples(folder, settings, cache)
    limit = float("inf") if settings.budget is None else BUDGET_SHARE * settings.budget
    contenders = [_Contender(each, samples) for each in candidates]
    total = len(_IMAGES_PER_CLASS)
    racing, done = sorted(contenders, key=lambda each: not each.is_default), []
    for step, count in enumerate(_IMAGES_PER_CLASS):
        on_progress(Progress(stage="backbones", step=step, total=total))
        measured: list[_Contender] = []
        for each in racing:
            if measured and watch.total > limit:
                break
            each.measure(count)
            measured.append(each)
        ranked = sorted(measured, key=lambda each: each.log_loss)
        better = ranked[: -(-len(ranked) // 2)]
        racing = [each for each in measured if each.is_default or each in better]
        done = [each for each in contenders if each.images]
        if len(racing) == 1 or samples.are_exhausted(count):
            break
    on_progress(Progress(stage="backbones", step=total, total=total))
    chosen = _choose(racing)
    trials = (replace(each.trial(), chosen=each is chosen) for each in done)
    return chosen.backbone, tuple(trials)


def _choose(finalists: Sequence["_Contender"]) -> "_Contender":
    """The finalist with the lowest held-out log-loss; the default unless that is clearly lower."""
    if len(finalists) == 1:
        return finalists[0]
    for each in finalists:
        each.hold_out()
    best = min(finalists, key=lambda each: float(np.mean(each.held_out)))
    default = next((each for each in finalists if each.is_default), best)
    gain = default.held_out - best.held_out
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else default


class _Samples:
    """Up to 32 training images of each class, in an order that begins with few of each."""

    def __init__(
        self, folder: LabeledFolder, settings: FinetuneSettings, cache: str | Path | None
    ) -> None:
        self.settings, self.cache = settings, FeatureCache(cache)
        self.link: Link = SIGMOID if folder.multi_label else SOFTMAX
        images = folder.split("train")
        self.folder_paths = [image.path for image in folder.images]
        targets = np.zeros((len(images), len(folder.classes)), bool)
        for row, image in zip(targets, images, strict=True):
            row[list(image.labels)] = True
        strata = find_strata(targets)
        order = np.random.default_rng(settings.seed).permutation(len(images))
        rank = np.zeros(len(images), int)
        for stratum in np.unique(strata):
            own = order[strata[order] == stratum]
            rank[own] = np.arange(len(own))
        drawn = np.argsort(rank, kind="stable")
        drawn = drawn[rank[drawn] < _IMAGES_PER_CLASS[-1]]
        self.paths = [images[index].path for index in drawn]
        self.targets, self._rank = targets[drawn], rank[drawn]

    def count(self, per_class: int) -> int:
        return int((self._rank < per_class).sum())

    def are_exhausted(self, per_class: int) -> bool:
        return self.count(per_class) == len(self.paths)


class _Contender:
    """A candidate and its features so far."""

    def __init__(self, candidate: Candidate, samples: _Samples) -> None:
        self.candidate, self.samples = candidate, samples
        self.images, self.seconds, self.log_loss = 0, 0.0, float("inf")
        self.held_out = np.empty(0)
        self.accuracy: float | None = None
        self._features: list[Features] = []
        self._known = np.empty(0, np.int64)

    @cached_property
    def backbone(self) -> Backbone:
        return self.candidate.load()

    @property
    def is_default(self) -> bool:
        return self.candidate.name == DEFAULT and self.candidate.weights is None

    def measure(self, per_class: int) -> None:
        """Measure the log-loss on so many images of each class."""
        watch, end = Stopwatch(), self.samples.count(per_class)
        made = extract_features(
            self._extractor, self.samples.paths[self.images : end], cache=self.samples.cache
        )
        self._known = np.concatenate([self._known, self.images + made.indices])
        self._features.append(made)
        self.images = end
        self.log_loss = leave_one_out_log_loss(self._vectors, self._targets, self.samples.link)
        self.seconds += watch.total

    def hold_out(self) -> None:
        """Predict every image by a head that has not seen it."""
        watch, link, seed = Stopwatch(), self.samples.link, self.samples.settings.seed
        probabilities = predict_out_of_fold(
            self._vectors, self._targets, seed, link=link, groups=self._groups
        )
        known = np.isfinite(probabilities).all(axis=1)
        targets, probabilities = self._targets[known], probabilities[known]
        losses = link.losses(targets, link.logits(probabilities))
        self.held_out = losses.mean(axis=1) if len(losses) else np.zeros(1)
        if len(losses):
            decision = choose_decision(link, probabilities, targets)
            predicted = decision.predict(probabilities)
            self.accuracy = float((predicted == targets).all(axis=1).mean())
        self.seconds += watch.total

    def trial(self) -> BackboneTrial:
        return BackboneTrial(
            name=self.candidate.name,
            weights=None if self.candidate.weights is None else str(self.candidate.weights),
            images=self.images,
            log_loss=self.log_loss,
            held_out_log_loss=float(self.held_out.mean()) if len(self.held_out) else None,
            held_out_accuracy=self.accuracy,
            seconds=self.seconds,
        )

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        settings, paths = self.samples.settings, self.samples.folder_paths
        size = choose_size(self.backbone, paths) if settings.size == "auto" else settings.size
        reader = ImageReader.from_settings(vars(settings))
        # The executor is that of the whole run, whose features are then in the cache already.
        return FeatureExtractor(
            self.backbone, size, executor=settings.executor, images=len(paths), reader=reader
        )

    @property
    def _vectors(self) -> Matrix:
        return np.concatenate([each.vectors(POOLED) for each in self._features])

    @property
    def _targets(self) -> Targets:
        return self.samples.targets[self._known]

    @property
    def _groups(self) -> Labels:
        hashes = [one for each in self._features for one in each.hashes]
        return np.array(group_duplicates(hashes), int)


def leave_one_out_log_loss(vectors: Matrix, targets: Targets, link: Link) -> float:
    """Log-loss of leave-one-out ridge predictions as logits, at their best scale, in nats."""
    decomposition = decompose(vectors, targets)
    l2_values = np.unique(choose_l2(decomposition, targets, link))
    known = targets.astype(np.float64)
    return min(
        float(link.losses(targets, scale * (scores - 0.5)).mean())
        for scores in leave_one_out(decomposition, known, l2_values)
        for scale in _SCALES
    )
