"""One order and one set of names for an ONNX graph, so that equal networks are equal bytes.

tf2onnx counts through all that a process has converted, keeps by chance one of what it finds twice,
under that one's name, and goes through nodes and constants as they lie in memory. What a graph
computes stays the same, and so do the names of what goes into it.
"""

import hashlib
from collections.abc import Collection
from itertools import takewhile
from typing import Any

_SIDES = ("batch", "height", "width")


def settle_graph(graph: Any, layers: Collection[str], output: str) -> None:
    """Sort the nodes by what they compute, and name everything by its layer and place.

    Args:
        graph: A ``GraphProto`` whose nodes come after those they need; it is changed.
        layers: The names of the layers that it was made of.
        output: What its one output is to be called.
    """
    _sort_nodes(graph)
    _name_by_place(graph, layers, output)
    for each in (*graph.input, *graph.output):
        for side, name in zip(each.type.tensor_type.shape.dim, _SIDES, strict=False):
            if side.WhichOneof("value") != "dim_value":
                side.dim_param = name
    graph.ClearField("doc_string")
    graph.ClearField("value_info")


def _sort_nodes(graph: Any) -> None:
    """Bring nodes of equal depth into the order of digests of all that leads to them."""
    signs = {"": (0, b"")} | {each.name: (0, each.name.encode()) for each in graph.input}
    signs |= {each.name: (0, _digest_constant(each)) for each in graph.initializer}
    placed = []
    for node in graph.node:
        needed = [signs[name] for name in node.input]
        depth = 1 + max((before for before, _ in needed), default=0)
        said = sorted(each.SerializeToString(deterministic=True) for each in node.attribute)
        facts = (node.domain.encode(), node.op_type.encode(), *said, *(sign for _, sign in needed))
        sign = _digest(*facts)
        placed.append(((depth, sign), node))
        for number, name in enumerate(node.output):
            signs[name] = depth, _digest(sign, bytes([number]))
    nodes = [node for _, node in sorted(placed, key=lambda each: each[0])]
    _replace(graph.node, nodes)


def _name_by_place(graph: Any, layers: Collection[str], output: str) -> None:
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
    """The layer that a node is in, and the models that the layer is in.

    Keras puts ``_1`` behind the name of a layer where it says what was computed in it.
    """
    model, *parts = name.split("/")[:-1] or [""]
    inside = takewhile(lambda part: part.rpartition("_")[0] in layers, parts)
    return [model, *inside]


def _replace(field: Any, values: list[Any]) -> None:
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


def _digest_constant(constant: Any) -> bytes:
    bare = type(constant).FromString(constant.SerializeToString())
    bare.ClearField("name")
    return _digest(bare.SerializeToString(deterministic=True))


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
