"""The classifier for ONNX Runtime, with equal bytes for equal networks.

tf2onnx numbers names by what the process has converted before, keeps one of several equal nodes by
chance, and orders nodes and constants as they lie in memory. So the graph is sorted and renamed;
what it computes, and the names of its inputs, stay the same.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, MutableSequence, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from nstk.classifiers.classifier import Classifier
from nstk.types import KerasModel

if TYPE_CHECKING:
    import onnx

_SIDES = ("batch", "height", "width")


def write_onnx(classifier: Classifier, path: Path) -> None:
    """Write an ``.onnx`` file: uint8 ``images`` ``(N, H, W, 3)`` to ``probabilities`` ``(N, C)``.

    The class names are in its metadata under ``classes``, a JSON list in the order of the outputs;
    if images may have several labels, so are their thresholds under ``thresholds``.
    """
    import onnx

    classifier.model.export(
        path,
        format="onnx",
        verbose=False,
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")],
    )
    written = onnx.load(path)
    metadata = {"classes": json.dumps(list(classifier.classes), ensure_ascii=False)}
    if classifier.multi_label:
        metadata["thresholds"] = json.dumps(classifier.decision.thresholds)
    onnx.helper.set_model_props(written, metadata)
    _normalize_graph(written.graph, set(_list_layers(classifier.model)), "probabilities")
    onnx.save(written, path)


def _list_layers(model: KerasModel) -> Iterator[str]:
    for layer in model.layers:
        yield layer.name
        if hasattr(layer, "layers"):
            yield from _list_layers(layer)


def _normalize_graph(graph: "onnx.GraphProto", layers: Collection[str], output: str) -> None:
    """Sort the nodes by what they compute, and name everything by its layer and position."""
    _sort_nodes(graph)
    _rename(graph, layers, output)
    for each in (*graph.input, *graph.output):
        for side, name in zip(each.type.tensor_type.shape.dim, _SIDES, strict=False):
            if side.WhichOneof("value") != "dim_value":
                side.dim_param = name
    graph.ClearField("doc_string")
    graph.ClearField("value_info")


def _sort_nodes(graph: "onnx.GraphProto") -> None:
    """Sort nodes by depth, and by a digest of everything they depend on."""
    digests = {"": (0, b"")} | {each.name: (0, each.name.encode()) for each in graph.input}
    digests |= {each.name: (0, _digest_constant(each)) for each in graph.initializer}
    placed = []
    for node in graph.node:
        needed = [digests[name] for name in node.input]
        depth = 1 + max((before for before, _ in needed), default=0)
        attributes = sorted(each.SerializeToString(deterministic=True) for each in node.attribute)
        facts = (
            node.domain.encode(),
            node.op_type.encode(),
            *attributes,
            *(digest for _, digest in needed),
        )
        digest = _digest(*facts)
        placed.append(((depth, digest), node))
        for number, name in enumerate(node.output):
            digests[name] = depth, _digest(digest, bytes([number]))
    nodes = [node for _, node in sorted(placed, key=lambda each: each[0])]
    _replace(graph.node, nodes)


def _rename(graph: "onnx.GraphProto", layers: Collection[str], output: str) -> None:
    [result] = graph.output
    outside = {each.name: each.name for each in graph.input} | {result.name: output}
    result.name = output
    names = {"": ""} | outside

    def rename(name: str, kind: str) -> str:
        return names.setdefault(name, f"{kind}_{len(names) - 1 - len(outside)}")

    for node in graph.node:
        layer = "/".join(_find_layer(node.name, layers))
        node.name = f"{layer}/{node.op_type}_{len(names)}"
        node.input[:] = [rename(name, f"{layer}/constant") for name in node.input]
        node.output[:] = [rename(name, f"{layer}/{node.op_type}") for name in node.output]
    constants = {each.name: each for each in graph.initializer}
    for former, each in constants.items():
        each.name = names[former]
    _replace(graph.initializer, [constants[name] for name in names if name in constants])


def _find_layer(name: str, layers: Collection[str]) -> list[str]:
    """The layer of a node, after the models that contain it.

    Keras appends ``_1`` to the name of a layer in the names of its tensors.
    """
    model, *parts = name.split("/")[:-1] or [""]
    inside = takewhile(lambda part: part.rpartition("_")[0] in layers, parts)
    return [model, *inside]


def _replace(field: MutableSequence[Any], values: Sequence[Any]) -> None:
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


def _digest_constant(constant: "onnx.TensorProto") -> bytes:
    bare = type(constant).FromString(constant.SerializeToString())
    bare.ClearField("name")
    return _digest(bare.SerializeToString(deterministic=True))


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
