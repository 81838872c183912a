"""An `ExportedProgram` in the place of a module: `torch.onnx.export` takes both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from onnx_debug.data.errors import CaseError
from onnx_debug.request.entries import Entry
from onnx_debug.request.inputs import read_inputs
from onnx_debug.request.meant import to_shapes
from onnx_debug.torch_private import symbols

NOTE = (
    "The model is a torch.export.ExportedProgram, whose modules are one flat graph: it was captured "
    "again from its .module(). Diagnose the model that it was made from, to have layers named."
)


def as_module(program: ExportedProgram, options: Mapping[str, Any]) -> nn.Module:
    """The program as a module that can be captured again.

    Raises:
        CaseError: the legacy exporter was asked for, which takes none.
    """
    if options.get("dynamo") is False:
        raise CaseError("an ExportedProgram can be exported with dynamo=True only")
    module = program.module()
    for part in module.modules():
        part.training = False  # `eval()` is refused; what it would change was captured before
    return module


def dynamic_dims(
    program: ExportedProgram, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """The `dynamic_shapes` that ask for what is dynamic in the program; None: nothing is, or it cannot be said."""
    inputs = read_inputs(module, args, kwargs)
    if inputs is None or inputs.has_opaque or inputs.keyword_catcher:
        return None
    entries = [
        Entry(leaf.keys, leaf.value, axis, Dim.DYNAMIC, "")
        for leaf, shape in zip(inputs.graph_inputs, _shapes(program), strict=False)
        for axis, size in enumerate(shape)
        if symbols.is_symbolic(size)
    ]
    return to_shapes(inputs, entries) if entries else None


def _shapes(program: ExportedProgram) -> Iterator[tuple[Any, ...]]:
    """The shapes of the tensors that a call of the program passes, in the order of the call."""
    given = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and node.name in given and isinstance(value, torch.Tensor):
            yield tuple(value.shape)
