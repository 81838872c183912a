"""Where a wrong output of an exported file is made, and whether it is a constant there: asked where no operator is wrong by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from torch import fx

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.explain.graph_nodes import from_fx_node, from_onnx_nodes
from onnx_debug.explain.locate import Locator
from onnx_debug.onnx_file import display

_CONSTANT = "its output became a constant of the exported model, which follows no input"


def maker(path: Path, program: Any | None, output: str, locator: Locator) -> list[Clue]:
    """The module and the line that make one output of a file.

    Args:
        path: the exported file.
        program: what the dynamo exporter captured; None for the legacy one.
        output: name of the output in the file.
        locator: finds the modules.
    """
    model = onnx.load(path, load_external_data=False)
    names = [value.name for value in model.graph.output]
    if output not in names:
        return []
    constant = not _follows_an_input(model.graph, output)
    if program is None:
        nodes = [node for node in model.graph.node if output in node.output]
        found = list(from_onnx_nodes(nodes, locator, path))
    else:
        found = _captured(program, names.index(output), locator, constant=constant)
    kind, reason = (ClueKind.BAKED, _CONSTANT) if constant else (ClueKind.VALUE, "")
    return [replace(clue, kind=kind, op=None, reason=reason) for clue in found]


def _captured(program: Any, position: int, locator: Locator, *, constant: bool) -> list[Clue]:
    """By the node of the captured program, which has a line also where the file has a mere constant: that at which the constant begins."""
    returned: Sequence[Any] = next(
        node.args[0] for node in program.graph.nodes if node.op == "output"
    )
    # What a program changes in place stands before what it returns.
    wanted = list(program.graph_signature.user_outputs)
    if position >= len(wanted):
        return []
    node = next(
        (n for n in returned if isinstance(n, fx.Node) and n.name == wanted[position]), None
    )
    while constant and node is not None:
        before = [used for used in node.all_input_nodes if used.op == "call_function"]
        if not before:
            break
        node = before[0]
    return [] if node is None else from_fx_node(node, locator)


def _follows_an_input(graph: onnx.GraphProto, output: str) -> bool:
    """Whether any input of the graph leads to a value; what a nested graph reads counts for its node."""
    makers = {name: node for node in graph.node for name in node.output if name}
    inputs = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    waiting, seen = [output], set[str]()
    while waiting:
        name = waiting.pop()
        if name in inputs:
            return True
        if name in seen or name not in makers:
            continue
        seen.add(name)
        waiting.extend(display.reads(makers[name]))
    return False
