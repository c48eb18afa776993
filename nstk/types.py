"""Names for the types of arrays, tensors and networks in signatures.

A type checker sees TensorFlow and Keras as untyped, so their objects are `Any` under a name that
says what they are. In shapes, n is the number of images, C of classes, D of features, and c of
channels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = Any
"""A ``tf.Tensor`` or a symbolic Keras tensor; float32 unless documented otherwise."""

Variable = Any
"""A ``keras.Variable`` or ``tf.Variable``, such as a kernel; float32."""

Strategy = Any
"""A ``tf.distribute.Strategy``: the processes and devices that share a training."""

KerasModel = Any
"""A functional ``keras.Model``; its input is images ``(n, height, width, 3)`` unless documented."""

KerasLayer = Any
"""A ``keras.Layer`` or another ``keras.Operation`` of a model."""

CompiledFunction = Any
"""A ``tf.function``; its arguments are those of the function it was compiled from."""

OptimizerState = Any
"""What an optimizer keeps from one step to the next: a named tuple of tensors."""

FeatureMaps = Mapping[str, Tensor]
"""Feature maps by layer: float32 tensors ``(1, height, width, c)``, of any value."""

Array = npt.NDArray[Any]
"""A NumPy array of any shape, dtype and range."""

FeatureVectors = npt.NDArray[np.float32]
"""Feature vectors of images: float32 ``(n, D)``, of any finite value."""

Logits = npt.NDArray[np.floating]
"""Outputs of a head before its link function: floats ``(n, C)``, of any finite value."""

Probabilities = npt.NDArray[np.floating]
"""Probabilities of classes: floats ``(n, C)`` in ``[0, 1]``."""

Targets = npt.NDArray[np.bool_]
"""Labels of images, one column for each class: bool ``(n, C)``."""

Labels = npt.NDArray[np.integer]
"""Class, stratum or group of each image: integers ``(n,)`` from 0; −1 for none."""

Matrix = npt.NDArray[np.float64]
"""Numbers of a fit, such as weights or losses: float64, ``(n, C)`` unless documented."""

Json = Any
"""A value of a JSON document: a string, a number, a bool, None, or a list or dict of these."""

Images = Any
"""One image or several: paths of files and folders; the bytes of files; arrays ``(H, W, 3)`` or
``(N, H, W, 3)``, tensors, Pillow images and results of nstk; an iterable of these; or a
``tf.data.Dataset`` of images, batches, or either with labels, which are ignored."""

Examples = Any
"""Labeled images in memory, as `nstk.datasets.arrays.catalog_arrays` takes them."""

SettingValue = Any
"""The value of one setting: text, a number, a bool, None, or weights by layer."""

Engine = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""What runs a function on every task, here or in other processes, and returns the results in
order, like `map`."""
