"""An exported file that ONNX Runtime can load: its placeholders are turned into inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from onnx_debug.onnx_file.names import PLACEHOLDER_DOMAIN


@dataclass(frozen=True)
class Hole:
    """Where a placeholder's output enters the graph: output `output` of call `call` of `module`.

    Attributes:
        given: names of the values that reach the placeholder.
    """

    name: str
    module: str
    call: int
    output: int
    given: tuple[str, ...] = ()


@dataclass
class Runnable:
    """An exported file, ready for ONNX Runtime.

    Attributes:
        path: the file to load.
        inputs: names of the graph's own inputs.
        holes: the placeholders' outputs, now inputs.
        outputs: names of the outputs.
        reaching: names of the values that reach a placeholder; the file returns them after its
            outputs.
    """

    path: Path
    inputs: list[str]
    outputs: list[str]
    holes: list[Hole] = field(default_factory=list)
    reaching: list[str] = field(default_factory=list)


class NestedPlaceholderError(Exception):
    """A placeholder stands inside a branch, a loop or a local function, where it cannot become an input of the graph."""


def make_runnable(path: Path, also: Sequence[str] = ()) -> Runnable:
    """Prepare an exported file; one with placeholders is rewritten beside the original, weights left where they are.

    Args:
        path: the exported file.
        also: names of intermediate values to return as well.

    Raises:
        NestedPlaceholderError: the placeholder is not in the main graph.
    """
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    initial = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in initial]
    outputs = [value.name for value in graph.output]
    holes = _lift_placeholders(model)
    known = {*outputs, *inputs, *initial, *(hole.name for hole in holes)}
    extra = [name for name in also if name not in outputs]
    reaching = [name for hole in holes for name in hole.given if name and name not in known]
    reaching = list(dict.fromkeys(reaching))
    if not holes and not extra:
        return Runnable(path, inputs, outputs)
    graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in (*extra, *reaching)
    )
    target = path.with_name(path.stem + ("_values" if extra else "_lifted") + ".onnx")
    onnx.save(model, target)
    return Runnable(target, inputs, outputs + extra, holes, reaching)


def _lift_placeholders(model: onnx.ModelProto) -> list[Hole]:
    """Remove the placeholder nodes and make their outputs inputs of the graph."""
    graph = model.graph
    types = {value.name: value for value in graph.value_info} | {
        value.name: value for value in graph.output
    }
    holes: list[Hole] = []
    for node in [node for node in graph.node if node.domain == PLACEHOLDER_DOMAIN]:
        attributes = {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in node.attribute
        }
        for position, name in enumerate(node.output):
            if name:
                module, given = attributes["module"].decode(), tuple(node.input)
                holes.append(Hole(name, module, attributes["call"], position, given))
                graph.input.append(_input_of_type(name, types.get(name)))
        graph.node.remove(node)
    if any(
        node.domain == PLACEHOLDER_DOMAIN for function in model.functions for node in function.node
    ) or _in_subgraph(graph):
        raise NestedPlaceholderError
    return holes


def _in_subgraph(graph: onnx.GraphProto) -> bool:
    inner = [
        attribute.g
        for node in graph.node
        for attribute in node.attribute
        if attribute.HasField("g")
    ]
    return any(
        any(node.domain == PLACEHOLDER_DOMAIN for node in body.node) or _in_subgraph(body)
        for body in inner
    )


def _input_of_type(name: str, known: onnx.ValueInfoProto | None) -> onnx.ValueInfoProto:
    """An input without sizes: only the element type matters to the runtime."""
    kind = known.type.tensor_type.elem_type if known is not None else onnx.TensorProto.FLOAT
    return onnx.helper.make_tensor_value_info(name, kind or onnx.TensorProto.FLOAT, None)
