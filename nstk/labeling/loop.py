"""The labeling loop: one question after the other, and what is known after each answer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from nstk.errors import SettingsError
from nstk.heads.metrics import Interval, wilson_interval
from nstk.heads.suspects import find_label_errors, find_suspects
from nstk.labeling.answers import AnswerFile, Labels, check_label
from nstk.labeling.measures import count_worthwhile
from nstk.labeling.ridge_head import RidgeHead, fit_ridge, reduce
from nstk.labeling.sampling import find_useful, margins, rank_typical, squared_distances
from nstk.settings import LabelSettings
from nstk.types import FeatureVectors, Json

Reason = Literal["typical", "uncertain", "control", "second look"]

TYPICAL = 10
"""Typical images that are asked for before uncertain ones."""

_CONTROL_EVERY, _SECOND_LOOK_EVERY = 5, 8
"""Questions from one control image to the next, and answers from one second look to the next."""

_LEAST_FOR_SECOND_LOOK, _LEAST_CONTROLS, _LEAST_TO_EXTRAPOLATE = 40, 5, 10
_BLOCK, _TINY = 4096, 1e-12


@dataclass(frozen=True)
class Question:
    """An image to label.

    Attributes:
        image: Its index.
        reason: Why it is asked for. A control image is drawn at random, to measure the accuracy;
            one for a second look has an answer that the others contradict.
        suggestions: Labels with their estimated probabilities, the likeliest first.
        predicted: The labels to accept; none if nothing is known yet.
        given: Its answer so far; None if it has none.
    """

    image: int
    reason: Reason
    suggestions: tuple[tuple[str, float], ...]
    predicted: tuple[str, ...]
    given: Labels | None


@dataclass(frozen=True)
class LabelingStatus:
    """What is known after an answer.

    Attributes:
        images: Number of images.
        answered: Number of images with an answer.
        counts: Answers of each label, by name.
        accuracy: Share of the control images that the head without them labels right; None with
            too few of them. Uncertain images do not count: they are harder than others.
        interval: Its 95 % interval.
        worthwhile: About how many more answers still gain half a point with 20 of them; None with
            too few answers.
        suspects: Number of answers that the others contradict.
    """

    images: int
    answered: int
    counts: dict[str, int]
    accuracy: float | None
    interval: Interval | None
    worthwhile: int | None
    suspects: int

    def to_dict(self) -> dict[str, Json]:
        return vars(self) | {"interval": self.interval and list(self.interval)}


class LabelingLoop:
    """Asks for the labels of images, the most useful first.

    Args:
        paths: The images.
        vectors: Their features, ``(n, D)``.
        answers: The table of answers; those in it count as given.
        settings: The settings.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        vectors: FeatureVectors,
        answers: AnswerFile,
        settings: LabelSettings,
    ) -> None:
        self.paths, self.answers, self.multi_label = paths, answers, settings.multi_label
        self._places = {path: index for index, path in enumerate(paths)}
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._points = (vectors / np.maximum(norms, _TINY)).astype(np.float32)
        self._reduced = reduce(vectors)
        self._typical = rank_typical(self._points, min(TYPICAL, len(paths)), settings.seed)
        self._drawn = np.random.default_rng(settings.seed).permutation(len(paths)).tolist()
        self._distances = np.full(len(paths), np.inf, np.float32)
        self._skipped: set[int] = set()
        self._confirmed: dict[int, Labels] = {}
        self._since_second_look = 0
        self._solve()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels so far, in the order in which they were first given."""
        names = (name for each in self.answers.answers.values() for name in sorted(each))
        return tuple(dict.fromkeys(names))

    def ask(self) -> Question | None:
        """The most useful question now; None if every image has an answer or was skipped."""
        if self._since_second_look >= _SECOND_LOOK_EVERY and self._suspects:
            return self._question(self._suspects[0], "second look")
        free = [index for index in self._drawn if self._is_open(index)]
        if not free:
            return self._question(self._suspects[0], "second look") if self._suspects else None
        if len(self._given) % _CONTROL_EVERY == _CONTROL_EVERY - 1:
            return self._question(free[0], "control")
        typical = [index for index in self._typical if self._is_open(index)]
        if typical or self._head is None:
            return self._question((typical or free)[0], "typical")
        clear = margins(self._head.scores, multi_label=self.multi_label)
        useful = find_useful(clear, np.sort(free), self._points, self._distances)
        return self._question(useful, "uncertain")

    def answer(self, image: int, labels: Sequence[str]) -> None:
        """Write an answer and solve the head again.

        Raises:
            OutputError: If it cannot be written; then it does not count.
            SettingsError: If it is not exactly one label, where images have one.
        """
        given = frozenset(check_label(each, multi_label=self.multi_label) for each in labels)
        if not self.multi_label and len(given) != 1:
            raise SettingsError(f"{len(given)} labels for an image; give one.")
        if image in self._suspects:
            self._confirmed[image] = given
            self._since_second_look = 0
        else:
            self._since_second_look += 1
        self.answers.append(self.paths[image], given)
        self._solve()

    def skip(self, image: int) -> None:
        """Leave an image without an answer for now; a suspect keeps its answer."""
        if image in self._suspects:
            self._confirmed[image] = self.answers.answers[self.paths[image]]
            self._since_second_look = 0
            self._solve()
        self._skipped.add(image)

    def undo(self) -> int | None:
        """Withdraw the last answer; returns its image to ask again, None if there is none."""
        image = self._places.get(self.answers.undo() or Path())
        if image is not None:
            self._confirmed.pop(image, None)
            self._skipped.discard(image)
            self._solve()
        return image

    def question(self, image: int) -> Question:
        """The question for one image, such as that of an answer that was withdrawn."""
        return self._question(image, "uncertain")

    def status(self) -> LabelingStatus:
        """What is known now."""
        accuracy, interval, worthwhile = self._measure() or (None, None, None)
        counts = Counter(name for each in self._given for name in each)
        return LabelingStatus(
            images=len(self.paths),
            answered=len(self._labeled),
            counts=dict(counts),
            accuracy=accuracy,
            interval=interval,
            worthwhile=worthwhile,
            suspects=len(self._suspects),
        )

    def _is_open(self, image: int) -> bool:
        return image not in self._skipped and self.paths[image] not in self.answers.answers

    def _question(self, image: int, reason: Reason) -> Question:
        given = self.answers.answers.get(self.paths[image])
        if self._head is None:
            return Question(image, reason, (), (), given)
        scores = self._head.scores[[image]]
        shares, names = self._head.probabilities(scores)[0], self._head.labels
        order = np.argsort(-shares, kind="stable")
        predicted = self._head.predict(scores)[0]
        return Question(
            image=image,
            reason=reason,
            suggestions=tuple((names[each], float(shares[each])) for each in order),
            predicted=tuple(names[each] for each in order if predicted[each]),
            given=given,
        )

    def _solve(self) -> None:
        """Fit the head on all answers, and judge them by it."""
        known = {
            self._places[path]: labels
            for path, labels in self.answers.answers.items()
            if path in self._places
        }
        self._labeled, self._given = np.array([*known], int), [*known.values()]
        self._suspects: list[int] = []
        self._head = self._fit(np.arange(len(known)))
        if self._head is not None:
            self._suspects = self._find_suspects(self._head)
        if len(known):
            nearest = [
                squared_distances(block, self._points[self._labeled]).min(axis=1)
                for block in np.array_split(self._points, -(-len(self._points) // _BLOCK))
            ]
            self._distances = np.concatenate(nearest)

    def _fit(self, rows: npt.NDArray[np.integer]) -> RidgeHead | None:
        given = [self._given[row] for row in rows]
        labeled = self._labeled[rows]
        return fit_ridge(self._reduced, labeled, given, multi_label=self.multi_label)

    def _find_suspects(self, head: RidgeHead) -> list[int]:
        """Answers that the others contradict and nobody has confirmed, the least likely first."""
        if len(self._given) < _LEAST_FOR_SECOND_LOOK:
            return []
        shares = head.probabilities(head.loo_scores)
        pairs = (
            find_label_errors(shares, head.targets)
            if self.multi_label
            else find_suspects(shares, head.targets.argmax(axis=1))
        )
        images = dict.fromkeys(int(self._labeled[row]) for row, _ in pairs)
        return [each for each in images if self._confirmed.get(each) != self._label_of(each)]

    def _label_of(self, image: int) -> Labels | None:
        return self.answers.answers.get(self.paths[image])

    def _control_rows(self) -> npt.NDArray[np.integer]:
        """The answers that are a random sample: the first images of the random order.

        For whatever reason an image was asked, it counts once all before it in that order have
        answers, too.
        """
        row_of = {int(image): row for row, image in enumerate(self._labeled)}
        order = (each for each in self._drawn if each not in self._skipped)
        return np.array([row_of[each] for each in takewhile(row_of.__contains__, order)], int)

    def _measure(self) -> tuple[float, Interval, int | None] | None:
        """Accuracy on the control images with its interval, and how many answers are worth it."""
        rows, head = self._control_rows(), self._head
        if head is None or len(rows) < _LEAST_CONTROLS:
            return None
        correct = (head.predict(head.loo_scores) == head.targets).all(axis=1)[rows]
        accuracy = float(correct.mean())
        interval = wilson_interval(int(correct.sum()), len(rows))
        if len(rows) < _LEAST_TO_EXTRAPOLATE:
            return accuracy, interval, None
        half = min(self._measure_halves(rows), accuracy)
        return accuracy, interval, count_worthwhile(len(self._given), accuracy, half)

    def _measure_halves(self, rows: npt.NDArray[np.integer]) -> float:
        """Accuracy on the control images of heads on the half of the answers without them."""
        order = np.random.default_rng(0).permutation(len(self._given))
        right = 0
        for half, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            head, asked = self._fit(half), np.intersect1d(rows, other)
            if head is not None:
                predicted = head.predict(head.scores[self._labeled[asked]])
                names = np.array(head.labels)
                found = [frozenset(names[row].tolist()) for row in predicted]
                right += sum(a == self._given[b] for a, b in zip(found, asked, strict=True))
        return right / len(rows)
