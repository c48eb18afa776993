"""The backbone inside a classifier that `nstk.finetune` made."""

from pathlib import Path
from typing import Any

import keras

from nstk.backbones.archives import ADVICE, read_archive
from nstk.backbones.backbone import Backbone
from nstk.backbones.conventions import pinned_keras_config
from nstk.errors import ModelError


def open_classifier(path: Path) -> Backbone:
    """Take the backbone out of a ``.keras`` classifier; nothing in the file runs as code.

    Args:
        path: A file that `nstk.finetune` made.

    Raises:
        ModelError: If the file is missing, damaged, or no such classifier.
    """
    classifier, card = read_archive(path)
    try:
        name, input_size = str(card["backbone"]["name"]), int(card["backbone"]["input_size"])
        network = classifier.get_layer("backbone")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path} has no backbone that nstk can use ({reason}); {ADVICE}."
        ) from error
    if not isinstance(network, keras.Model) or len(network.outputs[0].shape) != 4:
        raise ModelError(f"{path} has a 'backbone' that gives no feature maps; {ADVICE}.")
    return take_backbone(network, name, input_size, str(path))


@pinned_keras_config()
def take_backbone(network: Any, name: str, input_size: int, source: str) -> Backbone:
    """Make a backbone of the network inside a classifier.

    Args:
        network: The classifier's layer ``backbone``.
        name: Its name.
        input_size: Its own size.
        source: Where it is from.
    """
    if len(network.outputs) > 1:  # the head sees earlier maps too; the first is the last map
        network = keras.Model(network.inputs[0], network.outputs[0], name=network.name)
    return Backbone(name=name, model=network, input_size=input_size, source=source)
