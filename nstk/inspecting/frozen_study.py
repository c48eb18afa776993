"""What is measured of frozen weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from nstk.datasets.listing import SkippedFile
from nstk.heads.metrics import Evaluation
from nstk.inspecting.scratch import Moment


@dataclass(frozen=True)
class BlockScore:
    """A head on the channel means of one layer.

    Attributes:
        layer: The last activation of a block.
        stride: Pixels between two neighboring cells of its map.
        channels: How many numbers the head sees of an image.
        parameters: Of the network from the block before to here; all frozen.
        pretrained: How the head fares where the weights have learned ImageNet.
        random: How it fares where they are random.
    """

    layer: str
    stride: int
    channels: int
    parameters: int
    pretrained: Evaluation
    random: Evaluation


@dataclass(frozen=True)
class DataScore:
    """A head on the last map, by the number of images that it learned from.

    Attributes:
        images: How many.
        pretrained: How the head fares where the weights have learned ImageNet.
        random: How it fares where they are random.
    """

    images: int
    pretrained: Evaluation
    random: Evaluation


@dataclass(frozen=True, eq=False)
class FrozenStudy:
    """What frozen weights are worth on one folder of images.

    Attributes:
        backbone: Name of the network.
        source: Where its weights came from.
        size: Side of the squares it saw, in pixels.
        classes: Class names.
        train_images: How many images the heads learned from.
        held_out: What all accuracies are about: ``"test"`` or ``"validation"``.
        held_out_images: How many images that part has.
        frozen_parameters: Of the network; none of them changes.
        learned_parameters: Of the head on its last map.
        blocks: The heads on every block, from the image to the last map.
        curve: The heads on the last map, by the number of images.
        scratch: The same network trained from random weights, before and after every pass.
        seconds: ``features`` (one look at all images), ``features_of_training`` (the part of it
            that the training images take), ``head`` (fitting it), ``transfer`` (their sum),
            ``random_features`` and ``scratch`` (training from random weights, without reading).
        skipped: The files that were left out, and why.
        notices: What the reader should know, one sentence each.
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
    scratch: tuple[Moment, ...]
    seconds: Mapping[str, float]
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]

    @property
    def transfer(self) -> Evaluation:
        """The head on frozen pretrained weights, from all training images."""
        return self.curve[-1].pretrained

    @property
    def random(self) -> Evaluation:
        """The head on frozen random weights, from all training images."""
        return self.curve[-1].random

    @property
    def trained(self) -> Evaluation:
        """The network trained from random weights, at its end."""
        return self.scratch[-1].evaluation

    @property
    def images_needed(self) -> int | None:
        """The fewest images from which transfer beats both others with all; None if never."""
        best = max(self.random.accuracy, self.trained.accuracy)
        enough = (each.images for each in self.curve if each.pretrained.accuracy > best)
        return next(enough, None)
