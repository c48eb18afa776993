"""Random weights, for comparison: frozen, or trained with the whole network."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.features.activation_store import MEMORY_LIMIT, ActivationStore
from nstk.features.crops import CROPS, extract_crops
from nstk.features.extractor import BATCH_SIZE
from nstk.features.prefetching import prefetch
from nstk.heads.metrics import Evaluation, evaluate
from nstk.images.image import Levels
from nstk.images.loading import load_image
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import FrozenSettings
from nstk.types import CompiledFunction, KerasModel, Targets, Tensor, Variable

STAGE = "random weights, trained"

LEARNING_RATE = 1e-3
"""Of Adam, Keras's default."""

_AHEAD = 64


@pinned_keras_config()
def randomize_network(network: KerasModel, seed: int) -> KerasModel:
    """Clone a network, trainable and with random weights.

    Kernels come from the normal distribution of He et al. (2015), N(0, 2 / n) with n inputs per
    output; scales and variances are 1 and all other vectors 0.
    """
    clone = keras.models.clone_model(network)
    clone.trainable = True
    generator = np.random.default_rng(seed)
    for layer in clone.layers:
        for variable in layer.weights:
            variable.assign(_draw(variable, generator))
    return clone


def randomize_backbone(backbone: Backbone, seed: int) -> Backbone:
    """The same architecture with frozen random weights; see `randomize_network`."""
    network = randomize_network(backbone.model, seed)
    return Backbone(backbone.name, network, backbone.input_size, f"random weights, seed {seed}")


def _draw(variable: Variable, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    shape = tuple(variable.shape)
    if len(shape) < 2:
        ones = any(word in variable.name for word in ("gamma", "variance"))
        return np.full(shape, 1.0 if ones else 0.0, np.float32)
    # The kernel of a depthwise convolution has one input channel per output.
    inputs = np.prod(shape[:-2] if "depthwise" in variable.path else shape[:-1])
    return generator.normal(0.0, np.sqrt(2 / max(inputs, 1)), shape).astype(np.float32)


@dataclass(frozen=True)
class EpochScore:
    """Metrics of a network in training after some epochs, on the held-out images.

    The time limit may cut the last epoch short; seconds are without reading and evaluation.
    """

    passes: int
    seconds: float
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class Dataset:
    """Crops ``(size, size, 3)`` from 0 to 255, with targets ``(n, C)``."""

    crops: ActivationStore
    targets: Targets


def read_crops(paths: Sequence[Path], size: int, *, memory: int = MEMORY_LIMIT) -> ActivationStore:
    """Read images as uint8 crops; more bytes than ``memory`` are stored in a temporary file."""

    def read(path: Path) -> Levels:
        crop = extract_crops(load_image(path).pixels, size, CROPS[:1])[0]
        levels: Levels = np.rint(np.clip(crop, 0, 1) * 255).astype(np.uint8)
        return levels

    store = ActivationStore(
        len(paths), (size, size, 3), np.uint8, memory=memory, remedy="give fewer images"
    )
    for crop in prefetch(paths, read, ahead=_AHEAD):
        store.write(crop[np.newaxis])
    return store


def train_from_scratch(
    backbone: Backbone,
    train: Dataset,
    held_out: Dataset,
    classes: Sequence[str],
    settings: FrozenSettings,
    on_progress: Reporter = no_progress,
) -> tuple[EpochScore, ...]:
    """Train the architecture of a backbone and a linear head from random weights.

    Adam with a learning rate of 0.001 and batches of 32 on the cross-entropy, with random flips;
    all weights are trainable. Returns the metrics before training and after every epoch.
    """
    passes, limit = settings.scratch_passes, settings.scratch_seconds
    model = _build_model(backbone, len(classes), settings.seed)
    step, predict = _compile_step(model), _compile_predict(model)
    generator = np.random.default_rng(settings.seed)
    count = -(-len(train.crops) // BATCH_SIZE)
    scores = [EpochScore(0, 0.0, _evaluate(predict, held_out, classes))]
    spent, taken = 0.0, 0

    def report(loss: float | None) -> None:
        in_time = math.ceil(taken * limit / spent) if spent else passes * count
        total = max(min(passes * count, in_time), taken)
        on_progress(Progress(stage=STAGE, step=taken, total=total, loss=loss))

    report(None)
    while len(scores) <= passes and spent < limit:
        order = generator.permutation(len(train.crops))
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            began = time.perf_counter()
            flips = generator.random((len(chosen), 1, 1, 1)) < 0.5
            crops = train.crops.take_rows(chosen)
            crops = np.where(flips, crops[:, :, ::-1], crops)
            targets = train.targets[chosen].astype(np.float32)
            loss = float(step(tf.constant(crops), tf.constant(targets)))
            spent += time.perf_counter() - began
            taken += 1
            report(loss)
            if spent >= limit:
                break
        scores.append(EpochScore(len(scores), spent, _evaluate(predict, held_out, classes)))
    return tuple(scores)


@pinned_keras_config()
def _build_model(backbone: Backbone, classes: int, seed: int) -> KerasModel:
    """The network with random weights and a head of zeros."""
    network = randomize_network(backbone.model, seed)
    pooled = keras.layers.GlobalAveragePooling2D()(network.outputs[0])
    logits = keras.layers.Dense(classes, kernel_initializer="zeros")(pooled)
    return keras.Model(network.inputs[0], logits)


def _compile_step(model: KerasModel) -> CompiledFunction:
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    optimizer.build(model.trainable_variables)
    signature = [
        tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8),
        tf.TensorSpec((None, model.outputs[0].shape[-1]), tf.float32),
    ]

    def step(crops: Tensor, targets: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            logits = model(tf.cast(crops, tf.float32) / 255, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    compiled = tf.function(step, input_signature=signature, autograph=False)
    return compiled.get_concrete_function()


def _compile_predict(model: KerasModel) -> CompiledFunction:
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8)]

    def predict(crops: Tensor) -> Tensor:
        return tf.nn.softmax(model(tf.cast(crops, tf.float32) / 255, training=False))

    return tf.function(predict, input_signature=signature, autograph=False)


def _evaluate(predict: CompiledFunction, held_out: Dataset, classes: Sequence[str]) -> Evaluation:
    rows = np.arange(len(held_out.crops))
    batches = [
        predict(held_out.crops.take_rows(rows[start : start + BATCH_SIZE])).numpy()
        for start in range(0, len(rows), BATCH_SIZE)
    ]
    probabilities = np.nan_to_num(np.concatenate(batches))
    assigned = np.eye(len(classes), dtype=bool)[probabilities.argmax(axis=1)]
    return evaluate(held_out.targets, assigned, probabilities, classes)
