"""The first module that gets the right inputs inside ONNX and returns wrong numbers: one session, all values returned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import torch

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.eager.calls import Call, Recording, completion_order
from onnx_debug.explain.graph_nodes import from_onnx_nodes
from onnx_debug.explain.locate import Locator
from onnx_debug.onnx_file import display, runtime
from onnx_debug.onnx_file.compare import Tolerance, agree, tolerance_of
from onnx_debug.request.case import Case


def first_wrong_module(
    case: Case, recording: Recording, path: Path, index: int, locator: Locator
) -> list[Clue]:
    """The first module whose inputs ONNX computes right and whose output it does not: one session, all values returned."""
    values = _all_values(case, path, index)
    if values is None:
        return []

    def right_outputs(call: Call) -> list[bool]:
        """Of a call with right inputs: which of its outputs are right; empty for any other."""
        if call.arguments is None or call.output is None:
            return []
        if not _computed(call.arguments.tensors(), values, case):
            return []
        return [_computed([tensor], values, case) for tensor in call.output.tensors()]

    partly = None
    for call in completion_order(recording):
        right = right_outputs(call)
        if right and not any(right):
            return [_clue(call, recording, right_outputs, path, locator)]
        if not all(right):
            partly = partly or call
    # What nothing reads is not in the file: one right output says more than a missing one.
    return [] if partly is None else [_clue(partly, recording, right_outputs, path, locator)]


def _clue(
    call: Call,
    recording: Recording,
    right_outputs: Callable[[Call], list[bool]],
    path: Path,
    locator: Locator,
) -> Clue:
    """The clue to a wrong call, or to the outermost call around it of which nothing is in the file either."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    found = list(from_onnx_nodes(nodes, locator, path))
    reason = "gets the right inputs and returns wrong numbers"
    while not _is_in(call.fqn, found):
        reason = "gets the right inputs, and no operator of it is in the exported model"
        caller = recording.calls[call.parent] if call.parent is not None else None
        if caller is None or _is_in(caller.fqn, found) or any(right_outputs(caller) or [True]):
            break
        call = caller
    # The last line of the module's own computes what it returns.
    lines = [clue.source for clue in found if clue.fqn == call.fqn and clue.source]
    return Clue(call.fqn, ClueKind.VALUE, lines[-1] if lines else None, reason=reason)


def _is_in(fqn: str, found: list[Clue]) -> bool:
    return any(display.within(clue.fqn, fqn) for clue in found)


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
