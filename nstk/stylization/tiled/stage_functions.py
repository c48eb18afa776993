"""What is computed of one window of one stage of a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf

from nstk.backbones.stages import Stage
from nstk.stylization.sums import sum_layers


@dataclass(frozen=True, eq=False)
class StageFunctions:
    """What is computed of one window of a stage, compiled once for windows of any size.

    Attributes:
        stage: A part of the network.
        style_layers: Which layers are style.
        content_layers: Which layers have targets.
        guided: For each region, whether it has guides.
    """

    stage: Stage
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    guided: tuple[bool, ...]

    @cached_property
    def show(self) -> Any:
        """``(map, places)`` to the owned cells of every output, by name."""
        return tf.function(self._show, input_signature=self._signature[:2], autograph=False)

    @cached_property
    def sum_up(self) -> Any:
        """``(map, places, targets, guides)`` to sums of style and content and the next map."""
        return tf.function(self._sum_up, input_signature=self._signature, autograph=False)

    @cached_property
    def vjp(self) -> Any:
        """``(map, places, targets, guides, gradients, following)`` to the gradient of the map.

        ``gradients`` are those of the flat sums, ``following`` holds that of the next map, if any.
        """
        style, content, following = self.sum_up.get_concrete_function().structured_outputs
        gradients = [tf.TensorSpec(sums.shape, sums.dtype) for sums in _flatten(style, content)]
        last = [] if following is None else [tf.TensorSpec(following.shape, following.dtype)]
        signature = [*self._signature, gradients, last]
        return tf.function(self._vjp, input_signature=signature, autograph=False)

    def _show(self, window: Any, places: Mapping[str, Any]) -> dict[str, Any]:
        maps = self.stage.model(window, training=False)
        return {name: _crop(maps[name], place) for name, place in places.items()}

    def _sum_up(
        self,
        window: Any,
        places: Mapping[str, Any],
        targets: Mapping[str, Any],
        guides: Mapping[str, Sequence[Any]],
    ) -> tuple[Any, Any, Any]:
        maps = self._show(window, places)
        taps = {name: maps[name] for name in self.stage.taps}
        style, content = sum_layers(taps, self._align(guides), targets)
        return style, content, maps.get(str(self.stage.following))

    def _vjp(
        self,
        window: Any,
        places: Mapping[str, Any],
        targets: Mapping[str, Any],
        guides: Mapping[str, Sequence[Any]],
        gradients: Sequence[Any],
        following: Sequence[Any],
    ) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(window)
            style, content, next_map = self._sum_up(window, places, targets, guides)
        outputs = [*_flatten(style, content), *([next_map] if following else [])]
        return tape.gradient(outputs, window, output_gradients=[*gradients, *following])

    def _align(self, guides: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """One guide for every region, None where it has none."""
        aligned = {}
        for name, planes in guides.items():
            remaining = iter(planes)
            aligned[name] = [next(remaining) if guided else None for guided in self.guided]
        return aligned

    @cached_property
    def _signature(self) -> list[Any]:
        source, outputs = self.stage.model.inputs[0], self.stage.model.output
        planes = [tf.TensorSpec([None, None], tf.float32)] * sum(self.guided)
        style = [name for name in self.stage.taps if name in self.style_layers]
        content = [name for name in self.stage.taps if name in self.content_layers]
        return [
            _map_spec(source),
            {name: tf.TensorSpec([4], tf.int32) for name in outputs},
            {name: _map_spec(outputs[name]) for name in content},
            {name: list(planes) for name in style},
        ]


def _crop(maps: Any, place: Any) -> Any:
    top, bottom, left, right = tf.unstack(place)
    return tf.slice(maps, [0, top, left, 0], [1, bottom - top, right - left, maps.shape[-1]])


def _flatten(style: Any, content: Any) -> list[Any]:
    return list(tf.nest.flatten((style, content)))


def _map_spec(tensor: Any) -> Any:
    return tf.TensorSpec([1, None, None, tensor.shape[-1]], tensor.dtype)
