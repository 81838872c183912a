"""What a failed export had captured before it stopped: the operators up to the failing one, written as an ONNX file for display.

The operators stand there as torch knows them (domain `aten`), so that file can be looked at and not
be run. The exception's traceback still holds the graph under construction: that of a capture that
stopped, or the node that could not be translated, with its graph.
"""

from __future__ import annotations

import contextlib
import logging
import operator
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import fx, nn

from onnx_debug.explain.exceptions import exception_chain
from onnx_debug.explain.locate import Locator
from onnx_debug.onnx_file import display
from onnx_debug.torch_private import graphs, onnx_metadata, symbols

logger = logging.getLogger(__name__)
_TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.BFLOAT16,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.int16: TensorProto.INT16,
    torch.int8: TensorProto.INT8,
    torch.uint8: TensorProto.UINT8,
    torch.bool: TensorProto.BOOL,
    torch.complex64: TensorProto.COMPLEX64,
    torch.complex128: TensorProto.COMPLEX128,
}


def save(error: BaseException, module: nn.Module, locator: Locator, path: Path) -> str | None:
    """Write what was captured of `module` when its export failed with `error`; the file, or None when nothing was."""
    try:
        nodes = _up_to_failure(error)
        if not any(node.op == "call_function" for node in nodes):
            return None
        onnx.save(_Drawing(module, locator).model(nodes), path)
    except Exception:  # a picture more or less must not change what a trial answers
        logger.debug("what was captured cannot be drawn", exc_info=True)
        return None
    return str(path)


def _up_to_failure(error: BaseException) -> list[fx.Node]:
    """The nodes in order; the last one failed, or was the last before the failure."""
    held = [value for link in exception_chain(error) for value in _locals(link)]
    for value in held:
        if isinstance(value, fx.Tracer) and isinstance(getattr(value, "graph", None), fx.Graph):
            return list(value.graph.nodes)
    for value in held:
        if isinstance(value, fx.Node) and value.meta.get("nn_module_stack"):
            nodes = list(value.graph.nodes)
            return nodes[: nodes.index(value) + 1]
    return []


def _locals(error: BaseException) -> Iterator[Any]:
    """The local variables of the frames, innermost first."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        yield from list(frame.f_locals.values())


class _Drawing:
    """Turns FX nodes into an ONNX model."""

    def __init__(self, module: nn.Module, locator: Locator) -> None:
        self._locator = locator
        self._weights = [
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        ]
        self._names: dict[
            tuple[fx.Node, int | None], str
        ] = {}  # of the values, by node and position in a tuple
        self._graph = onnx.GraphProto(name="captured")

    def model(self, nodes: list[fx.Node]) -> onnx.ModelProto:
        self._add_inputs([node for node in nodes if node.op == "placeholder"])
        for node in nodes:
            if node.op == "call_function" and not self._taken_apart(node):
                self._add(node)
        self._add_outputs()
        last = self._graph.node[-1]
        last.metadata_props.add(key=display.FAILING, value="yes")
        domains = {node.domain for node in self._graph.node}
        return helper.make_model(
            self._graph,
            producer_name="onnx_debug",
            opset_imports=[helper.make_opsetid(domain, 1) for domain in sorted(domains)],
        )

    def _add_inputs(self, placeholders: list[fx.Node]) -> None:
        """Parameters and buffers come first, in the module's order; the rest is what the module is called with."""
        weights = self._weights if len(placeholders) >= len(self._weights) else []
        for position, node in enumerate(placeholders):
            if position < len(weights):
                path, tensor = weights[position]
                owner, _, last = path.rpartition(".")
                name = f"{self._locator.fqn(owner)}.{last}".removeprefix(".")
                self._names[node, None] = name
                self._graph.initializer.append(
                    TensorProto(
                        name=name, dims=tuple(tensor.shape), data_type=_TYPES.get(tensor.dtype, 0)
                    )
                )
            else:
                self._names[node, None] = node.name
                self._graph.input.append(_info(node.name, node.meta.get("val")))

    def _taken_apart(self, node: fx.Node) -> bool:
        """True for `x[0]` of a tuple: that is no operator, it names one of several results."""
        source, position = (*node.args, None, None)[:2]
        if (
            node.target is not operator.getitem
            or not isinstance(source, fx.Node)
            or not isinstance(position, int)
        ):
            return False
        known = self._names.get((source, position))
        if known is not None:
            self._names[node, None] = known
        return known is not None

    def _add(self, node: fx.Node) -> None:
        found: Any = node.meta.get("val")
        several = range(len(found)) if isinstance(found, tuple | list) else ()
        results: dict[int | None, str] = {
            position: f"{node.name}.{position}" for position in several
        } or {None: node.name}
        for position, name in results.items():
            self._names[node, position] = name
            self._graph.value_info.append(
                _info(name, found if position is None else found[position])
            )
        name = graphs.operator_name(node.target) or _python_name(node)
        domain, _, kind = name.partition(".")[0].partition("::")
        given = dict(zip(graphs.argument_names(node.target), node.args, strict=False))
        given = given or {f"arg{position}": value for position, value in enumerate(node.args)}
        made = helper.make_node(kind, [], list(results.values()), name=node.name, domain=domain)
        self._give(made, {**given, **node.kwargs})
        owner = self._owner(node)
        if owner is not None:
            made.metadata_props.add(
                key=onnx_metadata.NAME_SCOPES, value=repr(["", owner, node.name])
            )
        self._graph.node.append(made)

    def _owner(self, node: fx.Node) -> str | None:
        """The innermost module that made the node."""
        found = (self._locator.fqn(path) for path in graphs.module_paths(node))
        return next((fqn for fqn in found if fqn is not None), None)

    def _give(self, made: onnx.NodeProto, arguments: dict[str, Any]) -> None:
        """What an operator gets: values as inputs, everything else as attributes."""
        for name, value in arguments.items():
            values = value if isinstance(value, tuple | list) else [value]
            nodes = [one for one in values if isinstance(one, fx.Node)]
            made.input.extend(self._names.get((node, None), node.name) for node in nodes)
            if value is not None and not nodes:
                with contextlib.suppress(TypeError, ValueError):
                    made.attribute.append(helper.make_attribute(name, _plain(value)))

    def _add_outputs(self) -> None:
        """Values that nobody reads: where the capture stopped."""
        read = {name for node in self._graph.node for name in node.input}
        known = {info.name: info for info in self._graph.value_info}
        ends = [name for node in self._graph.node for name in node.output if name not in read]
        self._graph.output.extend(known[name] for name in ends)
        for name in ends:
            self._graph.value_info.remove(known[name])


def _python_name(node: fx.Node) -> str:
    return f"python::{getattr(node.target, '__name__', '?')}"


def _info(name: str, value: Any) -> onnx.ValueInfoProto:
    if not isinstance(value, torch.Tensor):
        return onnx.ValueInfoProto(name=name)
    sizes = [symbols.size_expression(size) for size in value.shape]
    return helper.make_tensor_value_info(
        name, _TYPES.get(value.dtype, TensorProto.UNDEFINED), sizes
    )


def _plain(value: Any) -> Any:
    """A constant argument as an attribute's value."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float | str):
        return value
    numbers: Iterable[Any] = value if isinstance(value, tuple | list) else ()
    if numbers and all(isinstance(number, int) for number in numbers):
        return [int(number) for number in numbers]
    return (
        [float(number) for number in numbers]
        if numbers and all(isinstance(n, int | float) for n in numbers)
        else str(value)
    )
