"""Explanation: which parts of an image support its class, and which oppose it.

If a linear head takes the mean of the last feature map F over its P positions, the logit of class c
is z_c = b_c + Σ_k w_kc·(1/P)·Σ_p F_kp = b_c + (1/P)·Σ_p M_cp with M_cp = Σ_k w_kc·F_kp (Zhou et
al. 2016): the map M is an exact decomposition of the logit. Softmax logits are defined up to a
constant, so each class is compared with the mean of all: w_kc − mean_c' w_kc' replaces w_kc.
Sigmoid logits need no comparison.

If the head takes more than that mean, the mean over the positions of ∂z_c/∂F_kp replaces w_kc, and
negative values are set to 0 (Grad-CAM, Selvaraju et al. 2017).
"""

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.keras_config import check_process, pinned_keras_config
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.reading import Inputs, Reader, list_inputs
from nstk.datasets.listing import SkippedFile
from nstk.errors import ImageError, SettingsError
from nstk.features.executors import TENSORFLOW, NetworkExecutor
from nstk.features.networks import SQUARE
from nstk.heads.links import Link
from nstk.images.image import VALUE_RANGE, Image, Plane, ValueRange, resize_plane
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import DecodeMode, ExecutorName
from nstk.types import Array, CompiledFunction, Images, Json, KerasLayer, KerasModel, Tensor

FOR = np.array([0.84, 0.37, 0.0], np.float32)
AGAINST = np.array([0.0, 0.45, 0.7], np.float32)
"""Vermilion and blue, which color-blind readers tell apart (Okabe and Ito 2008)."""

_MAX_OPACITY = 0.75
_OUTSIDE = 0.35

HEAD = "head"

Method = Literal["class activation map", "Grad-CAM"]


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """The explanation of one image; as an array, it is its overlay.

    Attributes:
        path: The file; for bytes and arrays their position, as in ``image 3``.
        label: The explained class.
        probability: Its probability.
        evidence: float32 ``(h, w)`` over the largest centered square: positive where the image
            supports the class, negative where it opposes it.
        method: ``"class activation map"`` if the head is linear in the mean of the last feature
            map. The mean of ``evidence`` is then exactly the class's logit without its bias,
            relative to the mean of all classes unless the classifier is multi-label. Otherwise
            ``"Grad-CAM"``.
        overlay: The image with the evidence drawn over it.
    """

    path: Path
    label: str
    probability: float
    evidence: npt.NDArray[np.float32]
    method: Method
    overlay: Image

    value_range = (0.0, 1.0)

    def __repr__(self) -> str:
        return f"Explanation({str(self.path)!r}, {self.label!r}, {100 * self.probability:.1f} %)"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.overlay, dtype)

    def to_dict(self) -> dict[str, Json]:
        """Convert to JSON values, without the arrays."""
        return {
            "path": str(self.path),
            "label": self.label,
            "probability": self.probability,
            "method": self.method,
        }

    def _repr_html_(self) -> str:
        from PIL import Image as PILImage

        file = io.BytesIO()
        PILImage.fromarray(np.rint(self.overlay * 255).astype(np.uint8)).save(file, "PNG")
        source = base64.b64encode(file.getvalue()).decode("ascii")
        caption = html.escape(f"{self.path}: {self.label} {100 * self.probability:.1f} %")
        return f'<figure><img src="data:image/png;base64,{source}"><p>{caption}</p></figure>'


def explain(
    classifier: Classifier,
    images: Images,
    *,
    label: str | None = None,
    value_range: ValueRange = VALUE_RANGE,
    decode: DecodeMode | None = None,
    executor: ExecutorName = "auto",
    on_progress: Reporter = no_progress,
) -> Iterator[Explanation | SkippedFile]:
    """Explain predictions one after the other; only one image is held in memory.

    Args:
        classifier: A classifier from `nstk.finetune` or `nstk.Classifier.load`.
        images: See `nstk.predict`.
        label: The class to explain; None for the most likely class of each image.
        value_range: See `nstk.predict`.
        decode: See `nstk.predict`.
        executor: See `nstk.predict`; Grad-CAM always takes TensorFlow, for its gradients.
        on_progress: Receives the number of finished images, stage ``"explain"``.

    Returns:
        For every image its explanation, or why it was skipped.

    Raises:
        ImageError: If a path does not exist, or an array is not an image or contradicts
            ``value_range``.
        SettingsError: If the classifier does not have the class.
    """
    if label is not None and label not in classifier.classes:
        raise SettingsError(
            f"`label` is '{label}', which the classifier does not have; "
            f"choose one of {', '.join(classifier.classes)}."
        )
    reader = Reader(classifier.pipeline, classifier.reader_for(decode))
    inputs = list_inputs(images, value_range)
    return _explain(classifier, reader, inputs, label, executor, on_progress)


def _explain(
    classifier: Classifier,
    reader: Reader,
    inputs: Inputs,
    label: str | None,
    executor: ExecutorName,
    on_progress: Reporter,
) -> Iterator[Explanation | SkippedFile]:
    check_process()
    network = classifier.explanation_network
    chosen = network.choose_executor(executor, inputs.total)
    asked = None if label is None else classifier.classes.index(label)
    on_progress(Progress(stage="explain", step=0, total=inputs.total))
    for step, source in enumerate(inputs.images, start=1):
        try:
            image = source.load(reader.reader)
            read = reader.read(source)
        except ImageError as error:
            if source.is_array:
                raise
            yield SkippedFile(source.path, error.message_for(source.path))
            continue
        if isinstance(read, SkippedFile):
            yield read
        elif read:
            probabilities, index, evidence = network.explain(np.asarray(read.crop), asked, chosen)
            yield Explanation(
                path=source.path,
                label=classifier.classes[index],
                probability=float(probabilities[index]),
                evidence=evidence,
                method=network.method,
                overlay=draw_overlay(image, evidence),
            )
        on_progress(Progress(stage="explain", step=step, total=max(inputs.total, step)))
    yield from inputs.unsearched


@dataclass(frozen=True, eq=False)
class ExplanationNetwork:
    """The network of a classifier with its last feature map, built and compiled once.

    ``method`` is from `choose_method`, or Grad-CAM for any network, which always takes TensorFlow.
    """

    model: KerasModel
    link: Link
    method: Method

    def choose_executor(self, asked: ExecutorName, images: int) -> str:
        """Choose what runs the network; see `NetworkExecutor.choose`."""
        if self.method == "Grad-CAM":
            return TENSORFLOW
        return self._executors.choose(asked, images)

    def explain(
        self, crop: Array, label: int | None, executor: str = TENSORFLOW
    ) -> tuple[Array, int, npt.NDArray[np.float32]]:
        """Explain a label of a crop, None for the likeliest; of several crops, the first.

        Returns the probabilities ``(C,)``, the label and its evidence ``(h, w)``.
        """
        batch = crop[np.newaxis]
        if self.method == "Grad-CAM":
            asked = tf.constant(-1 if label is None else label)
            probabilities, index, evidence = self._grad_cam(tf.constant(batch), asked)
            return probabilities.numpy()[0], int(index), evidence.numpy()
        maps, probabilities = self._executors.run(executor)(batch)
        index = int(probabilities[0].argmax()) if label is None else label
        return probabilities[0], index, (maps[0] @ self._kernel)[..., index]

    @cached_property
    @pinned_keras_config()
    def _executors(self) -> NetworkExecutor:
        outputs = [_find_mean(self.model).input, self.model.outputs[0]]
        return NetworkExecutor(keras.Model(self.model.get_layer(SQUARE).output, outputs))

    @cached_property
    def _kernel(self) -> Array:
        return np.asarray(self.link.contrast(self.model.get_layer(HEAD).get_weights()[0]))

    @cached_property
    @pinned_keras_config()
    def _grad_cam(self) -> CompiledFunction:
        model, square = self.model, self.model.get_layer(SQUARE).output
        outputs = [_find_mean(model).input, model.get_layer(HEAD).output, model.outputs[0]]
        network = keras.Model(square, outputs)

        def explain_crop(batch: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(batch)
                maps, logits, probabilities = network(batch, training=False)
                likeliest = tf.argmax(probabilities[0], output_type=tf.int32)
                index = tf.where(label < 0, likeliest, label)
                column = tf.gather(self.link.contrast(logits), index, axis=1)
            weights = tf.reduce_mean(tape.gradient(column, maps), axis=(1, 2))
            evidence = tf.nn.relu(maps[0] @ weights[0][:, tf.newaxis])[..., 0]
            return probabilities, index, evidence

        signature = [tf.TensorSpec((1, *square.shape[1:]), tf.float32), tf.TensorSpec((), tf.int32)]
        return tf.function(
            explain_crop, input_signature=signature, autograph=False
        ).get_concrete_function()


def choose_method(model: KerasModel) -> Method:
    """Choose the kind of map: exact if the logits are linear in the mean of the feature map."""
    head = model.get_layer(HEAD)
    is_linear = isinstance(head, keras.layers.Dense) and head.input is _find_mean(model).output
    return "class activation map" if is_linear else "Grad-CAM"


def _find_mean(model: KerasModel) -> KerasLayer:
    means = (each for each in model.layers if isinstance(each, keras.layers.GlobalAveragePooling2D))
    return next(means)


def draw_overlay(image: Image, evidence: npt.NDArray[np.float32]) -> Image:
    """Draw evidence ``(h, w)`` for a class in vermilion and evidence against it in blue.

    The map covers the largest centered square, which is the input of the classifier; the rest of
    the image is darkened.
    """
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    inside = np.s_[top : top + side, left : left + side]
    share = _enlarge(evidence, side)
    opacity = _MAX_OPACITY * np.abs(share)[..., np.newaxis]
    color = np.where(share[..., np.newaxis] >= 0, FOR, AGAINST)
    painted = _OUTSIDE * image
    painted[inside] = (1 - opacity) * image[inside] + opacity * color
    return painted.astype(np.float32)


def _enlarge(evidence: npt.NDArray[np.float32], side: int) -> Plane:
    largest = float(np.abs(evidence).max()) or 1.0
    # Planes are resized in [0, 1], so ½ is neutral.
    plane = ((evidence / largest + 1) / 2).astype(np.float32)
    share: Plane = 2 * resize_plane(plane, side, side) - 1
    return share
