"""Keras callbacks see both jobs: steps as batches; scales, epochs and the solved head as epochs."""

import keras
import pytest

import nstk
from nstk.errors import SettingsError
from nstk.progress import CallbackReporter, Progress


class Recorder(keras.callbacks.Callback):
    """Records every call with its logs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("train begins")

    def on_train_end(self, logs=None):
        self.calls.append("train ends")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} begins")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append((epoch, logs))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(f"batch {batch}")


def test_a_validation_loss_ends_an_epoch_and_a_stage_without_a_loss_is_none():
    recorder, seen = Recorder(), []
    report = CallbackReporter([recorder], seen.append)
    report(Progress(stage="features", step=3, total=3))
    for step in range(4):
        terms = {"learning rate": 0.1} | ({"validation log-loss": 0.5} if step % 2 else {})
        report(Progress(stage="second stage", step=step, total=4, loss=4.0 - step, terms=terms))
    report.finish({"val_accuracy": 0.9})
    assert len(seen) == 5
    assert recorder.calls == [
        *("train begins", "epoch 0 begins", "batch 0", "batch 1"),
        (0, {"loss": 3.0, "learning_rate": 0.1, "val_loss": 0.5}),
        *("epoch 1 begins", "batch 0", "batch 1"),
        (1, {"loss": 1.0, "learning_rate": 0.1, "val_loss": 0.5}),
        "train ends",
    ]


def test_a_scale_of_stylize_is_an_epoch_and_its_steps_are_batches(tiny_backbone, scene, strokes):
    recorder, history = Recorder(), keras.callbacks.History()
    result = nstk.stylize(
        *(scene, strokes),
        backbone=tiny_backbone,
        size=48,
        scales=2,
        steps=2,
        callbacks=[recorder, history],
    )
    epochs = [call for call in recorder.calls if isinstance(call, tuple)]
    batches = [call for call in recorder.calls if "batch" in call]
    assert [epoch for epoch, _ in epochs] == [0, 1] == history.epoch
    assert len(batches) == result.steps
    assert history.history["loss"][-1] == pytest.approx(result.loss)
    assert history.history["style"][-1] == pytest.approx(result.terms["style"])
    assert (recorder.calls[0], recorder.calls[-1]) == ("train begins", "train ends")


def test_the_solved_head_of_finetune_is_one_epoch(color_folder, tiny_backbone):
    recorder = Recorder()
    result = nstk.finetune(color_folder, backbone=tiny_backbone, callbacks=[recorder])
    assert recorder.calls == [
        *("train begins", "epoch 0 begins"),
        (0, {"val_accuracy": result.accuracy}),
        "train ends",
    ]


def test_one_callback_may_be_given_without_a_list():
    recorder = Recorder()
    CallbackReporter(recorder).finish({})
    assert recorder.calls[-1] == "train ends"


@pytest.mark.parametrize("wrong", [print, Recorder, None, "history"])
@pytest.mark.parametrize("job", [nstk.stylize, nstk.finetune])
def test_what_is_not_a_callback_is_refused_by_the_name_of_the_parameter(job, wrong):
    images = ["content.png", "style.png"] if job is nstk.stylize else ["data"]
    with pytest.raises(SettingsError, match="`callbacks`"):
        job(*images, callbacks=[wrong])
