"""The networks of this room: images of any size in, features or probabilities out.

The classifier is one plain Keras graph

    image → scale → samples → square → backbone → features → head → probabilities

made of Keras's own layers, so it loads where nstk is not installed. With several views ``square``
holds them all, ``(N, views, size, size, 3)``, and ``features`` is their mean. Fitting looks through
the same layers from the square on, and cuts its squares as `nstk.features.crops` says, which is
what the layers before it do: a head is fitted on what the delivered classifier computes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.activations import activated_taps
from nstk.backbones.backbone import Backbone
from nstk.backbones.conventions import pinned_keras_config
from nstk.backbones.layer_names import count_afresh, is_named_by_counting
from nstk.errors import SettingsError
from nstk.features.crops import VIEWS, Squares, View, cut_views, plan_sampling
from nstk.heads.head import Head

SQUARE = "square"
FEATURES = "features"

POOLED = "pooled"
STATISTICS = "statistics"
BLOCKS: dict[str, tuple[str, ...]] = {
    "pooled": (POOLED,),
    "pooled+statistics": (POOLED, STATISTICS),
}
"""What each choice of features is made of."""

_EPSILON = 1e-6


def choose_statistics_taps(backbone: Backbone) -> tuple[str, ...]:
    """The first activation behind each change of stride: colors and textures, fine to coarse."""
    return tuple(names[0] for _, names in sorted(activated_taps(backbone).items()))


@pinned_keras_config()
def build_describer(backbone: Backbone, size: int, blocks: Sequence[str]) -> Any:
    """Build the network from squares to blocks of features.

    Args:
        backbone: The frozen network.
        size: Side in pixels of the squares.
        blocks: ``"pooled"``, the mean of the last map, and ``"statistics"``, the mean and the
            standard deviation of every channel of `choose_statistics_taps`; any other is the
            name of a tap, and its mean.

    Returns:
        A ``keras.Model`` from ``(N, size, size, 3)`` in ``[0, 1]`` to ``{block: (N, D)}``.

    Raises:
        SettingsError: If the network cannot see a square this small.
    """
    square = keras.Input((size, size, 3), name=SQUARE)
    return keras.Model(square, _describe(backbone, square, blocks, prefix=""))


@pinned_keras_config()
def build_extractor(
    backbone: Backbone, size: int, features: str = POOLED, views: Sequence[View] = VIEWS[:1]
) -> Any:
    """Build the network from images to feature vectors.

    Values 0 to 255 are scaled first: a resize of uint8 would round, and differently in eager
    and compiled mode.

    Args:
        backbone: The frozen network.
        size: Side in pixels of the square that the network sees.
        features: A key of `BLOCKS`.
        views: The views of each image; the vector is their mean.

    Returns:
        A ``keras.Model`` from uint8 or float ``(N, H, W, 3)``, values 0 to 255, to float32
        ``(N, D)``.

    Raises:
        SettingsError: If the network cannot see a square this small.
    """
    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    scaled = layers.Rescaling(1 / 255, name="scale")(image)
    if len(views) == 1:
        square = _cut(scaled, size, views[0], "")
        described = _describe(backbone, square, BLOCKS[features], prefix="")
        return keras.Model(image, _join(described, FEATURES), name="extractor")
    cut = [_cut(scaled, size, view, f"_{number}") for number, view in enumerate(views)]
    rows = [
        layers.Reshape((1, size, size, 3), name=f"view_{number}")(square)
        for number, square in enumerate(cut)
    ]
    square = layers.Concatenate(axis=1, name=SQUARE)(rows)
    apart = keras.ops.reshape(square, (-1, size, size, 3))
    described = _describe(backbone, apart, BLOCKS[features], prefix="view_")
    vectors = _join(described, "view_features")
    together = keras.ops.reshape(vectors, (-1, len(views), vectors.shape[-1]))
    mean = layers.GlobalAveragePooling1D(name=FEATURES)(together)
    return keras.Model(image, mean, name="extractor")


@pinned_keras_config()
def attach_head(extractor: Any, head: Head) -> Any:
    """Build the classifier: the extractor's layers, then the head and its link.

    Args:
        extractor: What `build_extractor` gave.
        head: The head fitted on its features.

    Returns:
        A ``keras.Model`` from uint8 or float ``(N, H, W, 3)``, values 0 to 255, to
        probabilities, float32 ``(N, C)``.
    """
    dense = keras.layers.Dense(head.kernel.shape[1], name="head")
    logits = dense(extractor.output)
    dense.set_weights([head.kernel, head.bias])
    probabilities = head.link.layer()(logits)
    classifier = keras.Model(extractor.inputs[0], probabilities, name="classifier")
    # Keras numbers operations by what was built before; equal classifiers are to be equal bytes.
    counted = [each for each in classifier.operations if is_named_by_counting(each)]
    names = count_afresh(each.name for each in counted)
    for each in counted:
        each.name = names[each.name]
    return classifier


def _cut(scaled: Any, size: int, view: View, suffix: str) -> Any:
    """Cut one view out of the images, as `nstk.features.crops` says."""
    layers, plan = keras.layers, plan_sampling(view, size)
    name = f"samples{suffix}"
    samples = layers.Resizing(plan.side, plan.side, crop_to_aspect_ratio=True, name=name)(scaled)
    if plan.side > plan.window:
        below, right = (plan.side - plan.window - edge for edge in (plan.top, plan.left))
        edges = (plan.top, below), (plan.left, right)
        samples = layers.Cropping2D(edges, name=f"window{suffix}")(samples)
    rows = _average(samples, plan.factor, (1, 0), f"rows{suffix}")
    last = f"columns{suffix}" if view.flipped or suffix else SQUARE
    columns = _average(rows, plan.factor, (0, 1), last)
    return keras.ops.flip(columns, axis=2) if view.flipped else columns


def _average(samples: Any, factor: int, axes: tuple[int, int], name: str) -> Any:
    """Twice the mean of the k samples of each pixel less the mean of the 2·k round it."""
    layers = keras.layers
    steps = tuple(factor if axis else 1 for axis in axes)
    wide = tuple(2 * factor if axis else 1 for axis in axes)
    near = layers.AveragePooling2D(steps, steps, name=f"{name}_near")(samples)
    far = layers.AveragePooling2D(wide, steps, padding="same", name=f"{name}_far")(samples)
    twice = layers.Rescaling(2.0, name=f"{name}_twice")(near)
    return layers.Subtract(name=name)([twice, far])


def _describe(
    backbone: Backbone, squares: Any, blocks: Sequence[str], prefix: str
) -> dict[str, Any]:
    """Look at squares through the backbone; give the blocks of features."""
    network, layers = backbone.model, keras.layers
    measured = choose_statistics_taps(backbone) if STATISTICS in blocks else ()
    named = tuple(block for block in blocks if block not in (POOLED, STATISTICS))
    taps = (*measured, *named)
    outputs = [network.outputs[0], *(network.get_layer(name).output for name in taps)]
    frozen = keras.Model(network.inputs[0], outputs if taps else outputs[0], name="backbone")
    frozen.trainable = False
    try:
        # Keras's resizing layers would switch everything behind them to training mode.
        seen = frozen(squares, training=False)
    except ValueError as error:
        raise SettingsError(
            f"--size is {squares.shape[1]}, too small for '{backbone.name}'; "
            f"its own is {backbone.input_size}, choose one nearer to it."
        ) from error
    last, *maps = seen if taps else [seen]
    pooled = f"{prefix}{POOLED}" if taps else f"{prefix}{FEATURES}"
    described = {POOLED: layers.GlobalAveragePooling2D(name=pooled)(last)}
    if measured:
        moments = [moment for each in maps[: len(measured)] for moment in channel_moments(each)]
        described[STATISTICS] = layers.Concatenate(name=f"{prefix}{STATISTICS}")(moments)
    for block, each in zip(named, maps[len(measured) :], strict=True):
        mean = layers.GlobalAveragePooling2D(name=f"{prefix}mean_{block}")
        described[block] = mean(each)
    return described


def channel_moments(maps: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of every channel."""
    variance = keras.ops.var(maps, axis=(1, 2))
    # Where a channel is silent the gradient of the root would be infinite.
    return keras.ops.mean(maps, axis=(1, 2)), keras.ops.sqrt(variance + _EPSILON)


def _join(described: dict[str, Any], name: str) -> Any:
    if len(described) == 1:
        return described[POOLED]
    return keras.layers.Concatenate(name=name)([*described.values()])


@dataclass(frozen=True, eq=False)
class InferencePipeline:
    """A network cut at its square: the way of one image to it, and of many squares from it.

    Images of different sizes meet as squares of one size, and can go on as a batch.

    Attributes:
        model: An extractor or a classifier.
    """

    model: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the square: ``(size, size, 3)``, or ``(views, size, size, 3)``."""
        return tuple(self.model.get_layer(SQUARE).output.shape[1:])

    @cached_property
    @pinned_keras_config()
    def prepare(self) -> Callable[..., Squares]:
        """One image ``(H, W, 3)``, whole numbers 0 to 255, to its square; thread-safe.

        ``out`` says where the square goes; without it a new array is made.

        `nstk.features.crops` cuts faster than the network itself. What the network computes
        counts, so both cut two noisy images first, and where they differ the network cuts.
        """
        shape = self.shape
        network = keras.Model(self.model.inputs[0], self.model.get_layer(SQUARE).output)
        views = VIEWS[: shape[0]] if len(shape) == 4 else VIEWS[:1]

        def cut(levels: npt.NDArray[Any], out: Squares | None = None) -> Squares:
            squares = np.empty(shape, np.float32) if out is None else out
            cut_views(levels, shape[-2], views, out=squares.reshape(-1, *shape[-3:]))
            return squares

        if all(
            np.allclose(cut(noise), network(noise[np.newaxis], training=False)[0], atol=1e-4)
            for noise in _draw_noise(shape[-2])
        ):
            return cut
        compiled = tf.function(
            lambda images: network(images, training=False),
            input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)],
            autograph=False,
        ).get_concrete_function()

        def look(levels: npt.NDArray[Any], out: Squares | None = None) -> Squares:
            squares = np.empty(shape, np.float32) if out is None else out
            squares[...] = compiled(tf.constant(levels[np.newaxis], tf.float32))[0]
            return squares

        return look

    @cached_property
    @pinned_keras_config()
    def finish(self) -> Callable[[Squares], npt.NDArray[np.float32]]:
        """Compiled: squares ``(N, *shape)`` to the network's output, ``(N, …)``."""
        square = self.model.get_layer(SQUARE).output
        network = keras.Model(square, self.model.outputs[0])
        compiled = tf.function(
            lambda squares: network(squares, training=False),
            input_signature=[tf.TensorSpec(square.shape, tf.float32)],
            autograph=False,
        ).get_concrete_function()
        return lambda squares: compiled(tf.constant(squares)).numpy()


def _draw_noise(size: int) -> Iterator[npt.NDArray[np.float32]]:
    """An image larger than its square will be, and a smaller one."""
    generator = np.random.default_rng(0)
    for height, width in ((2 * size + 7, 3 * size), (size, size // 2 + 3)):
        yield generator.integers(0, 256, (height, width, 3)).astype(np.float32)
