"""Private parts of captured graphs: what a node of either exporter computes, and where it was written. Tried on torch 2.13."""

from __future__ import annotations

import contextlib
import itertools
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx

Line = tuple[str, int]

_PLACEHOLDER_NAMESPACE = "onnx_symbolic"  # of `torch.onnx.ops.symbolic`


def operator_name(target: Any) -> str | None:
    """`namespace::name.overload` of an FX target, or None for a Python function."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return None
    return f"{schema.name}.{schema.overload_name}" if schema.overload_name else str(schema.name)


def argument_names(target: Any) -> list[str]:
    """The names of an operator's arguments; empty for a Python function."""
    schema = getattr(target, "_schema", None)
    return [] if schema is None else [argument.name for argument in schema.arguments]


def is_placeholder(target: Any) -> bool:
    """Whether an FX target is an operator that `torch.onnx.ops.symbolic` made, and so needs no translation."""
    return getattr(target, "namespace", "") == _PLACEHOLDER_NAMESPACE


def module_paths(node: fx.Node) -> list[str]:
    """The paths of the modules around an FX node, innermost first, as the exporter calls them; empty where it has none.

    A capture that is under way still calls the exported module `_export_root`.
    """
    stack = node.meta.get("nn_module_stack") or {}
    return [
        path.removeprefix("_export_root").removeprefix(".")
        for path, _ in reversed(list(stack.values()))
    ]


def origins(node: fx.Node) -> list[str]:
    """The names of the nodes that a node came from, step by step of its decomposition; empty where torch does not keep them."""
    names, sources = [], list(node.meta.get("from_node") or ())
    while sources:
        source = sources.pop()
        names.append(str(getattr(source, "name", "")))
        sources.extend(getattr(source, "from_node", ()))
    return names


def lines_of(node: fx.Node) -> list[Line]:
    """(file, line) of the calls that led to an FX node, outermost first."""
    return parse_stack_trace(node.meta.get("stack_trace") or "")


def parse_stack_trace(text: str) -> list[Line]:
    """(file, line) of each frame of a stack as Python formats it, outermost first."""
    return [(file, int(line)) for file, line in re.findall(r'File "([^"]+)", line (\d+)', text)]


def torchscript_node(value: Any) -> Any | None:
    """`value` if it is a node of the legacy exporter's graph."""
    node_type = getattr(torch._C, "Node", None)
    return value if node_type is not None and isinstance(value, node_type) else None


def torchscript_lines(node: Any) -> list[Line]:
    """(file, line) of the calls that led to a node of the legacy exporter's graph, outermost first, the caller's stack included."""
    return parse_source_range(node.sourceRange())


def parse_source_range(text: str) -> list[Line]:
    """(file, line) of each call in a text of TorchScript ("file(line): function", innermost first), outermost first."""
    found = re.findall(r"^(.+?)\((\d+)\): ", text, re.MULTILINE)
    return [(file.strip(), int(line)) for file, line in reversed(found)]


@contextlib.contextmanager
def keep_stacks(kept: dict[str, str]) -> Iterator[None]:
    """Fill `kept` with the stack behind each value of a file that the legacy exporter writes, by the value's name.

    The exporter can write these stacks into the file itself (`verbose=True`), which would then not
    be the file that the user gets. Without the private name nodes of such files have no line.
    """
    graph: Any = getattr(torch._C, "Graph", None)
    write = getattr(graph, "_export_onnx", None)
    if write is None:
        yield
        return

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        kept.clear()
        for node in self.nodes():
            stack = node.sourceRange()
            kept.update({output.debugName(): stack for output in node.outputs()})
        return write(self, *args, **kwargs)

    graph._export_onnx = watched
    try:
        yield
    finally:
        graph._export_onnx = write


@contextlib.contextmanager
def keep_user_frames(is_library: Callable[[str], bool]) -> Iterator[None]:
    """Keep the functions that a forward calls in the stack traces of captured nodes, of which torch keeps forwards only.

    Without the private name the line of such a function is missing, and the line of the forward that
    leads to it is shown.
    """
    kept = getattr(fx.proxy.TracerBase, "_filter_traceback_frames", None)
    if kept is None:
        yield
        return

    def filtered(self: Any, summary: traceback.StackSummary) -> traceback.StackSummary:
        known = {id(frame) for frame in kept(self, summary)}
        inside = itertools.takewhile(lambda frame: not _captures(frame.filename), summary[::-1])
        known |= {id(frame) for frame in inside if not is_library(frame.filename)}
        return traceback.StackSummary.from_list([f for f in summary if id(f) in known])

    fx.proxy.TracerBase._filter_traceback_frames = filtered  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        fx.proxy.TracerBase._filter_traceback_frames = kept  # type: ignore[method-assign]


def _captures(file: str) -> bool:
    """Whether a file is of the exporter, which calls the model: the frames outside of it are those of whoever asked us."""
    return file.startswith(
        (str(Path(torch.export.__file__).parent), str(Path(torch.onnx.__file__).parent))
    )
