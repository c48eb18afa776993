"""Asking heads about images that they were not fitted on."""

import numpy as np

from nstk.errors import FolderError
from nstk.heads.links import Link
from nstk.heads.out_of_distribution import OODDetector
from nstk.heads.predictions import SplitPredictions
from nstk.heads.selection import Selection, cross_validate
from nstk.heads.splits import Splits
from nstk.progress import Reporter
from nstk.settings import FinetuneSettings


def predict_splits(
    selection: Selection, ood_detector: OODDetector | None, splits: Splits
) -> dict[str, SplitPredictions]:
    """What the head says about every part that it was not fitted on.

    Args:
        selection: The head, and how sure its answers may be.
        familiarity: What its training images look like.
        splits: Every image, by part.
    """
    head, answers = selection.head, {}
    for split, samples in splits.samples.items():
        if split != "train" and len(samples):
            vectors = samples.vectors[selection.features]
            answers[split] = SplitPredictions(
                paths=splits.paths[split],
                targets=samples.targets,
                assigned=head.decision.assign(head.predict(vectors)),
                logits=head.answer(vectors),
                temperatures=np.full(len(samples), selection.calibration.temperature),
                decision=selection.calibrated.decision,
                ood_score=None if ood_detector is None else ood_detector.ood_scores(vectors),
            )
    return answers


def cross_val_predict(
    splits: Splits, settings: FinetuneSettings, link: Link, on_progress: Reporter
) -> tuple[SplitPredictions, int]:
    """What heads say about training images, each left out once.

    Args:
        splits: Its training images.
        settings: See `cross_validate`.
        link: What makes probabilities of logits.
        on_progress: See `cross_validate`.

    Returns:
        Their answers, and how many folds there were: no more than the images can fill.

    Raises:
        FolderError: If no image can be left out.
    """
    samples = splits.samples["train"]
    found = cross_validate(samples, settings, link=link, on_progress=on_progress)
    if not found.selections:
        raise FolderError(
            "No fold can be left out: no class has two images to learn from that differ; "
            "add images, or leave out --folds."
        )
    out = np.flatnonzero(found.folds >= 0)
    answers = SplitPredictions(
        paths=tuple(splits.paths["train"][place] for place in out),
        targets=samples.targets[out],
        assigned=found.assigned[out],
        logits=found.logits[out],
        temperatures=found.temperatures[out],
        decision=found.selections[0].head.decision,
    )
    return answers, len(found.selections)
