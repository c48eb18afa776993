"""The result of `nstk.study_frozen`."""

from collections.abc import Mapping
from dataclasses import dataclass

from nstk.datasets.listing import SkippedFile
from nstk.heads.metrics import Evaluation
from nstk.inspecting.scratch import EpochScore
from nstk.types import Json

_FACTS = (
    "backbone",
    "size",
    "classes",
    "train_images",
    "held_out",
    "held_out_images",
    "frozen_parameters",
    "learned_parameters",
)


@dataclass(frozen=True)
class BlockScore:
    """Heads on the channel means of one layer, with pretrained and with random weights.

    The parameters are those of the network from the previous block to here; all are frozen.
    """

    layer: str
    stride: int
    channels: int
    parameters: int
    pretrained: Evaluation
    random: Evaluation


@dataclass(frozen=True)
class DataScore:
    """Heads on the last map, fitted on so many training images."""

    images: int
    pretrained: Evaluation
    random: Evaluation


@dataclass(frozen=True, eq=False, repr=False)
class FrozenStudy:
    """What frozen pretrained weights are worth on one dataset.

    Attributes:
        held_out: The split of all metrics: ``"test"`` or ``"validation"``.
        curve: The heads on the last map, by number of training images.
        scratch: The same network trained from random weights, before and after every epoch.
        seconds: ``features`` (of all images), ``features_of_training`` (the share of the training
            images), ``head`` (fitting it), ``transfer`` (the sum of these two),
            ``random_features`` and ``scratch`` (training from random weights, without reading).
    """

    backbone: str
    source: str
    size: int
    classes: tuple[str, ...]
    train_images: int
    held_out: str
    held_out_images: int
    frozen_parameters: int
    learned_parameters: int
    blocks: tuple[BlockScore, ...]
    curve: tuple[DataScore, ...]
    scratch: tuple[EpochScore, ...]
    seconds: Mapping[str, float]
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"FrozenStudy({self.backbone}, accuracy: pretrained {self.transfer.accuracy:.1%}, "
            f"random {self.random.accuracy:.1%}, from scratch {self.trained.accuracy:.1%})"
        )

    @property
    def transfer(self) -> Evaluation:
        """The head on frozen pretrained weights, with all training images."""
        return self.curve[-1].pretrained

    @property
    def random(self) -> Evaluation:
        """The head on frozen random weights, with all training images."""
        return self.curve[-1].random

    @property
    def trained(self) -> Evaluation:
        """The network trained from random weights, at its end."""
        return self.scratch[-1].evaluation

    @property
    def images_needed(self) -> int | None:
        """The fewest images with which transfer beats both others with all; None if never."""
        best = max(self.random.accuracy, self.trained.accuracy)
        enough = (each.images for each in self.curve if each.pretrained.accuracy > best)
        return next(enough, None)

    def to_dict(self) -> dict[str, Json]:
        """All figures as plain values for JSON."""
        return {
            **{name: getattr(self, name) for name in _FACTS},
            "transfer": _accuracy(self.transfer),
            "random": _accuracy(self.random),
            "trained": _accuracy(self.trained),
            "images_needed": self.images_needed,
            "blocks": [_plain(block) for block in self.blocks],
            "curve": [_plain(score) for score in self.curve],
            "scratch": [
                {"passes": each.passes, "seconds": each.seconds, **_accuracy(each.evaluation)}
                for each in self.scratch
            ],
            "seconds": dict(self.seconds),
            "skipped": [file.to_dict() for file in self.skipped],
            "notices": self.notices,
        }


def _plain(score: BlockScore | DataScore) -> dict[str, Json]:
    both = {"pretrained": _accuracy(score.pretrained), "random": _accuracy(score.random)}
    return vars(score) | both


def _accuracy(evaluation: Evaluation) -> dict[str, Json]:
    return {"accuracy": evaluation.accuracy, "accuracy_interval": evaluation.accuracy_interval}
