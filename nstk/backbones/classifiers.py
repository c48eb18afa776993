"""The backbone inside a classifier that `nstk.finetune` made."""

import json
import zipfile
from pathlib import Path

import keras

from nstk.backbones.backbone import Backbone
from nstk.errors import ModelError

CARD = "nstk.json"
LARGEST_CARD = 64 * 2**20


def open_classifier(path: Path) -> Backbone:
    """Take the backbone out of a ``.keras`` classifier.

    The file is read in Keras's safe mode: nothing in it runs as code.

    Args:
        path: A file that `nstk.finetune` made.

    Raises:
        ModelError: If the file is missing, damaged, or no such classifier.
    """
    advice = "give a .keras file that `nstk finetune` made, or a name that `nstk backbones` lists"
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(CARD).file_size > LARGEST_CARD:
                raise ModelError(f"{path} has too large a {CARD}; {advice}.")
            card = json.loads(archive.read(CARD))["backbone"]
            name, input_size = str(card["name"]), int(card["input_size"])
        classifier = keras.saving.load_model(path, compile=False, safe_mode=True)
        network = classifier.get_layer("backbone")
    except ModelError:
        raise
    except Exception as error:  # What a damaged or forged file makes Keras raise has no end.
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path} has no backbone that nstk can use ({reason}); {advice}."
        ) from error
    if not isinstance(network, keras.Model) or len(network.outputs[0].shape) != 4:
        raise ModelError(f"{path} has a 'backbone' that gives no feature maps; {advice}.")
    return Backbone(name=name, model=network, input_size=input_size, source=str(path))
