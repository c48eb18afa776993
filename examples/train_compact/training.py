"""Training: one compiled step, checkpoints, and the folded result.

The loss of a step, with student logits s₂₀₀ and s₁₀₀₀ and features z from linear maps of the
embedding that are discarded after training, and teacher logits t and features f (Hinton et al.
2015; Romero et al. 2015):

    ½ CE(label, s₂₀₀) + ½ T² KL(t₂₀₀ ‖ s₂₀₀) + ½ T² KL(t₁₀₀₀ ‖ s₁₀₀₀) + 4 ‖z − f‖² / 768
    + ½ mean over five layers of  ‖P F − F*‖² / ‖F* − mean F*‖²

where F are the student's maps after blockN_conv1, P a 1×1 convolution that is discarded after
training, and F* the maps of the compressed VGG19. The supervised objective is CE only, the
distilled one everything except CE.

In the finishing phase the style term has the weight 2 instead of ½ and is computed on mosaics of
crops, half of them with noise; F* of the first three layers then comes from the real VGG19.
"""

import logging
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from examples.train_compact import network, schedule, teachers
from examples.train_compact.sheets import Images
from nstk.backbones.packaged import WIDTHS
from nstk.errors import DivergenceError, WeightsError

log = logging.getLogger(__name__)

MOMENTUM = 0.9
WEIGHT_DECAY = 5e-5
CLIP_NORM = 4.0
EMA_DECAY = 0.999
TEMPERATURE = 2.0
STYLE_BATCH_DIVISOR = 8
REPORT_EVERY = 100
CROP_AREA = (0.35, 1.0)
MOSAIC_MARGIN = 1
NOISE_SCALES = (1, 2, 4, 8)
OBJECTIVES = {"supervised": (1.0, 0.0), "distilled": (0.0, 1.0), "both": (0.5, 1.0)}


class Trainer(tf.Module):
    """The state of a run, and the training step.

    Args:
        train: The training images.
        classes: Number of classes.
        objective: A key of `OBJECTIVES`.
        class_teacher: The MobileNet; only for distillation.
        style_teacher: The compressed VGG19; only for distillation.
        texture_teacher: The real VGG19; only for the finishing phase.
        seed: Random seed of the initial weights, the order and the crops.
        dtype: Data type of the convolutions.
        parts: Number of parts of every batch, each normalized by its own moments.
    """

    def __init__(
        self,
        train: Images,
        classes: int,
        objective: str = "both",
        class_teacher: teachers.ClassTeacher | None = None,
        style_teacher: dict[str, NDArray[np.float32]] | None = None,
        texture_teacher: dict[str, NDArray[np.float32]] | None = None,
        seed: int = 0,
        dtype: tf.DType = tf.bfloat16,
        parts: int = 1,
    ) -> None:
        super().__init__()
        self.seed, self.dtype, self.parts = seed, dtype, parts
        self.hard, self.soft = OBJECTIVES[objective]
        self.pixels, self.labels = tf.constant(train.pixels), tf.constant(train.labels)
        self.class_teacher = class_teacher
        self.style_teacher, self.texture_teacher = style_teacher, texture_teacher
        if class_teacher is not None:
            self.features = tf.constant(class_teacher.features)
        initial = network.initial_weights(seed) | self._initial_maps(classes)
        self.weights = {name: tf.Variable(value) for name, value in initial.items()}
        self.momenta = {name: tf.Variable(np.zeros_like(v)) for name, v in initial.items()}
        self.averages = {name: tf.Variable(value) for name, value in initial.items()}
        self.step, self.seen = 0, 0

    def _initial_maps(self, classes: int) -> dict[str, NDArray[np.float32]]:
        width = WIDTHS[-1]
        sizes = {"classes": (width, classes)}
        if self.soft:
            sizes |= {"imagenet": (width, 1000), "features": (width, 768)}
            for tap, inputs, outputs in zip(
                network.STYLE_TAPS, WIDTHS, (64, 128, 256, 512, 512), strict=True
            ):
                sizes[tap] = (inputs, outputs)
        generator = np.random.default_rng(self.seed + 1)
        maps = {}
        for name, (inputs, outputs) in sizes.items():
            kernel = generator.normal(0, inputs**-0.5, (inputs, outputs))
            maps[f"map/{name}/kernel"] = kernel.astype(np.float32)
            maps[f"map/{name}/bias"] = np.zeros(outputs, np.float32)
        return maps

    def crop(self, indices: tf.Tensor, step: tf.Tensor, size: int) -> tf.Tensor:
        """Return randomly cropped, flipped, resized and tinted images, determined by the step."""
        batch = tf.shape(indices)[0]
        draw = tf.random.stateless_uniform((7, batch), (self.seed, step))
        area = CROP_AREA[0] + (CROP_AREA[1] - CROP_AREA[0]) * draw[0]
        ratio = tf.exp((draw[1] - 0.5) * 2 * np.log(4 / 3))
        height = tf.minimum(1.0, tf.sqrt(area / ratio))
        width = tf.minimum(1.0, tf.sqrt(area * ratio))
        top, left = draw[2] * (1 - height), draw[3] * (1 - width)
        mirrored = draw[4] < 0.5
        boxes = tf.stack(
            [
                top,
                tf.where(mirrored, left + width, left),
                top + height,
                tf.where(mirrored, left, left + width),
            ],
            axis=1,
        )
        images = tf.image.crop_and_resize(
            tf.gather(self.pixels, indices), boxes, tf.range(batch), (size, size)
        )
        tint = tf.random.stateless_uniform((2, batch, 1, 1, 3), (self.seed + 1, step), -1.0, 1.0)
        contrast = 1 + 0.25 * (2 * draw[5] - 1)[:, None, None, None] + 0.08 * tint[0]
        shift = 0.12 * (2 * draw[6] - 1)[:, None, None, None] + 0.04 * tint[1]
        return tf.clip_by_value((images / 255 - 0.5) * contrast + 0.5 + shift, 0, 1)

    def losses(
        self, images: tf.Tensor, indices: tf.Tensor, step: tf.Tensor, mosaic: int
    ) -> dict[str, tf.Tensor]:
        """Compute all weighted terms of the loss."""
        outputs = network.forward(self.weights, images, dtype=self.dtype)
        logits = self._map("classes", outputs.embedding)
        terms = {}
        if self.hard:
            labels = tf.gather(self.labels, indices)
            terms["label"] = self.hard * tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            )
        if self.soft:
            teacher, f = self.class_teacher, tf.cast(tf.gather(self.features, indices), tf.float32)
            probe = f @ teacher.probe_kernel + teacher.probe_bias
            imagenet = f @ teacher.imagenet_kernel + teacher.imagenet_bias
            z = self._map("features", outputs.embedding)
            terms["probe"] = 0.5 * divergence(probe, logits)
            terms["imagenet"] = 0.5 * divergence(imagenet, self._map("imagenet", outputs.embedding))
            terms["features"] = 4.0 * tf.reduce_mean(tf.square(z - f))
            terms["style"] = self._style_loss(images, outputs, step, mosaic)
        return terms

    def _map(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Apply one of the linear maps that are discarded after training."""
        y = tf.tensordot(x, tf.cast(self.weights[f"map/{name}/kernel"], x.dtype), 1)
        return tf.cast(y, tf.float32) + self.weights[f"map/{name}/bias"]

    def _style_loss(
        self, images: tf.Tensor, outputs: network.Outputs, step: tf.Tensor, mosaic: int
    ) -> tf.Tensor:
        """Compare the maps with those of the style teachers."""
        if mosaic == 1:
            count = max(2, images.shape[0] // STYLE_BATCH_DIVISOR)
            images, taps, margin, weight = images[:count], outputs.taps, 0, 0.1
            targets = teachers.style_features(self.style_teacher, images, self.dtype)
        else:
            images = self.add_noise(make_mosaics(images, mosaic), step)
            taps = network.forward(self.weights, images, dtype=self.dtype).taps
            margin, weight = MOSAIC_MARGIN, 0.4
            targets = teachers.style_features(self.style_teacher, images, self.dtype)
            targets[:3] = teachers.texture_features(self.texture_teacher, images, self.dtype)
        loss = 0.0
        for tap, target in zip(network.STYLE_TAPS, targets, strict=True):
            inside = slice(margin, target.shape[1] - margin)
            target = tf.stop_gradient(tf.cast(target[:, inside, inside], tf.float32))
            student = self._map(tap, taps[tap][: target.shape[0], inside, inside])
            variance = tf.reduce_mean(tf.math.reduce_variance(target, axis=(0, 1, 2)))
            loss += weight * tf.reduce_mean(tf.square(student - target)) / (variance + 1e-6)
        return loss

    def add_noise(self, images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Add noise at several scales to half of the images.

        Optimizing pixels soon leaves the distribution of natural images. If the teachers have
        trained the student there too, the optimization cannot drift away unnoticed.
        """
        batch, size = images.shape[0], images.shape[1]
        draw = tf.random.stateless_uniform((2, batch, 1, 1, 1), (self.seed + 2, step))
        noise = tf.zeros_like(images)
        for scale in NOISE_SCALES:
            coarse = tf.random.stateless_normal(
                (batch, size // scale, size // scale, 3), (self.seed + 2 + scale, step)
            )
            noise += tf.image.resize(coarse, (size, size), "bicubic")
        strength = 0.12 * tf.nn.relu(2 * draw[0] - 1)
        return tf.clip_by_value(images + strength * noise, 0, 1)

    @tf.function(reduce_retracing=False)
    def advance(
        self, indices: tf.Tensor, step: tf.Tensor, rate: tf.Tensor, size: int, mosaic: int
    ) -> dict[str, tf.Tensor]:
        """Take one step of SGD with Nesterov momentum, with weight decay on kernels only."""
        images = tf.ensure_shape(self.crop(indices, step, size), (indices.shape[0], size, size, 3))
        with tf.GradientTape() as tape:
            # Independent parts keep all cores busy without synchronizing after each operation.
            parts = [
                self.losses(*part, step, mosaic)
                for part in zip(
                    tf.split(images, self.parts), tf.split(indices, self.parts), strict=True
                )
            ]
            terms = {name: tf.add_n([p[name] for p in parts]) / self.parts for name in parts[0]}
            loss = tf.add_n(list(terms.values()))
        names = sorted(self.weights)
        gradients = tape.gradient(loss, [self.weights[name] for name in names])
        gradients, norm = tf.clip_by_global_norm(gradients, CLIP_NORM)
        average = tf.minimum(
            EMA_DECAY, (1.0 + tf.cast(step, tf.float32)) / (10.0 + tf.cast(step, tf.float32))
        )
        for name, gradient in zip(names, gradients, strict=True):
            weight, momentum = self.weights[name], self.momenta[name]
            if name.endswith("/kernel"):
                gradient = gradient + WEIGHT_DECAY * weight
            momentum.assign(MOMENTUM * momentum + gradient)
            weight.assign_sub(rate * (gradient + MOMENTUM * momentum))
            self.averages[name].assign_sub((1 - average) * (self.averages[name] - weight))
        return terms | {"loss": loss, "norm": norm}

    def next_indices(self, batch: int) -> NDArray[np.int32]:
        """Return the next images of the epoch's permutation, and of the next one at its end."""
        count, taken = self.pixels.shape[0], []
        while batch:
            epoch, start = divmod(self.seen, count)
            order = np.random.default_rng((self.seed, epoch)).permutation(count)
            chosen = order[start : start + batch]
            taken.append(chosen)
            self.seen += len(chosen)
            batch -= len(chosen)
        return np.concatenate(taken).astype(np.int32)

    def run(
        self,
        steps: int,
        finish: int = 0,
        until: int | None = None,
        batch_share: float = 1.0,
        report: Callable[[int, dict[str, float], float], None] | None = None,
    ) -> None:
        """Train from the current step.

        Args:
            steps: Steps of the training.
            finish: Steps of the finishing phase on textures.
            until: Stop at this step; None for the end.
            batch_share: Factor for every batch size.
            report: Called every 100 steps with step, terms of the loss and seconds per step.

        Raises:
            DivergenceError: If the loss is NaN or infinite.
        """
        first, began = self.step, time.perf_counter()
        end = steps + finish
        while self.step < min(end, until or end):
            plan = schedule.plan_step(self.step, steps, finish, batch_share)
            terms = self.advance(
                tf.constant(self.next_indices(plan.batch)),
                tf.constant(self.step),
                tf.constant(plan.rate, tf.float32),
                plan.pixels,
                plan.mosaic,
            )
            self.step += 1
            if self.step % REPORT_EVERY == 0 or self.step == end:
                values = {name: float(term) for name, term in terms.items()}
                if not np.isfinite(values["loss"]):
                    raise DivergenceError(f"the loss is {values['loss']} at step {self.step}")
                if report:
                    report(self.step, values, (time.perf_counter() - began) / (self.step - first))
                first, began = self.step, time.perf_counter()

    def save(self, path: Path) -> None:
        """Save the state for `restore`, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, step=self.step, seen=self.seen, seed=self.seed, **self._arrays())
        os.replace(partial, path)

    def restore(self, path: Path) -> None:
        """Restore the state from a checkpoint.

        Raises:
            WeightsError: If the file is not a checkpoint of this network and objective.
        """
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise WeightsError(
                f"{path} is not a checkpoint ({error}); delete it to start again"
            ) from error
        groups = {"weights": self.weights, "momenta": self.momenta, "averages": self.averages}
        shapes = {name: value.shape for name, value in self._arrays().items()}
        found = {name: arrays[name].shape for name in arrays if "/" in name}
        if shapes != found or int(arrays["seed"]) != self.seed:
            raise WeightsError(
                f"{path} belongs to a run with another objective, seed or set of classes; "
                "delete it or choose another --work"
            )
        for group, variables in groups.items():
            for name, variable in variables.items():
                variable.assign(arrays[f"{group}/{name}"])
        self.step, self.seen = int(arrays["step"]), int(arrays["seen"])

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        groups = {"weights": self.weights, "momenta": self.momenta, "averages": self.averages}
        return {
            f"{group}/{name}": variable.numpy()
            for group, variables in groups.items()
            for name, variable in variables.items()
        }

    def fold(self, batches: int = 40, batch: int = 128) -> dict[str, NDArray[np.float32]]:
        """Measure the moments of the averaged weights on training images and fold them in."""
        weights = {name: value.numpy() for name, value in self.averages.items()}
        order = np.random.default_rng(self.seed).permutation(self.pixels.shape[0])
        chosen = [order[i : i + batch] for i in range(0, len(order), batch)][:batches]
        moments = network.measure_moments(
            weights, (tf.cast(tf.gather(self.pixels, rows), tf.float32) / 255 for rows in chosen)
        )
        return network.fold(weights, moments)

    def head(self) -> dict[str, NDArray[np.float32]]:
        """Return the averaged map from embedding to classes: `kernel` and `bias`."""
        return {name: self.averages[f"map/classes/{name}"].numpy() for name in ("kernel", "bias")}


def make_mosaics(images: tf.Tensor, tiles: int) -> tf.Tensor:
    """Arrange crops in mosaics of tiles × tiles.

    Args:
        images: `(batch, size, size, 3)`; the batch size is a multiple of tiles².
        tiles: Crops along the side of a mosaic.

    Returns:
        `(batch / tiles², tiles · size, tiles · size, 3)`.
    """
    size = images.shape[1]
    grid = tf.reshape(images, (-1, tiles, tiles, size, size, 3))
    return tf.reshape(
        tf.transpose(grid, (0, 1, 3, 2, 4, 5)),
        (images.shape[0] // tiles**2, tiles * size, tiles * size, 3),
    )


def divergence(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Compute T² KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over the batch."""
    target = tf.nn.log_softmax(tf.stop_gradient(teacher) / TEMPERATURE)
    guess = tf.nn.log_softmax(student / TEMPERATURE)
    kl = tf.reduce_sum(tf.exp(target) * (target - guess), axis=-1)
    return TEMPERATURE**2 * tf.reduce_mean(kl)
