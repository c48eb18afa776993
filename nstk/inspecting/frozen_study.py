"""The result of `nstk.study_frozen`."""

from collections.abc import Mapping
from dataclasses import dataclass

from nstk.datasets.listing import SkippedFile
from nstk.heads.metrics import Evaluation
from nstk.inspecting.scratch import EpochScore
from nstk.types import Json


@dataclass(frozen=True)
class BlockScore:
    """A head on the channel means of one layer.

    Attributes:
        layer: The last activation of a block.
        stride: Of its map, in pixels.
        channels: Number of features.
        parameters: Parameters of the network from the previous block to here; all frozen.
        pretrained: Metrics of the head on pretrained weights.
        random: Metrics of the head on random weights.
    """

    layer: str
    stride: int
    channels: int
    parameters: int
    pretrained: Evaluation
    random: Evaluation


@dataclass(frozen=True)
class DataScore:
    """A head on the last map, by the number of training images.

    Attributes:
        images: Number of training images.
        pretrained: Metrics of the head on pretrained weights.
        random: Metrics of the head on random weights.
    """

    images: int
    pretrained: Evaluation
    random: Evaluation


@dataclass(frozen=True, eq=False, repr=False)
class FrozenStudy:
    """What frozen pretrained weights are worth on one dataset.

    Attributes:
        backbone: Name of the network.
        source: Where its weights came from.
        size: Side of its crops in pixels.
        classes: Class names.
        train_images: Number of training images.
        held_out: The split of all metrics: ``"test"`` or ``"validation"``.
        held_out_images: Number of its images.
        frozen_parameters: Parameters of the network; none of them changes.
        learned_parameters: Parameters of the head on its last map.
        blocks: The heads on every block, in forward order.
        curve: The heads on the last map, by number of training images.
        scratch: The same network trained from random weights, before and after every epoch.
        seconds: ``features`` (of all images), ``features_of_training`` (the share of the training
            images), ``head`` (fitting it), ``transfer`` (the sum of these two),
            ``random_features`` and ``scratch`` (training from random weights, without reading).
        skipped: The files left out, and why.
        notices: Warnings, one sentence each.
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
            "backbone": self.backbone,
            "size": self.size,
            "classes": self.classes,
            "train_images": self.train_images,
            "held_out": self.held_out,
            "held_out_images": self.held_out_images,
            "frozen_parameters": self.frozen_parameters,
            "learned_parameters": self.learned_parameters,
            "transfer": _accuracy(self.transfer),
            "random": _accuracy(self.random),
            "trained": _accuracy(self.trained),
            "images_needed": self.images_needed,
            "blocks": [
                {
                    "layer": block.layer,
                    "stride": block.stride,
                    "channels": block.channels,
                    "parameters": block.parameters,
                    "pretrained": _accuracy(block.pretrained),
                    "random": _accuracy(block.random),
                }
                for block in self.blocks
            ],
            "curve": [
                {
                    "images": each.images,
                    "pretrained": _accuracy(each.pretrained),
                    "random": _accuracy(each.random),
                }
                for each in self.curve
            ],
            "scratch": [
                {"passes": each.passes, "seconds": each.seconds, **_accuracy(each.evaluation)}
                for each in self.scratch
            ],
            "seconds": dict(self.seconds),
            "skipped": [{"path": str(file.path), "reason": file.reason} for file in self.skipped],
            "notices": self.notices,
        }


def _accuracy(evaluation: Evaluation) -> dict[str, Json]:
    return {
        "accuracy": evaluation.accuracy,
        "accuracy_interval": evaluation.accuracy_interval,
    }
