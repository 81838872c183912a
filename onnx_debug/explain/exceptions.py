"""What an exception names by itself: the graph node that an exporter was at, or the frames of the model's code."""

from __future__ import annotations

import inspect
import traceback
import types
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from onnx_debug.data.failure import Clue, ClueKind, Topic
from onnx_debug.explain import graph_nodes, syntax
from onnx_debug.explain.installed import is_library
from onnx_debug.explain.locate import Locator, way_from
from onnx_debug.torch_private import exporter, graphs, modules, symbols, tensors

Frame = tuple[types.FrameType, int]


def exception_chain(error: BaseException) -> list[BaseException]:
    """The exception and its causes, innermost cause first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__
    return list(reversed(chain))


def from_exception(error: BaseException, locator: Locator) -> list[Clue]:
    """Clues of an exception: the graph node it names if it names one, else the innermost frame of the user's modules."""
    found: list[Clue] = []
    for link in exception_chain(error):
        frames = list(traceback.walk_tb(link.__traceback__))
        others = (
            _from_torchscript_node(frames, locator),
            from_frames(frames, locator),
            _from_held_objects(frames, locator),
        )
        found += [clue for clue in (*_from_fx_node(link, frames, locator), *others) if clue]
    if symbols.depends_on_data(exception_chain(error)[0]):
        found = [with_decision(clue) for clue in found]
    nodes = [clue for clue in dict.fromkeys(found) if clue.kind is ClueKind.NODE]
    return nodes or found[:1] or _from_defined_at(error, locator)


def with_decision(clue: Clue) -> Clue:
    """The clue with what its deepest line decides by a tensor's values."""
    line = clue.below[-1] if clue.below else clue.source
    return clue if line is None else replace(clue, decision=syntax.decision(line))


def from_frames(frames: list[Frame], locator: Locator) -> Clue | None:
    """The innermost module of the model among `frames` (outermost first), with the line of its own code."""
    lines = [(frame.f_code.co_filename, line) for frame, line in frames]
    for position in range(len(frames) - 1, -1, -1):
        fqn = locator.names.fqn(frames[position][0].f_locals.get("self"))
        if fqn is None:
            continue
        way = way_from(position, lines)
        if modules.is_call_machinery(lines[position][0]):
            # No forward of this module runs: what it called is a hook, and the deepest of the
            # user's lines below is to blame.
            inside = [line for line in lines[position:] if not is_library(line[0])]
            way = tuple(syntax.source_at(*line) for line in inside[-1:])
        return Clue(fqn, ClueKind.FRAME, way[0] if way else None, below=way[1:])
    return None


def _held(frames: list[Frame]) -> Iterator[Any]:
    """The local variables of the frames, innermost first."""
    for frame, _ in reversed(frames):
        yield from frame.f_locals.values()


def _from_fx_node(link: BaseException, frames: list[Frame], locator: Locator) -> list[Clue]:
    """The node that the exporter was at."""
    for held in _held(frames):
        if isinstance(held, fx.Node) and (graphs.module_paths(held) or graphs.lines_of(held)):
            reason = _complex_reason(held) if exporter.is_untranslated(link) else ""
            topic = Topic.COMPLEX if reason else None
            found = graph_nodes.from_fx_node(held, locator)
            return [replace(clue, reason=reason, topic=topic) for clue in found]
    return []


def _complex_reason(node: fx.Node) -> str:
    """Many operators have a translation for real numbers only; that they have none at all would be wrong to say."""
    values = [used.meta.get("val") for used in node.all_input_nodes]
    kinds = sorted(
        str(value.dtype).removeprefix("torch.")
        for value in values
        if isinstance(value, torch.Tensor) and value.is_complex()
    )
    op = graphs.operator_name(node.target)
    if not kinds or not op:
        return ""
    return f"{op.removesuffix('.default')} has no ONNX translation for {kinds[0]}"


def _from_torchscript_node(frames: list[Frame], locator: Locator) -> Clue | None:
    for held in _held(frames):
        node = graphs.torchscript_node(held)
        if node is not None and node.scopeName():
            return graph_nodes.from_torchscript_node(node, locator)
    return None


def _from_held_objects(frames: list[Frame], locator: Locator) -> Clue | None:
    """The module that holds what the exporter was looking at when it failed, before any forward ran."""
    stopping = next((held for held in _held(frames) if modules.stops_captures(held)), None)
    if stopping is None:
        return None
    for fqn, module in locator.names.modules.items():
        if any(stopping is own for own in modules.held_by(module)):
            return Clue(locator.names.canonical(fqn) or "", ClueKind.FRAME, topic=Topic.HELD)
    return None


def _from_defined_at(error: BaseException, locator: Locator) -> list[Clue]:
    """Errors of the legacy exporter's C++ passes carry the Python stack in their text ("Defined at: file(line): function")."""
    for link in exception_chain(error):
        clues = graph_nodes.from_lines(graphs.parse_source_range(str(link)), locator, ClueKind.NODE)
        if clues:
            return clues
    return []


def unknown_output(model: nn.Module, output: Any) -> Clue | None:
    """The whole model's clue when it returns an object that `torch.export` cannot take apart; no frame and no node names that."""
    known = torch.Tensor | bool | int | float | complex | str | torch.dtype | torch.device | None
    strange = [
        type(leaf).__name__ for leaf in tensors.tree_leaves(output) if not isinstance(leaf, known)
    ]
    if not strange:
        return None
    reason = f"returns an object of class {strange[0]}, which torch.export cannot take apart"
    line = syntax.only_return(inspect.unwrap(type(model).forward))
    return Clue("", ClueKind.FRAME, line, reason=reason, topic=Topic.OUTPUT)
