"""Names for the types of arrays, tensors and networks in signatures.

TensorFlow and Keras have no type hints: what comes from them is `Any` for a type checker, under a
name that says what it is. The other aliases are NumPy arrays of one dtype.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = Any
"""A ``tf.Tensor`` or symbolic ``KerasTensor`` of any shape and dtype, unless documented."""

Variable = Any
"""A ``tf.Variable`` or ``keras.Variable``: weights of a network."""

Strategy = Any
"""A ``tf.distribute.Strategy``: the processes and devices that share a training."""

KerasModel = Any
"""A ``keras.Model``: images ``(batch, height, width, 3)``, RGB ``[0, 1]``, to its outputs."""

KerasLayer = Any
"""A ``keras.Layer`` or another ``keras.Operation`` of a model."""

CompiledFunction = Any
"""A ``tf.function``: called as the Python function is that it compiles."""

OptimizerState = Any
"""What an optimizer keeps between two steps: a named tuple of tensors."""

FeatureMaps = Mapping[str, Tensor]
"""Feature maps by layer: float32 tensors ``(1, height, width, channels)``."""

Array = npt.NDArray[Any]
"""An array of any shape and dtype."""

FeatureVectors = npt.NDArray[np.float32]
"""Feature vectors of images: float32 ``(images, width)``, any finite value."""

Logits = npt.NDArray[np.floating]
"""A head's outputs before its link function: floats ``(images, classes)``, any finite value."""

Probabilities = npt.NDArray[np.floating]
"""Probabilities of classes: floats ``(images, classes)`` in ``[0, 1]``."""

Targets = npt.NDArray[np.bool_]
"""The labels as one column for each class: bool ``(images, classes)``."""

Labels = npt.NDArray[np.integer]
"""The class of each image by its index: integers ``(images,)``, from 0."""

Matrix = npt.NDArray[np.float64]
"""Sums, weights and coefficients of a fit: float64, two-dimensional unless documented."""

Json = Any
"""A value of a JSON document: a string, a number, a bool, None, a list or a dict of these."""

Images = Any
"""One image or several: paths of files and folders; the bytes of files; arrays ``(H, W, 3)`` or
``(N, H, W, 3)``, tensors, Pillow images and results of nstk; an iterable of these; or a
``tf.data.Dataset`` of images, batches, or either with labels, which are ignored."""

Examples = Any
"""Labeled images in memory, as `nstk.datasets.arrays.catalog_arrays` takes them."""

SettingValue = Any
"""The value of one setting: text, a number, a bool, None, or weights by layer."""
