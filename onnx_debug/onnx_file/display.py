"""ONNX graphs for display: a copy without weights, the module behind each node, the part around a module.

Nothing here reads external data: a model of many gigabytes is shown from its few megabytes of
structure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from onnx_debug.onnx_file.names import PLACEHOLDER_DOMAIN
from onnx_debug.torch_private import onnx_metadata

LARGE = 3000  # nodes; above this a browser needs seconds to lay the graph out
_PAYLOAD = 1024  # bytes; larger constants are shown by type and shape only
_TENSOR_DATA = (
    "raw_data",
    "float_data",
    "int32_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "string_data",
    "external_data",
)
FAILING = "onnx_debug.failing"  # metadata of the node at which a capture or translation stopped


@dataclass(frozen=True)
class Node:
    """One node of the graph shown.

    Attributes:
        name: unique in the graph shown.
        original: the name in the model file; empty when it has none.
        fqn: the module it comes from, "" for the whole model's own code; None when the exporter
            left no trace.
        placeholder: it stands for a whole module.
        failing: the export stopped here.
        outputs: the values it makes.
    """

    name: str
    original: str
    op: str
    fqn: str | None
    placeholder: bool = False
    failing: bool = False
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A graph made for display.

    Attributes:
        model: serialized ModelProto, without weights.
        nodes: in file order.
        total: number of nodes in the file; more than `nodes` when only a part is shown.
        operators: `(domain, op_type)` pairs, also those of nested graphs and functions.
    """

    model: bytes
    nodes: tuple[Node, ...]
    total: int
    operators: frozenset[tuple[str, str]]

    @property
    def partial(self) -> bool:
        """True when the file has more nodes than are shown."""
        return self.total > len(self.nodes)


def load(
    path: str | Path, *, modules: Collection[str] = (), focus: str | None = None, limit: int = LARGE
) -> Graph:
    """Read a model for display; its external data stays where it is.

    Args:
        path: the ONNX file.
        modules: FQNs of the model; with them the names that the legacy exporter gives are resolved
            exactly.
        focus: module to show when the graph is too large to be shown whole.
        limit: number of nodes from which on only a part is shown.
    """
    return display(
        onnx.load(str(path), load_external_data=False), modules=modules, focus=focus, limit=limit
    )


def display(
    model: onnx.ModelProto,
    *,
    modules: Collection[str] = (),
    focus: str | None = None,
    limit: int = LARGE,
) -> Graph:
    """Make `model` ready for display. It is changed in place: weights go, names become unique."""
    originals = [node.name for node in model.graph.node]
    lighten(model)
    owners = module_paths(model.graph.node, modules, originals)
    nodes = [
        Node(
            node.name,
            original,
            node.op_type,
            owner,
            node.domain == PLACEHOLDER_DOMAIN,
            _fails(node),
            tuple(node.output),
        )
        for node, original, owner in zip(model.graph.node, originals, owners, strict=True)
    ]
    if len(nodes) > limit:
        start = {
            node.name
            for node in nodes
            if node.failing or (focus is not None and within(node.fqn, focus))
        }
        keep = neighbourhood(model.graph, start, limit)
        restrict(model.graph, keep)
        shown = tuple(node for node in nodes if node.name in keep)
    else:
        shown = tuple(nodes)
    operators = frozenset(
        (node.domain, node.op_type) for graph in _node_lists(model) for node in graph
    )
    return Graph(model.SerializeToString(), shown, len(nodes), operators)


def within(fqn: str | None, module: str) -> bool:
    """True when `fqn` is `module` or lies below it."""
    return fqn is not None and (not module or fqn == module or fqn.startswith(module + "."))


def lighten(model: onnx.ModelProto) -> None:
    """Drop weights and large constants, give every top-level node a unique name, all in place."""
    for nodes in _node_lists(model):
        for node in nodes:
            for attribute in node.attribute:
                _drop_payload(attribute)
    for tensor in model.graph.initializer:
        _drop_data(tensor)
    for sparse in model.graph.sparse_initializer:
        _drop_data(sparse.values)
        _drop_data(sparse.indices)
    del model.training_info[:]
    _name_uniquely(model.graph.node)
    model.producer_name = (
        model.producer_name or "unknown"
    )  # Netron recognises a file without one only by guessing


def module_paths(
    nodes: Sequence[onnx.NodeProto],
    modules: Collection[str] = (),
    originals: Sequence[str] | None = None,
) -> list[str | None]:
    """The module that each node comes from; `originals` are their names in the file, where they have got others."""
    legacy = _LegacyNames(modules)
    names = [node.name for node in nodes] if originals is None else originals
    return [_module(node, name, legacy) for node, name in zip(nodes, names, strict=True)]


def module_of_scopes(scopes: Iterable[str], modules: Collection[str], start: str = "") -> str:
    """The FQN of the module that the legacy exporter's scopes lead to, outermost first, from the module `start`."""
    return _LegacyNames(modules).follow(scopes, start)


def neighbourhood(
    graph: onnx.GraphProto, start: Collection[str], limit: int = LARGE, hops: int = 6
) -> set[str]:
    """Names of the nodes at most `hops` edges from `start`, nearest first, `limit` of them at most.

    Without a start the graph is taken from its beginning.
    """
    order = [node.name for node in graph.node]
    front = [name for name in order if name in start][:limit] or order[: limit // 3]
    found = set(front)
    edges = _edges(graph)
    for _ in range(hops):
        front = [other for name in front for other in edges[name] if other not in found]
        front = list(dict.fromkeys(front))[: limit - len(found)]
        found.update(front)
    return found


def restrict(graph: onnx.GraphProto, keep: Collection[str]) -> None:
    """Reduce `graph`, in place, to the nodes in `keep`; values that cross the cut become inputs and outputs."""
    inside = [node for node in graph.node if node.name in keep]
    made = {value for node in inside for value in node.output if value}
    used = {value for node in inside for value in reads(node)}
    outside = {value for node in graph.node if node.name not in keep for value in reads(node)}
    types = {info.name: info for info in (*graph.value_info, *graph.input, *graph.output)}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    entering = sorted(used - made - {tensor.name for tensor in weights})
    leaving = sorted(made & (outside | {value.name for value in graph.output}))
    known = [
        info for name, info in types.items() if name in (made | used) - set(entering) - set(leaving)
    ]
    _replace(graph.node, inside)
    _replace(graph.initializer, weights)
    _replace(graph.value_info, known)
    _replace(graph.input, [types.get(name) or onnx.ValueInfoProto(name=name) for name in entering])
    _replace(graph.output, [types.get(name) or onnx.ValueInfoProto(name=name) for name in leaving])


def _fails(node: onnx.NodeProto) -> bool:
    return any(entry.key == FAILING for entry in node.metadata_props)


def _replace(
    field: object, values: list[onnx.NodeProto] | list[onnx.TensorProto] | list[onnx.ValueInfoProto]
) -> None:
    copies = [
        type(value).FromString(value.SerializeToString()) for value in values
    ]  # elements of a cleared field are gone
    del field[:]  # type: ignore[attr-defined]
    field.extend(copies)  # type: ignore[attr-defined]


def _node_lists(model: onnx.ModelProto) -> Iterator[Iterable[onnx.NodeProto]]:
    """The nodes of the main graph, of every nested graph and of every local function."""
    waiting: list[Iterable[onnx.NodeProto]] = [
        model.graph.node,
        *(function.node for function in model.functions),
    ]
    while waiting:
        nodes = waiting.pop()
        yield nodes
        waiting.extend(graph.node for node in nodes for graph in _nested(node))


def _nested(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def reads(node: onnx.NodeProto) -> set[str]:
    """Every value a node reads, also inside its nested graphs."""
    return {value for value in node.input if value} | {
        value for graph in _nested(node) for inner in graph.node for value in reads(inner)
    }


def _edges(graph: onnx.GraphProto) -> dict[str, list[str]]:
    producer = {value: node.name for node in graph.node for value in node.output if value}
    edges: dict[str, list[str]] = {node.name: [] for node in graph.node}
    for node in graph.node:
        for value in sorted(reads(node)):
            if value in producer:
                edges[node.name].append(producer[value])
                edges[producer[value]].append(node.name)
    return edges


def _drop_payload(attribute: onnx.AttributeProto) -> None:
    for tensor in (
        (attribute.t, *attribute.tensors) if attribute.HasField("t") or attribute.tensors else ()
    ):
        if tensor.ByteSize() > _PAYLOAD:
            _drop_data(tensor)
    for graph in (
        (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ()
    ):
        for tensor in graph.initializer:
            _drop_data(tensor)
    for name in ("floats", "ints", "strings"):
        if len(values := getattr(attribute, name)) > _PAYLOAD // 4:
            del values[_PAYLOAD // 4 :]


def _drop_data(tensor: onnx.TensorProto) -> None:
    for name in _TENSOR_DATA:
        tensor.ClearField(name)
    tensor.data_location = onnx.TensorProto.DEFAULT


def _name_uniquely(nodes: Iterable[onnx.NodeProto]) -> None:
    listed = list(nodes)
    taken = Counter(node.name for node in listed)
    seen: set[str] = set()
    for index, node in enumerate(listed):
        name = node.name or f"{node.op_type} #{index}"
        while name in seen or (name != node.name and name in taken):
            name += f" #{index}"
        seen.add(name)
        node.name = name


def _module(node: onnx.NodeProto, original: str, legacy: _LegacyNames) -> str | None:
    if node.domain == PLACEHOLDER_DOMAIN:
        return next(
            (attribute.s.decode() for attribute in node.attribute if attribute.name == "module"),
            None,
        )
    if onnx_metadata.read(node, onnx_metadata.NAME_SCOPES) is not None:
        return onnx_metadata.module_path(node)
    return legacy.resolve(original) if original.startswith("/") else None


class _LegacyNames:
    """Turns `/blocks/blocks.0/a_1/Gemm` into `blocks.0.d.a`.

    The legacy exporter names a scope by the last part of the module's path, with the parts before
    it while they are numbers, and appends `_1`, `_2` to later calls. Only the list of modules tells
    which module is meant.
    """

    def __init__(self, modules: Collection[str]) -> None:
        self._by_last: dict[str, list[str]] = {}
        for fqn in sorted(modules, key=len):
            self._by_last.setdefault(fqn.rpartition(".")[2], []).append(fqn)
        self._resolved: dict[tuple[str, str], str] = {}

    def resolve(self, name: str) -> str:
        return self.follow(name.strip("/").split("/")[:-1])

    def follow(self, scopes: Iterable[str], fqn: str = "") -> str:
        for scope in scopes:
            key = (fqn, scope)
            if key not in self._resolved:
                self._resolved[key] = self._child(fqn, scope)
            fqn = self._resolved[key]
        return fqn

    def _child(self, parent: str, scope: str) -> str:
        for text in dict.fromkeys((scope, re.sub(r"_\d+$", "", scope))):
            for fqn in self._by_last.get(text.rpartition(".")[2], ()):
                if within(fqn, parent) and fqn != parent and ("." + fqn).endswith("." + text):
                    return fqn
        last = parent.rpartition(".")[2]
        return (
            parent.removesuffix(last) + scope
            if last and scope.startswith(last + ".")
            else f"{parent}.{scope}".strip(".")
        )
