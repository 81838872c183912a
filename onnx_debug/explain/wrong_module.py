"""The first module that gets the right inputs inside ONNX and returns wrong numbers: one session, all values returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch

from onnx_debug.data.outcome import Clue, ClueKind
from onnx_debug.eager.calls import completion_order
from onnx_debug.eager.recorder import Recording
from onnx_debug.explain.graph_nodes import from_onnx_nodes
from onnx_debug.explain.locate import Locator
from onnx_debug.onnx_file import runtime
from onnx_debug.onnx_file.compare import Tolerance, agree, tolerance_of
from onnx_debug.request.case import Case


def first_wrong_module(
    case: Case, recording: Recording, path: Path, index: int, locator: Locator
) -> list[Clue]:
    """The first module whose inputs ONNX computes right and whose output it does not: one session, all values returned."""
    values = _all_values(case, path, index)
    if values is None:
        return []
    for call in completion_order(recording):
        if call.arguments is None or call.output is None or not call.output.tensors():
            continue
        if _computed(call.arguments.tensors(), values, case) and not _computed(
            call.output.tensors(), values, case
        ):
            return [
                Clue(
                    call.fqn,
                    ClueKind.VALUE,
                    _line_of(path, call.fqn, locator),
                    reason="gets the right inputs and returns wrong numbers",
                )
            ]
    return []


def _all_values(case: Case, path: Path, index: int) -> dict[int, list[torch.Tensor]] | None:
    """Every intermediate value of the exported model, by number of elements."""
    model = onnx.load(path, load_external_data=False)
    names = [name for node in model.graph.node for name in node.output if name]
    try:
        answers, inputs = runtime.OnnxModel(case, path, also=names), case.inputs[index]
        feeds, found = answers.feeds(inputs), answers(inputs)
    except Exception:  # noqa: BLE001 - without the values there is no clue, and bisection goes on
        return None
    values: dict[int, list[torch.Tensor]] = {}
    for tensor in [
        *found,
        *feeds.values(),
        *(_as_value(p) for p in (*case.model.parameters(), *case.model.buffers())),
    ]:
        values.setdefault(tensor.numel(), []).append(tensor)
    return values


def _as_value(tensor: torch.Tensor) -> torch.Tensor:
    return (
        torch.view_as_real(tensor.detach().resolve_conj())
        if tensor.is_complex()
        else tensor.detach()
    )


def _computed(
    tensors: list[torch.Tensor], values: dict[int, list[torch.Tensor]], case: Case
) -> bool:
    """Whether each tensor is among the values, in any layout: the exporter may transpose, so sorted elements are compared."""
    tolerance = tolerance_of(case)
    return all(
        _among(_as_value(tensor), values.get(_as_value(tensor).numel(), []), tolerance)
        for tensor in tensors
    )


def _among(tensor: torch.Tensor, candidates: list[torch.Tensor], tolerance: Tolerance) -> bool:
    if not tensor.numel():
        return True
    wanted = tensor.reshape(-1)
    ordered = wanted.sort().values
    for candidate in candidates:
        flat = candidate.reshape(-1).to(wanted.dtype)
        if agree(wanted, flat, tolerance) or agree(ordered, flat.sort().values, tolerance):
            return True
    return False


def _line_of(path: Path, fqn: str, locator: Locator) -> Any:
    """A line of the module's own code that left a node in the graph: the last one, which computes what it returns."""
    model = onnx.load(path, load_external_data=False)
    found = [
        clue
        for node in model.graph.node
        for clue in from_onnx_nodes([node], locator)
        if clue.fqn == fqn and clue.source
    ]
    return found[-1].source if found else None
