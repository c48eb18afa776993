"""One process of a run on several, which a test starts with its own TF_CONFIG."""

import json
import os
from unittest.mock import patch

import tensorflow as tf


def make_strategy(kind):
    """A strategy must be created before anything else in TensorFlow."""
    if kind == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    [processor] = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, logical)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def work(data):
    """A run with unfreezing, and its result."""
    import keras

    import nstk
    from nstk.backbones.backbone import Backbone
    from nstk.backbones.packaged import build_compact

    keras.utils.set_random_seed(7)
    model = build_compact(widths=(4, 6, 8), depths=(1, 1, 1))
    backbone = Backbone(name="tiny", model=model, input_size=32, source="seeded")
    totals = {}
    with patch("nstk.finetuning.unfreezing.planning.EPOCHS", 3):
        made = nstk.finetune(
            data,
            backbone=backbone,
            settings=nstk.FinetuneSettings(unfreeze=1, augment="none"),
            on_progress=lambda event: totals.update({event.stage: event.total}),
        )
    stage = made.second_stage
    return {
        "head": made.selection.head.kernel.tolist(),
        "learned": stage.backbone.digest,
        "losses": stage.log_losses,
        "taken": stage.plan.taken,
        "accuracy": made.accuracy,
        "extracted": totals["features"],
        "forward_passes": made.forward_passes,
        "files": len(made.files),
    }


def run(data, kind, cluster, sender):
    """Send the result of a worker of a cluster, or of a process with two replicas."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CONFIG": json.dumps(cluster)}
    with make_strategy(kind).scope():
        sender.send(work(data))
