"""The module and the line behind a node: of a captured program, of a trace, and of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import fx

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.explain import traced_lines
from onnx_debug.explain.locate import Line, Locator, way_from
from onnx_debug.onnx_file import display
from onnx_debug.torch_private import graphs, onnx_metadata


def from_fx_node(node: fx.Node, locator: Locator, kind: ClueKind = ClueKind.NODE) -> list[Clue]:
    """The innermost module around a node, with the line of its stack trace.

    Inside a branch of `torch.cond` a node has no modules: there, every module whose code has the
    line.
    """
    lines, op = graphs.lines_of(node), graphs.operator_name(node.target)
    for path in graphs.module_paths(node):
        fqn = locator.fqn(path)
        if fqn is not None:
            return [locator.clue(fqn, kind, lines, op)]
    return [replace(clue, op=op) for clue in from_lines(lines, locator, kind)]


def from_lines(
    lines: Sequence[Line], locator: Locator, kind: ClueKind, reason: str = ""
) -> list[Clue]:
    """All modules whose own code holds the innermost of `lines` (outermost first) that any module's code holds."""
    for position in reversed(range(len(lines))):
        owners = locator.owners(lines[position])
        if owners:
            source, *below = way_from(position, lines)
            return [Clue(fqn, kind, source, reason=reason, below=tuple(below)) for fqn in owners]
    return []


def untranslatable(program: Any, known: Any, locator: Locator) -> list[Clue]:
    """Every operator of a decomposed program that has no ONNX translation: one clue for each module."""
    found: dict[str, Clue] = {}
    for graph_module in program.graph_module.modules():
        for node in getattr(graph_module, "graph", fx.Graph()).nodes:
            if (
                node.op == "call_function"
                and graphs.operator_name(node.target) is not None
                and not graphs.is_placeholder(node.target)
                and not known(node.target)
            ):
                for clue in from_fx_node(node, locator, ClueKind.SCAN):
                    found.setdefault(clue.fqn, clue)
    return list(found.values())


def drawing_random_numbers(program: Any, locator: Locator) -> list[Clue]:
    """Every operator of a captured program that draws random numbers: one clue for each module."""
    found: dict[str, Clue] = {}
    for node in program.graph_module.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            for clue in from_fx_node(node, locator, ClueKind.RANDOM):
                found.setdefault(clue.fqn, replace(clue, reason="draws random numbers"))
    return list(found.values())


def from_torchscript_node(node: Any, locator: Locator) -> Clue | None:
    """The module of a trace's node, by its scope ("Net::/Block::blocks.0/BadQr::extra")."""
    fqn = locator.fqn_of_scopes(part.partition("::")[2] for part in node.scopeName().split("/"))
    if fqn is None:
        return None
    lines = traced_lines.inside_the_export(graphs.torchscript_lines(node))
    return locator.clue(fqn, ClueKind.NODE, lines, node.kind())


def from_onnx_nodes(
    nodes: Iterable[onnx.NodeProto], locator: Locator, file: Path
) -> Iterator[Clue]:
    """A clue for each node of a file whose module is known.

    The dynamo exporter wrote the lines into the file; those of the legacy one were kept beside it.
    """
    listed, traced = list(nodes), traced_lines.read(file)
    paths = display.module_paths(listed, locator.names.modules)
    for node, path in zip(listed, paths, strict=True):
        fqn = None if path is None else locator.fqn(path)
        if fqn is None:
            continue
        stack = onnx_metadata.read(node, onnx_metadata.STACK_TRACE)
        made = next((traced[name] for name in node.output if name in traced), [])
        lines = made if stack is None else graphs.parse_stack_trace(stack)
        if lines:
            yield locator.clue(fqn, ClueKind.RUNTIME_NODE, lines, node.op_type)
        else:
            yield Clue(fqn, ClueKind.RUNTIME_NODE, op=node.op_type)
