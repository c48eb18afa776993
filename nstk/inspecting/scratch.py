"""Training a whole network from random weights, for as long as one is willing to wait."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.conventions import pinned_keras_config
from nstk.features.activation_store import MEMORY, ActivationStore
from nstk.features.crops import VIEWS, crop_views
from nstk.features.prefetching import BATCH, read_ahead
from nstk.heads.links import Targets
from nstk.heads.metrics import Evaluation, evaluate
from nstk.images.image import load_image
from nstk.inspecting.random_weights import randomize_network
from nstk.progress import Progress, Reporter, no_progress

RATE = 1e-3
"""Learning rate of Adam, Keras's own."""

Levels = npt.NDArray[np.uint8]

_AHEAD = 64


@dataclass(frozen=True)
class Moment:
    """How a network in training fares after a pass through the training images.

    Attributes:
        passes: How many passes it has taken; the last one may have been cut short by the time.
        seconds: Of training so far, without reading images and without this evaluation.
        evaluation: On the images held out.
    """

    passes: int
    seconds: float
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels.

    Attributes:
        squares: n rows ``(size, size, 3)``, 0 to 255.
        targets: ``(n, C)``.
    """

    squares: ActivationStore
    targets: Targets


def read_squares(paths: Sequence[Path], size: int, *, memory: int = MEMORY) -> ActivationStore:
    """Read images as the squares that a network of this size sees, in whole gray levels.

    Args:
        paths: The images.
        size: Side of the squares in pixels.
        memory: How many bytes they may take in memory; more are kept in a temporary file.

    Raises:
        ImageError: If one cannot be read.
        OutputError: If the disk is full.
    """

    def read(path: Path) -> Levels:
        square = crop_views(load_image(path).pixels, size, VIEWS[:1])[0]
        levels: Levels = np.rint(np.clip(square, 0, 1) * 255).astype(np.uint8)
        return levels

    bank = ActivationStore(
        len(paths), (size, size, 3), np.uint8, memory=memory, remedy="give fewer images"
    )
    for square in read_ahead(paths, read, ahead=_AHEAD):
        bank.write(square[np.newaxis])
    return bank


def train_from_scratch(
    backbone: Backbone,
    train: Dataset,
    held_out: Dataset,
    classes: Sequence[str],
    *,
    passes: int,
    seconds: float,
    seed: int,
    on_progress: Reporter = no_progress,
) -> tuple[Moment, ...]:
    """Train the architecture of a backbone and a linear head from random weights.

    Adam with a rate of 0.001 and batches of 32 on the cross-entropy, every image flipped or not
    by chance, all weights free.

    Args:
        backbone: The architecture; its own weights are not looked at.
        train: What to learn from.
        held_out: What to check with.
        classes: Class names.
        passes: How often all training images are seen, at most.
        seconds: When to stop at the latest; the batch at hand is finished.
        seed: Of the weights, of the order and of the flips.
        on_progress: Told after every batch, stage ``"random weights, trained"``; of so many as
            there will be at this pace.

    Returns:
        How it fares before the first and after every pass.
    """
    model = _build_pupil(backbone, len(classes), seed)
    advance, answer = _compile_step(model), _compile_answer(model)
    generator = np.random.default_rng(seed)
    count = -(-len(train.squares) // BATCH)
    moments = [Moment(0, 0.0, _judge(answer, held_out, classes))]
    spent, taken = 0.0, 0

    def report(loss: float | None) -> None:
        in_time = math.ceil(taken * seconds / spent) if spent else passes * count
        total = max(min(passes * count, in_time), taken)
        on_progress(Progress(stage="random weights, trained", step=taken, total=total, loss=loss))

    report(None)
    while len(moments) <= passes and spent < seconds:
        order = generator.permutation(len(train.squares))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            begun = time.perf_counter()
            flips = generator.random((len(chosen), 1, 1, 1)) < 0.5
            squares = train.squares.take(chosen)
            squares = np.where(flips, squares[:, :, ::-1], squares)
            targets = train.targets[chosen].astype(np.float32)
            loss = float(advance(tf.constant(squares), tf.constant(targets)))
            spent += time.perf_counter() - begun
            taken += 1
            report(loss)
            if spent >= seconds:
                break
        moments.append(Moment(len(moments), spent, _judge(answer, held_out, classes)))
    return tuple(moments)


@pinned_keras_config()
def _build_pupil(backbone: Backbone, classes: int, seed: int) -> Any:
    """The network with random weights, and a head that knows nothing."""
    network = randomize_network(backbone.model, seed)
    pooled = keras.layers.GlobalAveragePooling2D()(network.outputs[0])
    logits = keras.layers.Dense(classes, kernel_initializer="zeros")(pooled)
    return keras.Model(network.inputs[0], logits)


def _compile_step(model: Any) -> Any:
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(model.trainable_variables)
    signature = [
        tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8),
        tf.TensorSpec((None, model.outputs[0].shape[-1]), tf.float32),
    ]

    def advance(squares: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(tf.cast(squares, tf.float32) / 255, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    compiled = tf.function(advance, input_signature=signature, autograph=False)
    return compiled.get_concrete_function()


def _compile_answer(model: Any) -> Any:
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8)]

    def answer(squares: Any) -> Any:
        return tf.nn.softmax(model(tf.cast(squares, tf.float32) / 255, training=False))

    return tf.function(answer, input_signature=signature, autograph=False)


def _judge(answer: Any, held_out: Dataset, classes: Sequence[str]) -> Evaluation:
    places = np.arange(len(held_out.squares))
    parts = [
        answer(held_out.squares.take(places[start : start + BATCH])).numpy()
        for start in range(0, len(places), BATCH)
    ]
    probabilities = np.nan_to_num(np.concatenate(parts))
    assigned = np.eye(len(classes), dtype=bool)[probabilities.argmax(axis=1)]
    return evaluate(held_out.targets, assigned, probabilities, classes)
